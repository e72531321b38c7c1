"""Localisation error by the rules of ILSVRC's development kit, for a method and its two trivial rivals.

A picture has one label and every box of it. At most 5 guesses, each a class and a box, a class more than once if one
likes; a guess is right if its class is right and its IoU with ANY box of the label is >= 0.5; a picture's error is the
least over its guesses. A blacklisted picture counts for the classification alone.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from deepinside.boxes import centre_box, check_boxes, iou, scale_boxes, whole_box
from deepinside.metrics.pointing import highest_point, pixel_cover, points_at, saliency_mass

MAX_GUESSES = 5
ROWS = ("method", "centre_box", "whole_image")
"""What is scored: the given boxes and map, and the same guessed classes with the centred 72% box or the whole picture
(and, for the map, a uniform map in that box). Where guesses repeat a class, all three and the classification have fewer
than five."""
ERRORS = ("top1_error", "top5_error", "top2_error", "top3_error", "top4_error")
KNOWN = {"gt_known_accuracy": 0.5, "gt_known_accuracy_30": 0.3, "gt_known_accuracy_70": 0.7}
MEASURES = (*ERRORS[:2], *KNOWN, "mean_iou", "pointing_game", "saliency_mass", *ERRORS[2:])
"""The main numbers first. `pointing_game`: share of maps whose maximum lies in a true box or within 15 pixels of one;
`saliency_mass`: mean share of the map that lies in the true boxes."""

_RANKS = [int(name[3]) for name in ERRORS]


def possible_errors(classes: int) -> list[str]:
    """Those of ERRORS that the guesses of a net with so many classes can make: one of k guesses among k classes is
    right. top1_error is always one of them."""
    return [name for name, k in zip(ERRORS, _RANKS, strict=True) if k == 1 or k < classes]


@dataclass(frozen=True)
class PictureScore:
    """What one picture adds: `classes`, float64 (5,), its classification errors in the order of ERRORS; `rows`, float64
    (3, measures), a row of ROWS each with its MEASURES, NaN where one cannot be told; None without true boxes."""

    classes: Tensor
    rows: Tensor | None


def score_guesses(label: int, classes: Tensor, boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Each guess's best IoU with any true box (whatever its class), and whether it is right by ILSVRC's rule.

    label; classes int (K,), K <= 5, best first; boxes (K, 4); truth (M, 4), all boxes of the label -> IoU float64 (K,)
    and bool (K,), on the CPU: not every device has double precision. Without true boxes IoU is 0. ValueError for more
    than 5 guesses or shapes that do not fit.
    """
    if not isinstance(classes, Tensor):
        raise ValueError(f"classes must be a tensor of class indices, not {type(classes).__name__}")
    if len(classes) > MAX_GUESSES:
        raise ValueError(f"at most {MAX_GUESSES} guesses a picture, not {len(classes)}")
    if classes.ndim != 1 or classes.is_floating_point() or len(boxes) != len(classes):
        raise ValueError(f"{len(boxes)} boxes need as many class indices, not {classes.dtype} {tuple(classes.shape)}")
    check_boxes(boxes)  # as given: half precision has lost what double would not bring back
    overlaps = iou(boxes.cpu().double(), truth.cpu().double())  # float32 rounds areas of large pictures
    best = overlaps.amax(dim=1) if len(truth) else overlaps.new_zeros(len(boxes))
    return best, (classes.cpu() == label) & (best >= 0.5)


