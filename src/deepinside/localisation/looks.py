"""Preset `best` on one picture: what a class hangs on, seen in the whole picture and in windows of several sizes.

Every look v, at the frame or at a window of it, gives G_v, the mean of the gradients at two inner layers
(`attribution.inner_layer`), each over its own mean, and P_v, the class's soft-max posterior. A small window shows a
small object at the size that the net was trained on, and the posterior tells whether there is anything of the class in
it:

    M = <P^g G> of the frame and its mirrored twin
        + mean over sizes s of [ sum over the windows v of size s of P_v^g G_v sqrt(|frame| / |v|) ] / n_s

g: `confidence`; n_s: how many windows of that size cover a pixel. Back-prop alone: no activation is multiplied in.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from deepinside.attribution.context import gradients_on
from deepinside.attribution.crops import Choice, Crop, CropSaliency, check_crops, dense_crops
from deepinside.attribution.inner_layer import InnerGraph
from deepinside.attribution.memory import is_out_of_memory
from deepinside.attribution.route import in_best_layout
from deepinside.attribution.scores import check_classes, check_scores
from deepinside.errors import UserError
from deepinside.localisation.presets import Evidence

CELLS = (28, 14)  # of the inner layers, across a crop of the net: strides 8 and 16 at 224 pixels
SIZES = (0.75, 0.5, 0.35)  # of windows, in the frame's short side; see `Evidence` on how they were chosen
TOGETHER = 16  # windows in one pass


def look_around(
    model: nn.Module, frame: Tensor, crops: Iterable[Crop], choose: Choice, numbers: Evidence
) -> CropSaliency:
    """frame (3, H, W) in [0, 1]; choose: scores (crops, C) -> classes (K,); windows are resized to the crops' side. The
    maps are M, which covers the whole frame.

    One forward pass for the crops, the frame and each of some 75 windows (of a picture of 3:4), and from each of the
    latter a backward pass a class, down to the inner layer.
    """
    crops, side = check_crops(frame, crops)
    with gradients_on(model) as bare:
        with torch.no_grad():
            scores = bare(torch.stack([crop.take(frame) for crop in crops]))
        check_scores(scores, len(crops))
        classes = choose(scores)
        check_classes(classes, scores.shape[1])
        maps = _frame_look(bare, frame, side, classes, numbers)
        if numbers.spacing:
            maps = maps + sum(_window_looks(bare, frame, size, side, classes, numbers) for size in SIZES)
    return CropSaliency(maps, torch.ones_like(maps[0], dtype=torch.bool), classes, scores)


def _frame_look(bare: nn.Module, frame: Tensor, side: int, classes: Tensor, numbers: Evidence) -> Tensor:
    """(3, H, W) -> (K, H, W). A net whose full layers fit pictures of one size sees the frame as a square of `side`."""
    both = torch.stack([frame, frame.flip(-1)])
    try:
        found = _looks(bare, both, side, classes, numbers)
    except (RuntimeError, AssertionError, ValueError) as error:  # how nets refuse a size differs
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        found = _looks(bare, _to_side(both, side), side, classes, numbers)
    plain, mirrored = found
    return functional.interpolate(((plain + mirrored.flip(-1)) / 2)[None], frame.shape[1:], mode="bilinear")[0]


def _window_looks(bare: nn.Module, frame: Tensor, size: float, side: int, classes: Tensor, numbers: Evidence) -> Tensor:
    """The share in M of the windows of one size: (3, H, W) -> (K, H, W)."""
    height, width = frame.shape[1:]
    short = min(height, width)
    length, stride = max(1, round(size * short)), max(1, round(numbers.spacing * short))
    windows = [crop for crop in dense_crops(height, width, length, stride) if not crop.mirrored]
    total, count = (
        torch.zeros(*lead, height, width, dtype=torch.float32, device=frame.device) for lead in ((len(classes),), ())
    )
    for start in range(0, len(windows), TOGETHER):
        some = windows[start : start + TOGETHER]
        seen = _to_side(torch.stack([window.take(frame) for window in some]), side)
        found = functional.interpolate(_looks(bare, seen, side, classes, numbers), (length, length), mode="bilinear")
        for window, one in zip(some, found, strict=True):
            window.put_back(one, total)
            window.put_back(torch.ones_like(one[0]), count)
    return total / count * ((height * width) ** 0.5 / length / len(SIZES))


def _to_side(pictures: Tensor, side: int) -> Tensor:
    """(N, 3, h, w) -> (N, 3, side, side), in [0, 1]."""
    resized = functional.interpolate(pictures.float(), (side, side), mode="bicubic", antialias=True)
    return resized.clamp(0, 1).to(pictures.dtype)


def _looks(bare: nn.Module, pictures: Tensor, side: int, classes: Tensor, numbers: Evidence) -> Tensor:
    """P^g G of every picture and class: (N, 3, h, w) -> (N, K, h', w'); a layer's map of zeros stays one."""
    strides = [side / cells for cells in CELLS]

    def once(channels_last: bool) -> tuple[list[Tensor], Tensor]:
        graph = InnerGraph(bare, pictures, strides, channels_last)
        maps = [layer.float() for layer in graph.maps(classes)]
        return maps, graph.scores.float().log_softmax(1)[:, classes.to(graph.scores.device)]

    layers, log_posteriors = in_best_layout(bare, pictures, once)
    even = [layer / layer.mean((2, 3), keepdim=True).clamp(min=torch.finfo(layer.dtype).tiny) for layer in layers]
    fine = [functional.interpolate(layer, even[0].shape[2:], mode="bilinear") for layer in even]
    return torch.stack(fine).mean(0) * (numbers.confidence * log_posteriors).exp()[..., None, None]
