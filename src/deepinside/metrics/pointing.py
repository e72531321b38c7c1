"""What a saliency map is worth without any box drawn from it: the pointing game, and its mass in the true boxes."""

import torch
from torch import Tensor

TOLERANCE = 15.0
"""Pixels of the original picture by which the pointing game may miss (Zhang et al. 2016, "Excitation Backprop")."""


def highest_point(saliency: Tensor, size: tuple[int, int]) -> tuple[float, float]:
    """(x, y) in pixels of a picture of `size` (height, width): the middle of the first greatest pixel of (h, w)."""
    row, column = divmod(int(saliency.argmax()), saliency.shape[-1])
    return (column + 0.5) * size[1] / saliency.shape[-1], (row + 0.5) * size[0] / saliency.shape[-2]


def points_at(point: tuple[float, float], truth: Tensor) -> bool:
    """Whether the point (x, y) lies in one of the boxes (M, 4), M > 0, or within TOLERANCE pixels of it."""
    at = truth.new_tensor(point)
    beside = torch.maximum(truth[:, :2] - at, at - truth[:, 2:]).clamp(min=0)
    return bool(beside.norm(dim=1).min() <= TOLERANCE)


def pixel_cover(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The share of each pixel that boxes (M, 4) cover, of several the greatest: float64 (height, width) in [0, 1]."""
    edges = boxes.double()
    spans = []
    for axis, length in ((1, size[0]), (0, size[1])):
        pixel = torch.arange(length, dtype=torch.float64, device=boxes.device)
        low, high = edges[:, axis, None], edges[:, axis + 2, None]
        spans.append((torch.minimum(pixel + 1, high) - torch.maximum(pixel, low)).clamp(min=0))
    return (spans[0][:, :, None] * spans[1][:, None, :]).amax(dim=0)


def saliency_mass(saliency: Tensor, cover: Tensor) -> float:
    """sum M c / sum M: the share of a map M (h, w) >= 0 that a `pixel_cover` c (h, w) holds; of zeros, the area's."""
    weights = saliency.to(cover)
    total = weights.sum()
    return float((weights * cover).sum() / total) if total > 0 else float(cover.mean())
