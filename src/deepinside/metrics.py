"""Localisation error by the rules of ILSVRC's development kit, for a method and its two trivial rivals.

A picture has one label and every box of it. At most 5 guesses, each a class and a box; a guess is right if its class is
right and its IoU with ANY box of the label is >= 0.5; a picture's error is the least over its guesses.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from deepinside.boxes import centre_box, iou, whole_box

MAX_GUESSES = 5
ROWS = ("method", "centre_box", "whole_image")
"""What is scored: the given boxes, and the same guessed classes with the centred 72% box or the whole picture."""


def score_guesses(label: int, classes: Tensor, boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Each guess's best IoU with any true box (whatever its class), and whether it is right by ILSVRC's rule.

    label; classes int (K,), K <= 5, best first; boxes (K, 4); truth (M, 4), all boxes of the label -> IoU (K,) and bool
    (K,). Without true boxes IoU is 0. ValueError for more than 5 guesses or shapes that do not fit.
    """
    if len(classes) > MAX_GUESSES:
        raise ValueError(f"at most {MAX_GUESSES} guesses a picture, not {len(classes)}")
    if classes.ndim != 1 or classes.is_floating_point() or len(boxes) != len(classes):
        raise ValueError(f"{len(boxes)} boxes need as many class indices, not {classes.dtype} {tuple(classes.shape)}")
    overlaps = iou(boxes, truth.to(boxes))
    best = overlaps.amax(dim=1) if len(truth) else boxes.new_zeros(len(boxes))
    return best, (classes.to(boxes.device) == label) & (best >= 0.5)


class LocalisationError(Metric):
    """Errors of one method, the centred 72% box and the whole picture, on the same pictures and guessed classes.

    Call `update` once a picture; `compute` gives
    {"images": pictures with boxes, "method" | "centre_box" | "whole_image":
        {"top1_error", "top5_error", "gt_known_accuracy", "mean_iou"},
     "classification": {"top1_error", "top5_error"}}, fractions in [0, 1], NaN where no picture counted.
    gt_known_accuracy takes the label as known: the share of known boxes with IoU >= 0.5; mean_iou is the mean best IoU
    of the known boxes. A picture without true boxes (one that is blacklisted) counts for the classification alone. The
    states are sums of fixed size, so processes with unequal numbers of pictures, or none, merge exactly.
    """

    higher_is_better = False
    full_state_update = False

    images: Tensor
    classified: Tensor
    class_wrong: Tensor
    wrong: Tensor
    known_right: Tensor
    iou_sum: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("classified", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("class_wrong", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")  # top-1, top-5
        self.add_state("wrong", torch.zeros(len(ROWS), 2, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("known_right", torch.zeros(len(ROWS), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("iou_sum", torch.zeros(len(ROWS), dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self, label: int, classes: Tensor, boxes: Tensor, known_box: Tensor, truth: Tensor, size: tuple[int, int]
    ) -> None:
        """Add one picture: arguments as in `score_guesses`, with `known_box` (4,) the box predicted for `label` and
        `size` the picture's (height, width) in the pixels of the boxes."""
        self.classified += 1
        self.class_wrong += _errors(classes == label).to(self.class_wrong.device)
        if len(truth) == 0:
            return
        self.images += 1
        centre, whole = (box(size).to(boxes) for box in (centre_box, whole_box))
        guessed = (boxes, centre.expand_as(boxes), whole.expand_as(boxes))
        for row, (guesses, known) in enumerate(zip(guessed, (known_box, centre, whole), strict=True)):
            self.wrong[row] += _errors(score_guesses(label, classes, guesses, truth)[1]).to(self.wrong.device)
            best = iou(known[None].to(boxes), truth.to(boxes)).max()
            self.known_right[row] += int(best >= 0.5)
            self.iou_sum[row] += float(best)

    def compute(self) -> dict[str, int | dict[str, float]]:
        """The dictionary described above."""
        result: dict[str, int | dict[str, float]] = {"images": int(self.images)}
        for row, name in enumerate(ROWS):
            top1, top5 = (self.wrong[row].double() / self.images).tolist()
            result[name] = {
                "top1_error": top1,
                "top5_error": top5,
                "gt_known_accuracy": float(self.known_right[row].double() / self.images),
                "mean_iou": float(self.iou_sum[row] / self.images),
            }
        top1, top5 = (self.class_wrong.double() / self.classified).tolist()
        result["classification"] = {"top1_error": top1, "top5_error": top5}
        return result


def _errors(right: Tensor) -> Tensor:
    """Whether the first guess is wrong, and whether all are: bool (K,) -> int (2,)."""
    return torch.stack([~right[:1].any(), ~right.any()]).long()
