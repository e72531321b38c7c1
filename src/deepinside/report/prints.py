"""Pictures that lie in a folder of results as PNG files, by section of the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from deepinside.runs import Run


@dataclass(frozen=True)
class Group:
    """Pictures under a title of their own, "" for none; look: wall, strips, sheets; folded: behind a click."""

    title: str
    look: str
    pictures: list[dict[str, Any]]
    folded: bool = False


def class_models(run: Run) -> list[Group]:
    """The wall, the two objectives side by side, how they grew while training, how the ascent found them."""
    folder = run.folder if run.config.get("task") == "class_model" else run.folder / "class_models"
    told = "class model"
    return _groups(
        Group("", "wall", prints(run.class_models.values(), told)),
        Group("Both objectives side by side", "strips", prints(folder.glob("objectives.png"), "class models by two")),
        Group("As they grew while the net was trained", "strips", prints(sorted(folder.glob("growth/*.png")), told)),
        Group("From the start to the result", "strips", prints(sorted(folder.glob("films/*.png")), told), True),
        Group("Score, posterior and norm", "strips", prints(folder.glob("traces.png"), "traces"), True),
    )


def saliency(run: Run) -> list[Group]:
    """Film strips over the epochs, the fixed pictures, and what an analysis drew."""
    task = run.config.get("task")
    folder = run.folder if task in ("saliency", "relation") else run.folder / "saliency_maps"
    films = prints(sorted(folder.glob("films/*.png")), "saliency over the epochs")
    return _groups(
        Group("While the net was trained", "strips", films),
        Group("At the end" if films else "", "sheets", prints(sorted(folder.glob("pictures/*.png")), "saliency map")),
    )


def cuts(run: Run) -> list[Group]:
    """Panels of the localisation: picture, map, seeds, cut with its box; then some of each kind."""
    folder = run.folder if run.config.get("task") == "localise" else run.pictures_folder  # photographs have no records
    panels, kinds = (sorted(folder.glob(f"{name}/*.png")) if folder else [] for name in ("pictures", "gallery"))
    return _groups(
        Group("", "sheets", prints(panels, "map and cut")),
        Group("Some of each kind", "strips", prints(kinds, "maps and cuts"), True),
    )


def sanity(run: Run) -> list[Group]:
    """Maps while the weights are randomised layer by layer."""
    folder = run.folder if run.config.get("task") == "sanity" else run.folder / "sanity_check"
    return _groups(Group("", "strips", prints(sorted(folder.glob("*.png")), "maps of nets with randomised weights")))


def mean_image(run: Run) -> list[Group]:
    """What task=mean_image found."""
    return _groups(Group("", "wall", prints(run.folder.glob("mean_image.png"), "training pictures")))


def prints(paths: Iterable[Path], what: str) -> list[dict[str, Any]]:
    """For the macro `prints`: path, width, height, and a text in its place: what it is, and its caption, or its name.
    Damaged files are left out."""
    found = []
    for path in paths:
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                width, height = picture.size
                caption = picture.info.get("Description")
        except (OSError, Image.DecompressionBombError):  # damaged, as by a full disk
            continue
        number, _, name = path.stem.partition("_")
        name = (name if number.isdigit() and name else path.stem).replace("_", " ")
        alt = f"{what}: {caption or name}"
        found.append({"path": path, "width": width, "height": height, "alt": alt})
    return found


def _groups(*groups: Group) -> list[Group]:
    return [group for group in groups if group.pictures]
