"""What the looks at training found, kept and shown as strips: an image for each thing, a column for each look."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor

from callbacks.gathering import shortened, show_picture
from callbacks.kept_results import DAMAGED
from deepinside.files import replacing
from deepinside.plots import Pixels, draw_strip

SIDE = 112  # longest side of what is kept of a map or picture, pixels
COLUMNS = 16
Arrays = dict[str, NDArray[np.float16]]


class Looks:
    """Arrays by step: `<folder>/<step>.npz`, which a resumed run finds again; without a folder in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.whole: dict[Path, bool] = {}
        self.held: dict[int, tuple[str, Arrays]] = {}

    def forget_after(self, step: int, trainer: Trainer) -> None:
        """A run that starts or goes on at `step` has not seen what lies after it: its files are removed."""
        self._forget([kept for kept in self._named() if kept > step], trainer)

    def forget_before(self, step: int, trainer: Trainer) -> None:
        self._forget([kept for kept in self._named() if kept < step], trainer)

    def _forget(self, steps: Sequence[int], trainer: Trainer) -> None:
        for step in steps:
            self.held.pop(step, None)
            if self.folder is not None and trainer.is_global_zero:
                (self.folder / f"{step}.npz").unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """Those that can be read."""
        return [step for step in self._named() if self.folder is None or self._is_whole(self.folder / f"{step}.npz")]

    def _named(self) -> list[int]:
        if self.folder is None:
            return sorted(self.held)
        return sorted(int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdecimal())

    def _is_whole(self, file: Path) -> bool:
        """Of one that is not it is told once."""
        if file not in self.whole:
            try:
                self.read(int(file.stem))
                self.whole[file] = True
            except FileNotFoundError:  # another process has just removed it
                return False
            except DAMAGED:
                print(f"{file} is damaged: that look is left out", flush=True)
                self.whole[file] = False
        return self.whole[file]

    def add(self, trainer: Trainer, title: str, arrays: Arrays) -> None:
        """Written by the first process."""
        if self.folder is None:
            self.held[trainer.global_step] = (title, arrays)
            return
        path = self.folder / f"{trainer.global_step}.npz"
        if trainer.is_global_zero:
            with replacing(path) as part, part.open("wb") as file:
                np.savez(file, title=np.array(title), **arrays)  # type: ignore[arg-type]
        self.whole[path] = True  # on all of them

    def read(self, step: int) -> tuple[str, Arrays]:
        """The look's title and its arrays."""
        if self.folder is None:
            return self.held[step]
        with (self.folder / f"{step}.npz").open("rb") as file, np.load(file) as content:
            return str(content["title"]), {key: content[key] for key in content.files if key != "title"}


def slug(index: int, name: str, digits: int = 4) -> str:
    """0012_goose: what files and tags are called; without a name the number alone."""
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", name).lower()).strip("_")
    return f"{index:0{digits}d}_{shortened(words)}".rstrip("_")


def shrink(values: Tensor, side: int = SIDE) -> Tensor:
    """(..., C, h, w) with its longer side at most `side`, averaged over what a pixel covers."""
    zoom = side / max(values.shape[-2:])
    if zoom >= 1:
        return values
    size = [max(1, round(length * zoom)) for length in values.shape[-2:]]
    if not len(values):
        return values.new_zeros(*values.shape[:-2], *size)
    planes = values.reshape(-1, *values.shape[-3:])
    return F.interpolate(planes, size, mode="bilinear", antialias=True).reshape(*values.shape[:-2], *size)


def columns(steps: Sequence[int]) -> list[int]:
    """At most 16 of the steps: the first, the last and others spread between them."""
    last = len(steps) - 1
    if last < COLUMNS:
        return list(steps)
    return [steps[round(i * last / (COLUMNS - 1))] for i in range(COLUMNS)]


def show_strips(
    trainer: Trainer,
    looks: Looks,
    tag: str,
    folder: Path | None,
    captions: Mapping[str, tuple[str, str]],
    draw: Callable[[NDArray[np.float16]], Pixels],
    first: Mapping[str, tuple[str, Pixels]],
) -> None:
    """An image for each key of the looks' arrays, under `<tag>/<name>` at this step; with a folder `<name>.png` too.

    captions: key -> (name, caption); draw: an array as pixels; first: key -> title and pixels of a column before.
    """
    read = [looks.read(step) for step in columns(looks.steps())]
    for key, (name, caption) in captions.items():
        found = [(heading, draw(arrays[key])) for heading, arrays in read if key in arrays]
        strip = draw_strip([*([first[key]] if key in first else []), *found], caption)
        show_picture(trainer, f"{tag}/{name}", strip, folder and folder / f"{name}.png")
