"""What the callbacks need of the Trainer: fixed pictures, objects of all processes, pictures into TensorBoard."""

import random
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import Trainer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deepinside.errors import UserError

T = TypeVar("T")


def spread(count: int, total: int) -> list[int]:
    """A fixed choice of `count` indices below `total`, sorted: drawn once and for all, so that no class is favoured."""
    return sorted(random.Random(0).sample(range(total), min(count, total)))


def gather(items: list[T]) -> list[T]:
    """The items of all processes, on all of them. A collective: every process calls it."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return items
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def raise_together(error: UserError | None) -> None:
    """What one process has met ends all of them, with its words. A collective: every process calls it."""
    for words in gather([str(error)] if error else []):
        raise UserError(words)


def panel_file(folder: Path, index: int, name: str) -> Path:
    """Where the panel of picture `index`, called `name`, lies in a folder of results."""
    return folder / "pictures" / f"{index:05d}_{shortened(Path(name).name)}.png"


def shortened(name: str) -> str:
    """As much of it as a file's name has room for: systems allow 255 bytes, and a word around it."""
    return name.encode(errors="replace")[:200].decode(errors="ignore")


def writers(trainer: Trainer) -> list[Any]:
    """TensorBoard's, which take pictures and text; also those of `pytorch_lightning`'s logger, another class."""
    experiments = [getattr(logger, "experiment", None) for logger in trainer.loggers]
    return [
        experiment for experiment in experiments if hasattr(experiment, "add_image") and hasattr(experiment, "add_text")
    ]


def show_picture(trainer: Trainer, tag: str, picture: Image.Image, file: Path | None, step: int | None = None) -> None:
    """In TensorBoard, and in a file if one is given. step: None is the training's own."""
    for writer in writers(trainer):
        writer.add_image(tag, np.array(picture), trainer.global_step if step is None else step, dataformats="HWC")
    if file is not None:
        save_picture(picture, file)


def log_numbers(trainer: Trainer, numbers: dict[str, float], step: int | None = None) -> None:
    """step: None is the training's own."""
    for logger in trainer.loggers:
        logger.log_metrics(numbers, trainer.global_step if step is None else step)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Its caption, if it has one, is the file's description: the report tells it to who cannot see the picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = PngInfo()
    if "caption" in picture.info:
        told.add_itxt("Description", picture.info["caption"])
    picture.save(path, pnginfo=told, compress_level=1)  # a tenth larger than by default, in half the time
