"""What is explained, checked in one place, so that every function refuses the same in the same words."""

import operator
from typing import Any

from torch import Tensor, nn


def check_shapes(images: Tensor, classes: Tensor, *, several: bool = False) -> None:
    """Raises ValueError unless they are tensors (N, C, H, W) and (N,); several: or (N, K)."""
    if not isinstance(images, Tensor) or not isinstance(classes, Tensor):
        given = f"{type(images).__name__} and {type(classes).__name__}"
        raise ValueError(f"images and classes must be tensors, not {given}")
    if images.ndim != 4 or classes.ndim not in (1, 1 + several) or len(classes) != len(images):
        wanted = "(N, K) or (N,)" if several else "(N,)"
        shapes = f"{tuple(images.shape)} and {tuple(classes.shape)}"
        raise ValueError(f"expected images (N, C, H, W) and classes {wanted}, got {shapes}")


def check_pictures(bare: nn.Module, images: Tensor) -> None:
    """Raises ValueError unless they are a finite tensor (N, C, H, W) of the weights' floating type, on their device."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        raise ValueError(f"expected images (N, C, H, W), got {shape_or_type(images)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point, as the model takes them, not {images.dtype}")
    weight = next((p for p in bare.parameters() if p.is_floating_point()), images)
    if (weight.device, weight.dtype) != (images.device, images.dtype):
        ours, theirs = f"{images.dtype} on {images.device}", f"{weight.dtype} on {weight.device}"
        raise ValueError(f"the images are {ours}, the model is {theirs}")
    if not images.isfinite().all():
        raise ValueError("images must be finite: a rectifier would hide it, and the maps look like any other")


def is_whole(number: object) -> bool:
    """Whether it is a whole number, of Python, numpy or torch."""
    try:
        operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(number, bool)


def shape_or_type(given: Any) -> Any:
    """For messages about what should be a tensor of some shape."""
    return tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
