"""The README's pictures: python docs/pictures.py RUN COMPARISON   (folders of results; Chromium takes the screenshots)

RUN is the default run, `python train.py`. COMPARISON is `task=compare runs=runs/head,runs/net` of two trainings on
Imagenette's classes: `data.name=ilsvrc data.root=DIR model.name=squeezenet1_1 model.weights=FILE model.num_classes=10
name=net`, and the same with `optim.freeze=true name=head`. Its figures are shown, no photograph. The two of SqueezeNet
are sheets of `task=class_model`: docs/benchmarks.md tells the command.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
GAP = 12
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
QUIET += ("--disable-background-networking", "--disable-component-update", "--force-device-scale-factor=1")


def save(picture: Image.Image, name: str, width: int = 1200, quality: int = 85) -> None:
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.convert("RGB").save(DOCS / name, quality=quality, optimize=True)
    print(f"docs/{name}: {picture.width}x{picture.height}, {(DOCS / name).stat().st_size / 1000:.0f} kB")


def stacked(rows: list[list[Path]]) -> Image.Image:
    """Rows of pictures, one below the other."""
    pictures = [[Image.open(file).convert("RGB") for file in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in pictures]
    width = max(GAP + sum(picture.width + GAP for picture in row) for row in pictures)
    page, top = Image.new("RGB", (width, GAP + sum(heights)), "white"), GAP
    for row, height in zip(pictures, heights, strict=True):
        left = GAP
        for picture in row:
            page.paste(picture, (left, top))
            left += picture.width + GAP
        top += height
    return page


def screenshot(page: Path, height: int) -> Image.Image:
    """The top of a page, 1280 pixels wide."""
    browser = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"error: none of {', '.join(CHROMIUM)} is installed")
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "shot.png"
        places = (f"--user-data-dir={scratch}/profile", f"--window-size=1280,{height}", f"--screenshot={shot}")
        subprocess.run([browser, *QUIET, *places, page.resolve().as_uri()], check=True, capture_output=True)
        return Image.open(shot).convert("RGB")


def main(run: Path, comparison: Path) -> None:
    films, growth = (
        sorted((run / "saliency_maps/films").glob("*.png")),
        sorted((run / "class_models/growth").glob("*.png")),
    )
    save(Image.open(run / "class_models/sheet.png"), "class_models.jpg", 900)
    save(Image.open(run / "localisation/sheet.png").crop((0, 0, 1992, 598)), "localisation.jpg")
    save(stacked([films[:1], films[1:2], [growth[3], growth[7]]]), "watching.jpg", 1100)
    save(screenshot(run / "report.html", 850), "report.jpg", 1000)
    save(screenshot(comparison / "report.html", 790), "comparison.jpg", 1000)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
