"""The README's pictures: python docs/pictures.py RUN COMPARISON   (folders of results; Chromium takes the screenshots)

RUN is the default run, `python train.py`. Of COMPARISON only what holds no photograph is shown.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
QUIET += ("--disable-background-networking", "--disable-component-update", "--force-device-scale-factor=1")


def save(picture: Image.Image, name: str, width: int = 1200, quality: int = 85) -> None:
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.convert("RGB").save(DOCS / name, quality=quality, optimize=True)
    print(f"docs/{name}: {picture.width}x{picture.height}, {(DOCS / name).stat().st_size / 1000:.0f} kB")


def stacked(files: list[Path]) -> Image.Image:
    """One below the other."""
    rows = [Image.open(file).convert("RGB") for file in files]
    page = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def screenshot(page: Path, height: int, fragment: str = "") -> Image.Image:
    browser = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"error: none of {', '.join(CHROMIUM)} is installed")
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "shot.png"
        places = (f"--user-data-dir={scratch}/profile", f"--window-size=1280,{height}", f"--screenshot={shot}")
        address = page.resolve().as_uri() + fragment
        subprocess.run([browser, *QUIET, *places, address], check=True, capture_output=True)
        return Image.open(shot).convert("RGB")


def main(run: Path, comparison: Path) -> None:
    save(Image.open(run / "class_models" / "sheet.png"), "class_models.jpg")
    save(stacked(sorted((run / "class_models" / "growth").glob("*.png"))[:4]), "class_models_growing.jpg", 900)
    save(stacked(sorted((run / "saliency" / "films").glob("*.png"))[:3]), "saliency_films.jpg")
    save(Image.open(run / "sanity" / "sheet.png").crop((0, 0, 4000, 900)), "sanity.jpg", 1000)
    save(screenshot(run / "report.html", 1000), "report.jpg")
    save(screenshot(comparison / "report.html", 1000), "comparison.jpg")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
