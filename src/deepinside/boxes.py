"""Boxes: the one place that knows the convention.

A box is (x0, y0, x1, y1), float, in pixels, with HALF-OPEN EDGES: the pixel columns a..b inclusive have the edges
x0 = a and x1 = b + 1, and rows likewise. So the width is x1 - x0, areas equal ILSVRC's inclusive-pixel areas
(b - a + 1 columns), and resizing a picture multiplies its edges exactly. Sizes are (height, width), as shapes are.
"""

import numpy as np
import torch
from torch import Tensor


def check_boxes(boxes: Tensor) -> None:
    """ValueError unless `boxes` is a tensor, float32 or float64 (areas in pixels leave half precision's range), (N, 4),
    finite, and every x0 <= x1 and y0 <= y1."""
    if not isinstance(boxes, Tensor):
        raise ValueError(f"boxes must be a tensor (N, 4), not {type(boxes).__name__}")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"boxes must be float32 or float64, (N, 4), not {boxes.dtype} {tuple(boxes.shape)}")
    if not (boxes.isfinite().all() and (boxes[:, :2] <= boxes[:, 2:]).all()):
        raise ValueError("boxes must be finite, with x0 <= x1 and y0 <= y1")


def area(boxes: Tensor) -> Tensor:
    """(N, 4) -> (N,): (x1 - x0) (y1 - y0), in pixels."""
    check_boxes(boxes)
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)


def shared_area(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Area of the intersection of every pair: (N, 4), (M, 4) -> (N, M), in pixels."""
    top_left = torch.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    bottom_right = torch.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    return (bottom_right - top_left).clamp(min=0).prod(dim=2)


def iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Intersection over union of every pair: (N, 4), (M, 4) -> (N, M), in [0, 1].

    IoU = |A and B| / (|A| + |B| - |A and B|), 0 where both boxes are empty. float32 or float64 as given, one dtype for
    both. ValueError for anything that is not boxes. Counts as the ILSVRC development kit does.
    """
    areas_a, areas_b = area(boxes_a), area(boxes_b)
    shared = shared_area(boxes_a, boxes_b)
    union = areas_a[:, None] + areas_b[None, :] - shared
    return torch.where(union > 0, shared / union, 0.0)


def mask_to_box(mask: Tensor) -> Tensor:
    """The smallest box round the True pixels: bool (H, W) -> float32 (4,). ValueError for an empty mask."""
    if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.dtype != torch.bool:
        what = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"a mask must be a bool tensor (H, W), not {what}")
    rows, columns = (np.flatnonzero(mask.cpu().numpy().any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        raise ValueError("an empty mask has no box")
    return torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=torch.float32, device=mask.device)


def scale_boxes(boxes: Tensor, from_size: tuple[int, int], to_size: tuple[int, int]) -> Tensor:
    """The same boxes in a resized picture: floating (..., 4) and two (height, width) -> (..., 4), dtype kept."""
    if not boxes.is_floating_point():
        raise ValueError(f"boxes must be floating, not {boxes.dtype}")
    if min(*from_size, *to_size) <= 0:
        raise ValueError(f"sizes must be positive, not {from_size} and {to_size}")
    y, x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return boxes * boxes.new_tensor([x, y, x, y])


def centre_box(size: tuple[int, int], fraction: float = 0.72) -> Tensor:
    """The centred box with `fraction` of each side: (height, width) -> float32 (4,).

    72% is the best fixed centred box on the 50,000 ILSVRC-2012 validation pictures (IoU >= 0.5 with any box: 53.8%).
    """
    height, width = size
    before, after = (1 - fraction) / 2, (1 + fraction) / 2
    edges = [before * width, before * height, after * width, after * height]
    return torch.tensor(edges, dtype=torch.float32, device="cpu")


def whole_box(size: tuple[int, int]) -> Tensor:
    """The box of the whole picture: (height, width) -> float32 (4,)."""
    return torch.tensor([0, 0, size[1], size[0]], dtype=torch.float32, device="cpu")


def to_whole_pixels(boxes: Tensor) -> Tensor:
    """Edges rounded to whole pixels, every box at least one pixel wide and high: (..., 4) -> same."""
    rounded = boxes.round()
    low = torch.minimum(rounded[..., :2], rounded[..., 2:] - 1).clamp(min=0)
    return torch.cat([low, torch.maximum(rounded[..., 2:], low + 1)], -1)


def from_inclusive(boxes: Tensor, first: int = 0) -> Tensor:
    """Inclusive pixels (xmin, ymin, xmax, ymax), the first pixel numbered `first` -> half-open edges: (..., 4) -> same.

    ILSVRC's XML files and the csv made from them count from 0; the development kit's submission lines count from 1.
    """
    return boxes + boxes.new_tensor([0, 0, 1, 1]) - first


def to_inclusive(boxes: Tensor, first: int = 0) -> Tensor:
    """The inverse of `from_inclusive`: half-open edges -> inclusive pixels, fractions kept: (..., 4) -> same."""
    return boxes - boxes.new_tensor([0, 0, 1, 1]) + first
