"""Preset `best` on one picture: a look at the whole, then a second one at the window where the object seems to be.

The map is the gradient at an inner layer (`attribution.inner_layer`), averaged with that of the mirrored picture. A net
that takes pictures of any size sees the whole frame at once, any other one the crops that it is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from deepinside.attribution.context import gradients_on
from deepinside.attribution.crops import Crop
from deepinside.attribution.inner_layer import InnerGraph
from deepinside.localisation.evidence import evidence_boxes
from deepinside.localisation.presets import Evidence

SMALLEST_WINDOW = 0.25  # of the frame's short side: enlarged more than four times, a picture shows a net nothing
LONGEST = 2.0  # a window's sides, as the net sees them, are in no greater ratio


@dataclass(frozen=True)
class Looks:
    """classes (K,), scores (crops, C) before the soft-max; for each class the map of the first look (K, H, W), its mask
    (K, H, W), the box (K, 4) and the tight box of a second guess (K, 4), on the CPU."""

    classes: Tensor
    scores: Tensor
    maps: Tensor
    masks: Tensor
    boxes: Tensor
    tight: Tensor


def look_twice(
    model: nn.Module, frame: Tensor, crops: Sequence[Crop], choose: Callable[[Tensor], Tensor], numbers: Evidence
) -> Looks:
    """frame (3, H, W) in [0, 1]; choose: scores (crops, C) -> classes (K,).

    First look: the whole frame -> a box B1 a class. Second look: the window `zoom` times B1, enlarged to the frame's
    short side -> B2. The box is their mean: the second look sees small objects, the first one what is round them. One
    forward pass for the crops, one for the frame, one a class for its window; two backward passes a class.
    """
    with gradients_on(model) as bare:
        windows = torch.stack([_window(frame, crop) for crop in crops])
        with torch.no_grad():
            scores = bare(windows)
        classes = choose(scores)
        whole = _if_it_fits(lambda: _look(bare, frame, classes, numbers.stride))
        maps, covered = (
            _look_through(bare, windows, crops, frame, classes, numbers.stride)
            if whole is None
            else (whole, frame.new_ones(frame.shape[1:]) > 0)
        )
        pixels, planes = frame.permute(1, 2, 0).double().cpu().numpy(), maps.double().cpu().numpy()
        masks, first = evidence_boxes(pixels, planes, covered.cpu().numpy(), numbers)
        if not numbers.zoom:
            tight = evidence_boxes(pixels, planes, covered.cpu().numpy(), numbers, tight=True)[1]
            return Looks(classes.cpu(), scores.cpu(), maps.cpu(), masks, first, tight)
        second_look = partial(_second_look, bare, frame, numbers, windows.shape[-1], whole is not None)
        pairs = [second_look(c, box) for c, box in zip(classes, first, strict=True)]
    second, tight = torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
    return Looks(classes.cpu(), scores.cpu(), maps.cpu(), masks, (first + second) / 2, tight)


def _second_look(
    bare: nn.Module, frame: Tensor, numbers: Evidence, side: int, any_size: bool, label: Tensor, box: Tensor
) -> tuple[Tensor, Tensor]:
    """The window round the box (4,) -> the box and the tight box found in it, in the frame: (4,), (4,).

    A net that does not take the window in its own shape, or not any_size, sees it as a square of `side`.
    """
    size = torch.tensor([frame.shape[-1], frame.shape[-2]])
    smallest = SMALLEST_WINDOW * min(frame.shape[1:])
    centre, half = (box[:2] + box[2:]) / 2, ((box[2:] - box[:2]) * numbers.zoom).clamp(min=smallest) / 2
    left, top = (centre - half).floor().clamp(min=0).int().tolist()
    right, bottom = torch.minimum((centre + half).ceil(), size).int().tolist()
    window = frame[:, top:bottom, left:right]
    height, width = window.shape[1:]
    scale = min(frame.shape[1:]) / min(height, width)
    longest = LONGEST * min(frame.shape[1:])
    shape = [round(min(scale * length, longest)) for length in (height, width)]

    def seen(size: list[int]) -> Tensor:
        enlarged = functional.interpolate(window[None].float(), size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        return _look(bare, enlarged.to(frame.dtype), label[None], numbers.stride)

    found = _if_it_fits(lambda: seen(shape)) if any_size else None
    maps = seen([side, side]) if found is None else found
    maps = functional.interpolate(maps[None], (height, width), mode="bilinear")[0]
    arrays = window.permute(1, 2, 0).double().cpu().numpy(), maps.double().cpu().numpy()
    covered = torch.ones(height, width, dtype=torch.bool).numpy()
    corner = torch.tensor([left, top, left, top], dtype=torch.float32)
    boxes = [evidence_boxes(*arrays, covered, numbers, tight)[1][0] for tight in (False, True)]
    return boxes[0] + corner, boxes[1] + corner


def _if_it_fits(look: Callable[[], Tensor]) -> Tensor | None:
    """What is seen; None where full layers fit pictures of another size only."""
    try:
        return look()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return None


def _look(bare: nn.Module, picture: Tensor, classes: Tensor, stride: int) -> Tensor:
    """(3, h, w) -> (K, h, w): the gradient at the inner layer, averaged with the mirrored picture's."""
    graph = InnerGraph(bare, torch.stack([picture, picture.flip(-1)]), stride)
    plain, mirrored = graph.maps(classes)
    return functional.interpolate(((plain + mirrored.flip(-1)) / 2)[None], picture.shape[1:], mode="bilinear")[0]


def _look_through(
    bare: nn.Module, windows: Tensor, crops: Sequence[Crop], frame: Tensor, classes: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    """The same through crops: maps (K, H, W), the mean over the crops that cover a pixel, and which are covered."""
    maps = InnerGraph(bare, windows, stride).maps(classes)
    maps = functional.interpolate(maps, windows.shape[-2:], mode="bilinear")
    total, count = frame.new_zeros(len(classes), *frame.shape[1:]), frame.new_zeros(frame.shape[1:])
    for crop, window in zip(crops, maps, strict=True):
        crop.put_back(window, total)
        crop.put_back(torch.ones_like(window[0]), count)
    return total / count.clamp(min=1), count > 0


def _window(frame: Tensor, crop: Crop) -> Tensor:
    window = frame[:, crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    return window.flip(-1) if crop.mirrored else window
