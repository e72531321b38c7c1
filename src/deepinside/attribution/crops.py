"""Crops of a picture, and their maps put back where they came from (paper, section 3.1)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.attribution.context import gradients_on
from deepinside.attribution.inputs import check_pictures, is_whole, shape_or_type
from deepinside.attribution.memory import fitting, unless_out_of_memory
from deepinside.attribution.methods import METHODS, gradient, gradient_x_input, with_baseline
from deepinside.attribution.resize import resize
from deepinside.attribution.route import in_best_layout, in_chunks
from deepinside.attribution.saliency import REDUCTIONS, Request, attribute, make_request
from deepinside.attribution.scores import Score, check_classes

Choice = Callable[[Tensor], Tensor]
ONE_PASS = (gradient, gradient_x_input)  # methods that need the gradient at the picture itself only


@dataclass(frozen=True)
class Crop:
    """The window [top, top + side) x [left, left + side) of a picture, in pixels, mirrored left to right or not."""

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
    """Four corners and the centre of the whole picture, then the five mirrored (paper, section 3.1). All in pixels; a
    side longer than the picture's is refused where the crops are used."""
    bottom, right = height - side, width - side
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    return [Crop(top, left, side, mirrored) for mirrored in (False, True) for top, left in corners]


def square_ten_crops(height: int, width: int, side: int) -> list[Crop]:
    """The ten crops, as `ten_crops`, of the picture's central square (Krizhevsky et al. 2012); long pictures' ends stay
    uncovered."""
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    return [Crop(c.top + top, c.left + left, side, c.mirrored) for c in ten_crops(square, square, side)]