def score_picture(
    label: int,
    classes: Tensor,
    boxes: Tensor,
    known_box: Tensor | None,
    truth: Tensor,
    size: tuple[int, int] | None,
    saliency: Tensor | None = None,
) -> PictureScore:
    """One picture: arguments as in `score_guesses`, all boxes in pixels of the original picture.

    known_box: (4,), the box predicted for `label`, None where there is none; size: the picture's (height, width), None
    where it is unknown: no trivial rows then; saliency: (h, w) >= 0 over the whole picture at any resolution, None: no
    measures of the map. What cannot be told is NaN.
    """
    errors = _errors(classes == label)
    if not truth.is_floating_point():
        truth = truth.to(boxes)
    if len(truth) == 0:
        return PictureScore(errors, None)
    rows = [_of_boxes(label, classes, boxes, known_box, truth)]
    if size is not None:
        cover = None if saliency is None else pixel_cover(scale_boxes(truth, size, _shape(saliency)), _shape(saliency))
        if saliency is not None and cover is not None:
            rows[0] |= _of_map(saliency, cover, highest_point(saliency, size), truth)
        for box in (centre_box(size), whole_box(size)):
            row = _of_boxes(label, classes, box.to(boxes).expand_as(boxes), box, truth)
            if cover is not None:
                uniform = pixel_cover(scale_boxes(box[None], size, _shape(cover)), _shape(cover))
                row |= _of_map(uniform, cover, (size[1] / 2, size[0] / 2), truth)
            rows.append(row)
    rows += [{}] * (len(ROWS) - len(rows))
    values = [[row.get(name, torch.nan) for name in MEASURES] for row in rows]
    return PictureScore(errors, torch.tensor(values, dtype=torch.float64, device="cpu"))


class LocalisationError(Metric):
    """Means of one method, the centred 72% box and the whole picture, on the same pictures and guessed classes.

    Call `update` with each picture's `score_picture`; `compute` gives
    {"images": pictures with boxes, "method" | "centre_box" | "whole_image": {MEASURES},
     "classification": {ERRORS}}, fractions in [0, 1], those of the classification NaN where no picture counted; a
    measure that could not be told for every picture is left out, and a row without any, so all rows without a picture
    that has boxes.
    gt_known_accuracy takes the label as known: the share of known boxes with IoU >= 0.5 (_30: 0.3, _70: 0.7); mean_iou
    is the mean best IoU of the known boxes. A picture without true boxes (one that is blacklisted) counts for the
    classification alone. The states are sums of fixed size, so processes with unequal numbers of pictures, or none,
    merge exactly.
    """

    higher_is_better = False
    full_state_update = False

    images: Tensor
    classified: Tensor
    class_errors: Tensor
    total: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("classified", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("class_errors", torch.zeros(len(ERRORS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(len(ROWS), len(MEASURES), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, score: PictureScore) -> None:
        """Add one picture."""
        self.classified += 1
        self.class_errors += score.classes.to(self.class_errors.device)
        if score.rows is not None:
            self.images += 1
            self.total += score.rows.to(self.total.device)

    def compute(self) -> dict[str, int | dict[str, float]]:
        """The dictionary described above."""
        result: dict[str, int | dict[str, float]] = {"images": int(self.images)}
        for name, row in zip(ROWS, (self.total / self.images).tolist(), strict=True):
            told = {key: v for key, v in zip(MEASURES, row, strict=True) if not math.isnan(v)}
            if told:
                result[name] = told
        errors = (self.class_errors / self.classified).tolist()
        result["classification"] = dict(zip(ERRORS, errors, strict=True))
        return result


def _of_boxes(label: int, classes: Tensor, boxes: Tensor, known: Tensor | None, truth: Tensor) -> dict[str, float]:
    right = score_guesses(label, classes, boxes, truth)[1]
    values = dict(zip(ERRORS, _errors(right).tolist(), strict=True))
    if known is None:
        return values
    best = float(iou(known[None].cpu().double(), truth.cpu().double()).max())  # in float32 0.7 is less than 0.7
    return values | {name: float(best >= level) for name, level in KNOWN.items()} | {"mean_iou": best}


def _of_map(saliency: Tensor, cover: Tensor, point: tuple[float, float], truth: Tensor) -> dict[str, float]:
    return {"pointing_game": float(points_at(point, truth)), "saliency_mass": saliency_mass(saliency, cover)}


def _errors(right: Tensor) -> Tensor:
    """Whether none of the first guesses is right, in the order of ERRORS: bool (K,) -> float64 (5,)."""
    return torch.tensor([float(not right[:rank].any()) for rank in _RANKS], dtype=torch.float64, device="cpu")


def _shape(plane: Tensor) -> tuple[int, int]:
    return plane.shape[-2], plane.shape[-1]
