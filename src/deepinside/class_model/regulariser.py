"""Penalties on a class model, with their gradients in closed form: no graph is built for them.

Pictures I are (K, 3, H, W), mean-subtracted, on the 0..255 scale whatever the net's own normalisation, so a weight
means the same for every net.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Regulariser:
    """R(I): `value` (K, 3, H, W) -> (K,), `gradient` dR/dI (K, 3, H, W) -> (K, 3, H, W). `+` adds two of them."""

    value: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor], Tensor]

    def __add__(self, other: Regulariser) -> Regulariser:
        return Regulariser(
            lambda images: self.value(images) + other.value(images),
            lambda images: self.gradient(images) + other.gradient(images),
        )


def squared_norm(lam: float) -> Regulariser:
    """lam * ||I||_2^2, gradient 2 lam I (paper, section 2).

    Choosing lam: where S_c is about linear in I along the optimum's ray, S_c = 2 lam ||I||_2^2 there, so a picture of
    n values with a root mean square of r grey levels needs lam = S_c / (2 n r^2).
    """
    return Regulariser(lambda images: lam * images.square().flatten(1).sum(1), lambda images: 2 * lam * images)


def total_variation(weight: float, smooth: float = 1.0) -> Regulariser:
    """weight * sum over pixels and channels of sqrt(dx^2 + dy^2 + smooth^2) - smooth, forward differences.

    `smooth`, in grey levels, rounds off the kink at 0. Beyond the paper: Mahendran & Vedaldi 2015.
    """

    def differences(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dx = torch.nn.functional.pad(images[..., :, 1:] - images[..., :, :-1], (0, 1))
        dy = torch.nn.functional.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
        return dx, dy, (dx**2 + dy**2 + smooth**2).sqrt()

    def value(images: Tensor) -> Tensor:
        return weight * (differences(images)[2] - smooth).flatten(1).sum(1)

    def gradient(images: Tensor) -> Tensor:
        dx, dy, length = differences(images)
        px, py = weight * dx / length, weight * dy / length
        # Minus the divergence. The last column of px and the last row of py are 0, so rolling brings in nothing.
        return px.roll(1, -1) - px + py.roll(1, -2) - py

    return Regulariser(value, gradient)
