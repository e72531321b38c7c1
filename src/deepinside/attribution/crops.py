"""Ten crops of a picture, and their maps put back where they came from (paper, section 3.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepinside.attribution.gradient import ScoreGraph, gradients_on
from deepinside.attribution.saliency import check_classes, max_over_channels


@dataclass(frozen=True)
class Crop:
    """The window [top, top + side) x [left, left + side) of a picture, mirrored left to right or not."""

    top: int
    left: int
    side: int
    mirrored: bool

    def take(self, image: Tensor) -> Tensor:
        """(..., H, W) -> (..., side, side)"""
        window = image[..., self.top : self.top + self.side, self.left : self.left + self.side]
        return window.flip(-1) if self.mirrored else window

    def put_back(self, window: Tensor, frame: Tensor) -> None:
        """Adds (..., side, side) to its place in the frame (..., H, W)."""
        place = frame[..., self.top : self.top + self.side, self.left : self.left + self.side]
        place += window.flip(-1) if self.mirrored else window


def ten_crops(height: int, width: int, side: int) -> list[Crop]:
    """Four corners and the centre, then the five mirrored (Krizhevsky et al. 2012; paper, section 3.1)."""
    bottom, right = height - side, width - side
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    return [Crop(top, left, side, mirrored) for mirrored in (False, True) for top, left in corners]


def one_crop(height: int, width: int, side: int) -> list[Crop]:
    """The centre alone."""
    return [Crop((height - side) // 2, (width - side) // 2, side, False)]


@dataclass(frozen=True)
class CropSaliency:
    """What ten crops say of one picture.

    maps (K, H, W) >= 0: the mean over the crops that cover a pixel, 0 where none does; coverage (H, W) bool: where one
    does; classes (K,); scores (crops, C): every crop's class scores before the soft-max.
    """

    maps: Tensor
    coverage: Tensor
    classes: Tensor
    scores: Tensor


def crop_saliency(
    model: nn.Module, image: Tensor, crops: Sequence[Crop], choose: Callable[[Tensor], Tensor]
) -> CropSaliency:
    """Saliency maps of one picture, averaged over crops in the picture's own frame (paper, section 3.1).

    image: (3, H, W) as the model takes it, at least as large as the crops. choose: scores (crops, C) -> class indices
    (K,), so that one forward pass serves both the decision which classes to explain and their gradients.
    Raises ValueError where a crop does not fit into the picture.
    """
    height, width = image.shape[-2:]
    if any(min(c.top, c.left) < 0 or c.top + c.side > height or c.left + c.side > width for c in crops):
        raise ValueError(f"a crop of side {crops[0].side} does not fit into a picture of {height}x{width}")
    with gradients_on(model) as bare:
        graph = ScoreGraph(bare, torch.stack([crop.take(image) for crop in crops]))
        classes = choose(graph.scores)
        check_classes(classes, graph.scores.shape[1])
        windows = max_over_channels(graph.gradients(classes.expand(len(crops), -1)))
        total, count = image.new_zeros(len(classes), height, width), image.new_zeros(height, width)
        for crop, window in zip(crops, windows, strict=True):
            crop.put_back(window, total)
            crop.put_back(torch.ones_like(window[0]), count)
    return CropSaliency(total / count.clamp(min=1), count > 0, classes, graph.scores)
