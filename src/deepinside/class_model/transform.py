"""Random changes of the picture before every step, beyond the paper: what survives them looks more like an object.

A transform takes I (K, 3, H, W), mean-subtracted, and a CPU generator, and gives the same shape, differentiable. The
random numbers are drawn once a step for all classes, so a class's result does not depend on what it is found with.
Outside the picture lies 0, the mean colour.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Transform = Callable[[Tensor, Generator], Tensor]


def compose(*transforms: Transform) -> Transform:
    """One after the other; of none, nothing happens (the paper's choice)."""

    def apply(images: Tensor, generator: Generator) -> Tensor:
        for transform in transforms:
            images = transform(images, generator)
        return images

    return apply


def jitter(pixels: int) -> Transform:
    """Rolls by up to so many pixels each way; what leaves on one side comes in on the other."""

    def apply(images: Tensor, generator: Generator) -> Tensor:
        dy, dx = torch.randint(-pixels, pixels + 1, (2,), generator=generator, device="cpu").tolist()
        return images.roll((dy, dx), (-2, -1))

    return apply


def scale_and_rotate(scale: float, degrees: float) -> Transform:
    """Zooms by a factor in [1 - scale, 1 + scale] and turns by up to so many degrees, bilinearly."""

    def apply(images: Tensor, generator: Generator) -> Tensor:
        drawn = torch.rand(2, generator=generator, device="cpu", dtype=torch.float32)
        u, v = (2 * drawn - 1).tolist()
        zoom, angle = 1 / (1 + scale * u), math.radians(degrees * v)
        ratio = images.shape[-1] / images.shape[-2]  # affine_grid's axes run from -1 to 1 whatever the sides are
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        theta = images.new_tensor([[cos, -sin / ratio, 0.0], [sin * ratio, cos, 0.0]])
        grid = F.affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    return apply


def blur(sigma: float) -> Transform:
    """Gaussian of so many pixels, the same every step: the net does not see what is finer."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1.0, device="cpu", dtype=torch.float32)
    weights = (-0.5 * (offsets / sigma) ** 2).exp() if sigma else torch.ones_like(offsets)
    weights = weights / weights.sum()

    def apply(images: Tensor, generator: Generator) -> Tensor:
        kernel = weights.to(images, copy=True).expand(images.shape[1], 1, 1, -1)  # may come from inference mode
        rows = F.conv2d(images, kernel, padding=(0, radius), groups=images.shape[1])
        return F.conv2d(rows, kernel.transpose(-2, -1), padding=(radius, 0), groups=images.shape[1])

    return apply