def one_crop(height: int, width: int, side: int) -> list[Crop]:
    """The centre alone, else as `ten_crops`."""
    return [Crop((height - side) // 2, (width - side) // 2, side, False)]


def dense_crops(height: int, width: int, side: int, stride: int | None = None) -> list[Crop]:
    """A grid of windows at most `stride` pixels (None: a quarter of `side`) apart that covers all, each mirrored too;
    else as `ten_crops`. ValueError for a stride below 1 or above `side`, which would leave gaps."""
    if stride is not None and not 1 <= stride <= side:
        raise ValueError(f"stride must be at least 1 pixel and at most the windows' side, {side}, not {stride}")
    tops, lefts = (_grid(length - side, stride or max(1, side // 4)) for length in (height, width))
    return [Crop(top, left, side, mirrored) for mirrored in (False, True) for top in tops for left in lefts]


CROPS: dict[str, Callable[[int, int, int], list[Crop]]] = {
    "ten": ten_crops,
    "square": square_ten_crops,
    "one": one_crop,
    "dense": dense_crops,
}


@dataclass(frozen=True)
class CropSaliency:
    """What the crops say of one picture.

    maps (K, H, W): the mean over the crops that cover a pixel, 0 where none does; coverage (H, W) bool: where one
    does; classes (K,); scores (crops, C): every crop's class scores before the soft-max, in full precision.
    """

    maps: Tensor
    coverage: Tensor
    classes: Tensor
    scores: Tensor


def crop_saliency(
    model: nn.Module,
    image: Tensor,
    crops: Iterable[Crop],
    choose: Choice,
    method: str = "gradient",
    *,
    size: int | None = None,
    score: str | Score = "score",
    reduction: str = "max",
    autocast: torch.dtype | None = None,
    strategy: str = "auto",
    memory: int | None = None,
    **options: Any,
) -> CropSaliency:
    """Saliency maps of one picture, averaged over crops in the picture's own frame (paper, section 3.1).

    image: (3, H, W) as the model takes it, at least as large as the crops. choose: scores (crops, C) -> class indices
    (K,), so that one forward pass serves both the decision which classes to explain and their gradients.
    size: side of what the model sees, None for the crops' own; crops of other sides are resized to it, and their
    gradients are those with respect to the picture's pixels: several scales are crops of several sides.
    The rest is as in `saliency`; with reduction `none`, maps are (K, 3, H, W). Returns `CropSaliency`.
    Raises ValueError where a crop does not fit into the picture or crops of several sides lack a `size`, and what
    `saliency` raises.
    """
    request = make_request(method, score, reduction, autocast, strategy, memory, options)
    crops, size = check_crops(image, crops, size)
    if not callable(choose):
        raise ValueError(f"choose must be a function, scores (crops, C) -> classes (K,), not {shape_or_type(choose)}")
    with gradients_on(model) as bare:
        check_pictures(bare, image[None])
        picture = image.detach().clone()  # it may come from inference mode
        windows = [crop.take(picture) for crop in crops]
        found = _in_one_pass(bare, windows, choose, request) if {w.shape[-1] for w in windows} == {size} else None
        scores, classes, signed = found or _in_two_passes(bare, windows, choose, request, size)
        maps, count = _average(image, crops, signed, REDUCTIONS[reduction])
    return CropSaliency(maps, count > 0, classes, scores)


def _in_one_pass(
    bare: nn.Module, windows: list[Tensor], choose: Choice, request: Request
) -> tuple[Tensor, Tensor, list[Tensor]] | None:
    """scores (crops, C), classes (K,), signed attributions (K, C, side, side) of every crop; None where the method, the
    strategy or the memory asks for more than one forward pass."""
    what, method, images = request.what, METHODS[request.method], torch.stack(windows)
    options = with_baseline(request.options, images)
    fits = fitting(bare, images, 1, what, "loop", request.memory) >= len(images)
    if method not in ONE_PASS or what.autocast is not None or request.strategy == "repeated" or not fits:
        return None

    def once(channels_last: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
        graph = what.forward(bare, images, channels_last)
        classes, each = _chosen(choose, graph.scores)
        batched = request.strategy == "batched"
        signed = method(lambda _: graph.gradients(each, what.score, batched=batched), images, **options)
        return graph.scores, classes, list(signed)

    return unless_out_of_memory(lambda: in_best_layout(bare, images, once))


def _in_two_passes(
    bare: nn.Module, windows: list[Tensor], choose: Choice, request: Request, size: int
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """As `_in_one_pass`: all scores, in full precision, then all attributions, window size by window size."""
    seen = torch.cat([resize(window[None], size) for window in windows])
    plain = replace(request.what, autocast=None)
    forward = torch.no_grad()(lambda part, _: bare(seen[part].clone()))  # nets may change their input
    scores = in_chunks(bare, seen, 1, plain, "loop", request.memory, forward)
    classes, each = _chosen(choose, scores)
    signed: dict[int, Tensor] = {}
    for side in {window.shape[-1] for window in windows}:
        places = [i for i, window in enumerate(windows) if window.shape[-1] == side]
        own = torch.stack([windows[i] for i in places])
        found = attribute(bare, own, each[places], request, REDUCTIONS["none"], None if side == size else size)
        signed |= dict(zip(places, found, strict=True))
    return scores, classes, [signed[i] for i in range(len(windows))]


def _chosen(choose: Choice, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The classes (K,), and the same for every crop (crops, K) on the scores' device."""
    classes = choose(scores)
    if not isinstance(classes, Tensor) or classes.ndim != 1:
        raise ValueError("choose must give a tensor of class indices (K,)")
    check_classes(classes, scores.shape[1])
    return classes, classes.to(scores.device).expand(len(scores), -1)


def _average(
    image: Tensor, crops: Sequence[Crop], signed: list[Tensor], reduce: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    maps = [reduce(one) for one in signed]
    total, count = maps[0].new_zeros(*maps[0].shape[:-2], *image.shape[-2:]), maps[0].new_zeros(image.shape[-2:])
    for crop, window in zip(crops, maps, strict=True):
        crop.put_back(window, total)
        crop.put_back(window.new_ones(crop.side, crop.side), count)
    return total / count.clamp(min=1), count


def check_crops(image: Tensor, crops: Iterable[Crop], size: int | None = None) -> tuple[list[Crop], int]:
    """The crops, and the side of what the model sees. Raises ValueError where crops do not fit the picture or each
    other."""
    if not isinstance(image, Tensor) or image.ndim != 3:
        raise ValueError(f"expected one image (3, H, W), got {shape_or_type(image)}")
    height, width = image.shape[-2:]
    crops = list(crops) if isinstance(crops, Iterable) else []
    if not crops or not all(isinstance(crop, Crop) for crop in crops):
        raise ValueError("crops must be Crops, at least one, as ten_crops(height, width, side) gives them")
    for crop in crops:
        fits = 0 <= crop.top <= height - crop.side and 0 <= crop.left <= width - crop.side
        if crop.side < 1 or not fits:
            raise ValueError(
                f"the crop of side {crop.side} at row {crop.top}, column {crop.left} does not fit into a picture of"
                f" {height}x{width}"
            )
    if size is None and len({crop.side for crop in crops}) > 1:
        raise ValueError("crops of several sides need the size that the model takes")
    if size is not None and not (is_whole(size) and size >= 1):
        raise ValueError(f"size must be a whole number of pixels, at least 1, not {size!r}")
    return crops, size or crops[0].side


def _grid(last: int, stride: int) -> list[int]:
    """Evenly spaced whole numbers from 0 to `last`, at most `stride` apart."""
    steps = -(-last // stride)
    return [round(last * i / steps) for i in range(steps + 1)] if steps > 0 else [0]
