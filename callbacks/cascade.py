"""What is left of pictures' maps and boxes as the weights are randomised stage by stage."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from callbacks.film_strips import shrink
from deepinside.boxes import centre_box, iou
from deepinside.data.views import WholePicture
from deepinside.metrics.agreement import SMALLEST, agreement, covered_part


@dataclass(frozen=True)
class Cascaded:
    """One picture, stage by stage, the trained net first: how alike its map and the trained net's are, whether the map
    is constant, and so has no ranks, and, with true boxes, whether the box for its class hits one; whether the centre
    box does. title: the class, after a photograph's own name where it has no label. own: the trained net's map where
    crops covered the picture.

    Spearman's correlation of a constant map is 0, and NaN throughout where the trained net's own is constant. Both are
    NaN for maps that are too small for SSIM.
    """

    picture: WholePicture
    title: str
    maps: list[Tensor]
    own: Tensor
    blank: list[bool]
    spearman: list[float]
    ssim: list[float]
    hits: list[bool]
    centre_hit: bool


def compare_maps(
    picture: WholePicture, title: str, maps: list[Tensor], coverage: Tensor | None, hits: list[bool]
) -> Cascaded:
    """Of the stages' maps, the trained net's first, and of whether their boxes hit; coverage: where crops covered."""
    small = shrink(torch.stack(maps))  # as those whose drift is told while training
    seen = covered_part(small, coverage)
    blank = [bool(one.min() == one.max()) for one in small]
    spearman = ssim = torch.full((len(small),), torch.nan)
    if min(seen.shape[-2:]) >= SMALLEST:
        spearman, ssim = agreement(seen[:1].expand_as(seen), seen)
        if not blank[0]:
            spearman = spearman.nan_to_num(0.0)
    centre_hit = bool(hits) and bool(iou(centre_box(picture.size)[None], picture.boxes).max() >= 0.5)
    return Cascaded(
        picture, title, [*small], seen[0].clone(), blank, spearman.tolist(), ssim.tolist(), hits, centre_hit
    )


def summarise(found: list[Cascaded], stages: list[list[str]]) -> dict[str, Any]:
    """The means over pictures, a row a stage with the layers that are fresh from there on; chance; the centre box."""
    boxed = [one for one in found if one.hits]
    rows = []
    for i, layers in enumerate([[], *stages]):
        row: dict[str, Any] = {"layers": layers, "randomised": sum(map(len, stages[:i]))}
        row["blank_maps"] = sum(one.blank[i] for one in found)
        row["spearman"] = _mean([one.spearman[i] for one in found])
        row["ssim"] = _mean([one.ssim[i] for one in found])
        if boxed:
            row["gt_known_accuracy"] = _mean([one.hits[i] for one in boxed])
        rows.append(row)
    results: dict[str, Any] = {"images": len(found), "images_with_boxes": len(boxed), "stages": rows}
    results["chance"] = _chance(found)
    if boxed:
        results["centre_box"] = {"gt_known_accuracy": _mean([one.centre_hit for one in boxed])}
    return results


def _chance(found: list[Cascaded]) -> dict[str, float | None]:
    """How alike the trained net's maps of different pictures are: each beside the next one's, at its own size."""
    alike = []
    for one, other in zip(found, [*found[1:], found[0]], strict=True):
        if one is not other and min(*one.own.shape, *other.own.shape) >= SMALLEST:
            resized = functional.interpolate(other.own[None, None], one.own.shape, mode="bilinear", antialias=True)
            alike.append(agreement(one.own[None], resized[0]))
    return {name: _mean([float(each[i]) for each in alike]) for i, name in enumerate(("spearman", "ssim"))}


def _mean(values: list[Any]) -> float | None:
    """Of those that are numbers; None without any."""
    told = [float(value) for value in values if not math.isnan(value)]
    return sum(told) / len(told) if told else None
