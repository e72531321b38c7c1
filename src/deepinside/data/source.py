"""A split of pictures, whatever it comes from, and how one of them is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deepinside.config import DataConfig
from deepinside.data.folder import PictureFolder
from deepinside.data.ilsvrc import ILSVRC
from deepinside.data.picture import Classes, Picture, UnreadablePicture
from deepinside.data.shapes import Shapes
from deepinside.errors import UserError
from deepinside.progress import Bar


class PictureSource(Protocol):
    """What a data set must offer: `data/shapes.py`, `data/ilsvrc.py` and `data/folder.py` do."""

    @property
    def classes(self) -> Classes: ...
    @property
    def labels(self) -> Sequence[int]: ...
    @property
    def has_boxes(self) -> bool: ...
    def __len__(self) -> int: ...
    def read(self, i: int) -> Picture: ...


def open_split(data: DataConfig, split: str, seed: int, show: bool = False) -> PictureSource:
    """The `train` or `val` pictures that the configuration names; `show`: with progress. Raises UserError."""
    if data.name == "shapes":
        if data.root is not None:
            raise UserError(f"data.root={data.root} needs data.name=folder or data.name=ilsvrc; shapes are drawn here")
        size = data.shapes_train if split == "train" else data.shapes_val
        size = min(size, data.limit or size)
        seed = seed if split == "train" else 0  # runs of several seeds are measured on the same pictures
        with Bar(f"drawing the {split} shapes", size, "pictures", enabled=show) as bar:
            return Shapes(split, seed, size, bar.advance)
    if data.root is None:
        raise UserError(f"data.root is needed for data.name={data.name}: the folder of the pictures")
    source = ILSVRC if data.name == "ilsvrc" else PictureFolder
    with Bar(f"listing the {split} pictures of {data.root}", enabled=show):
        return source(Path(data.root), split, data.limit)


def read(source: PictureSource, i: int) -> Picture:
    """Picture `i`; one whose annotation is malformed is as unreadable as one that cannot be decoded."""
    try:
        return source.read(i)
    except UserError as error:
        name = source.file(i).stem if isinstance(source, ILSVRC | PictureFolder) else f"picture {i}"
        raise UnreadablePicture(name, str(error)) from None


def check_readable(source: PictureSource) -> None:
    """Before anything begins, and earlier results go: one picture at least must be readable, else a UserError."""
    reasons = []
    for i in range(len(source)):
        try:
            read(source, i)
            return
        except UnreadablePicture as error:
            reasons.append(str(error))
    raise UserError(f"no picture can be read, of all {len(source)} (the first: {reasons[0]})")
