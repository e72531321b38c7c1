"""What the model sees of a window of another size, and how gradients come back to the window's own pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(windows: Tensor, size: int) -> Tensor:
    """A: (N, C, side, side) -> (N, C, size, size), bilinear and anti-aliased; unchanged where it fits."""
    if windows.shape[-1] == size:
        return windows
    return F.interpolate(windows, (size, size), mode="bilinear", antialias=True, align_corners=False)


def pull_back(gradients: Tensor, side: int) -> Tensor:
    """A^T: dS/d(A I) (N, K, C, size, size) -> dS/dI (N, K, C, side, side), within `gradients_on`."""
    if gradients.shape[-1] == side:
        return gradients
    flat = gradients.flatten(0, 1)
    windows = flat.new_zeros(*flat.shape[:2], side, side, requires_grad=True)
    (pulled,) = torch.autograd.grad(resize(windows, flat.shape[-1]), windows, flat)
    return pulled.unflatten(0, gradients.shape[:2])
