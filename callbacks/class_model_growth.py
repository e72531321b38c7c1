"""Class models that grow while a net is trained: strips with a column for each look, and where a look may begin."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor

from callbacks.class_model_store import Found, Mean
from callbacks.film_strips import Looks, show_strips, shrink, slug
from deepinside.class_model import class_model_picture
from deepinside.plots import Pixels
from deepinside.words import scored


def add_column(
    trainer: Trainer,
    name: str,
    looks: Looks,
    folder: Path | None,
    names: Sequence[str],
    found: Sequence[Found],
    mean: Mean,
    heading: str,
) -> None:
    """Keeps what a look found, and shows it beside the earlier ones: `<name>/growth/<index>_<class>`."""
    looks.add(trainer, heading, {str(f.index): np.asarray(shrink(f.image.float()).half().numpy()) for f in found})
    if not trainer.is_global_zero:
        return
    captions = {
        str(f.index): (slug(f.index, called), f"{called}   {scored(f.score, f.posterior)}")
        for f, called in zip(found, names, strict=True)
    }
    if isinstance(mean, Tensor):
        mean = shrink(mean.cpu())
    films = folder / "growth" if folder else None
    show_strips(trainer, looks, f"{name}/growth", films, captions, partial(_drawn, mean), {})


def keep_last(trainer: Trainer, last: Looks, found: Sequence[Found], heading: str) -> None:
    """What a look found, at full size, in place of what the look before did."""
    last.add(trainer, heading, {str(f.index): np.asarray(f.image.numpy()) for f in found})
    last.forget_before(trainer.global_step, trainer)


def last_found(last: Looks, looks: Looks, classes: Sequence[int]) -> Tensor | None:
    """(K, 3, h, w): what the last look found for these classes, zeros for one that it left out; None if for all.

    In small where it is lost at full size: a run that goes on from a checkpoint has lost the looks after it.
    """
    steps = looks.steps()
    arrays = (last if last.steps() == steps[-1:] else looks).read(steps[-1])[1] if steps else {}
    found = [arrays[str(index)] for index in classes if str(index) in arrays]
    if not found:
        return None
    blank = np.zeros_like(found[0])
    return torch.from_numpy(np.stack([arrays.get(str(index), blank) for index in classes])).float()


def _drawn(mean: Mean, kept: NDArray[np.float16]) -> Pixels:
    picture = class_model_picture(torch.from_numpy(kept.astype(np.float32)), mean)
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
