"""Pictures of one's own: a folder for each class, or a list of photographs. None of them has boxes."""

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from deepinside.data.decode import decode
from deepinside.data.listing import (
    SUFFIXES,
    class_folders,
    contents,
    existing_folder,
    find_pictures,
    holds_pictures,
    in_utf8,
    is_picture,
    limited,
    picture_names,
)
from deepinside.data.picture import Classes, Picture
from deepinside.errors import UserError, did_you_mean, name_nearby

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation", "test")}
# Names that splits have elsewhere (training_set, seg_test): together, with folders in both, they are no classes.
LIKE_TRAIN = re.compile(r"(^|[_ -])train(ing)?($|[_ -])", re.IGNORECASE)
LIKE_VAL = re.compile(r"(^|[_ -])(val|valid|validation|test|testing)($|[_ -])", re.IGNORECASE)
HELD_OUT = 10
"""Where nothing is set apart for validation, every tenth picture of a class is."""


class PictureFolder:
    """<root>/{train, val|valid|validation|test}/<class>/* or <root>/<class>/*; a class's pictures may lie deeper, and
    split folders be written in capitals.

    A class is a folder that holds a picture; its number is its place among the training folders' sorted names. Without
    split folders every tenth picture of each class, in sorted order, is validation, and the last one of a class of two
    to nine pictures (`set_apart`). `limit` keeps so many pictures, spread over the split. Raises UserError for a root
    without such pictures or without the split, for an ILSVRC tree, and for split folders of other names.
    """

    has_boxes = False

    def __init__(self, root: Path, split: str, limit: int | None = None) -> None:
        root = existing_folder(root)
        names, pictures = _split_pictures(root, split)
        if names == ["ILSVRC"]:
            raise UserError(f"{root} is an ILSVRC tree: data.name=ilsvrc")
        self.set_apart = not any(split_folder(root, part) for part in SPLITS)
        self.classes = Classes(tuple(names), tuple(names))
        files = [(name, label) for label, of in enumerate(names) for name in pictures.get(of, [])]
        if not files:
            alone = f": of one picture a class none is left, every {HELD_OUT}th is set apart for validation"
            raise UserError(f"no pictures for the split {split} in {root}{alone if self.set_apart else ''}")
        files = limited(files, limit)
        self._names = [name for name, _ in files]
        self.labels = [label for _, label in files]

    def __len__(self) -> int:
        return len(self._names)

    def file(self, index: int) -> Path:
        """Where picture `index` lies."""
        return Path(self._names[index])

    def read(self, index: int) -> Picture:
        """Picture `index`; raises UnreadablePicture."""
        path = self.file(index)
        return Picture(decode(path, upright=True), self.labels[index], torch.zeros(0, 4), path.stem, index)


class PictureFiles:
    """Photographs given one by one, by patterns (`photos/*.jpg`) or as folders; their classes are unknown (-1).

    `classes` are those of the net that is to look at them. Patterns and folders give their pictures in sorted order; a
    file met twice is taken once. Names are those of the files without extension, with it or the whole path where
    several are called so.
    Raises UserError for a file that is missing and a pattern that fits nothing.
    """

    has_boxes = False

    def __init__(self, paths: Sequence[str], classes: Classes) -> None:
        self.classes = classes
        self._paths = list(dict.fromkeys(path for given in paths for path in _expand(given)))
        if not self._paths:
            raise UserError("no photographs given; valid: photo.jpg, folder/*.jpg or folder, separated by commas")
        self.labels = [-1] * len(self._paths)
        self._names = list(map(str, self._paths))
        for names in ([path.name for path in self._paths], [path.stem for path in self._paths]):  # the shortest stays
            times = Counter(names)
            self._names = [
                name if times[name] == 1 else longer for name, longer in zip(names, self._names, strict=True)
            ]

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int) -> Picture:
        """Photograph `index`, label -1; raises UnreadablePicture."""
        path = self._paths[index]
        return Picture(decode(path, upright=True), -1, torch.zeros(0, 4), self._names[index], index)


def _split_pictures(root: Path, split: str) -> tuple[list[str], dict[str, list[str]]]:
    """All classes' sorted names, and the paths of the split's pictures of each class."""
    folders = {part: split_folder(root, part) for part in SPLITS}
    if not any(folders.values()):
        return _set_apart(root, split)
    here, train = folders[split], folders["train"]
    if here is None:
        found = ", ".join(folder.name for folder in folders.values() if folder)
        raise UserError(f"no {split} split in {root}: found {found}; valid: {', '.join(SPLITS[split])}")
    pictures = _pictures_by_class(here)
    if train is None or train == here:
        names = sorted(pictures)
    else:
        names = [name for name in in_utf8(train, class_folders(train)) if holds_pictures(train / name)]
    for name in sorted(set(pictures) - set(names)):
        raise UserError(f"{here / name}: the training pictures have no class {name}{did_you_mean(name, names)}")
    return names, pictures


def split_folder(root: Path, split: str) -> Path | None:
    """The split's folder. It must hold folders, because `train` and `test` may be names of classes, too."""
    called = [
        name for name in class_folders(root) if name.lower() in SPLITS[split]
    ]  # a class may hold a thousand files
    folders = {name.lower(): root / name for name in reversed(called) if class_folders(root / name)}
    return next((folders[name] for name in SPLITS[split] if name in folders), None)


def _set_apart(root: Path, split: str) -> tuple[list[str], dict[str, list[str]]]:
    pictures = _pictures_by_class(root)
    if not {name.lower() for name in pictures}.difference(*SPLITS.values()):
        raise UserError(f"{root}: no pictures in train/<class>/, val/<class>/ or <class>/; {contents(root)}")
    train, other = (
        next((name for name in pictures if words.search(name) and class_folders(root / name)), None)
        for words in (LIKE_TRAIN, LIKE_VAL)
    )
    if train and other:
        raise UserError(f"{root}: {train} and {other} look like splits, not classes: call them train and val")
    chosen = {}
    for name, paths in pictures.items():
        held_out = paths[HELD_OUT - 1 :: HELD_OUT] or paths[1:][-1:]
        apart = set(held_out)
        chosen[name] = held_out if split == "val" else [path for path in paths if path not in apart]
    return sorted(pictures), chosen


def _pictures_by_class(folder: Path) -> dict[str, list[str]]:
    found = {name: picture_names(folder / name) for name in in_utf8(folder, class_folders(folder))}
    return {name: [f"{folder / name}/{below}" for below in pictures] for name, pictures in found.items() if pictures}


def _expand(given: str) -> list[Path]:
    path = Path(given).expanduser()
    if os.path.isfile(path):  # unlike a Path's own, without an error where a name is too long for one
        return [path]
    if os.path.isdir(path):
        found = find_pictures(path)
    elif glob.has_magic(given):
        found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True)) if is_picture(match)]
    else:
        raise UserError(f"no photograph {path}{name_nearby(path)}")
    if not found:
        raise UserError(f"no photographs fit {given}; known are {', '.join(SUFFIXES)}")
    return found
