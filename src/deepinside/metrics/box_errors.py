"""What is wrong with a box: kinds of error, exactly one for each."""

from torch import Tensor

from deepinside.boxes import area, iou, shared_area

KINDS = {
    "right": "IoU >= 0.5 with any true box",
    "wrong_class": "the first guess is of another class (only where the class is guessed)",
    "several_instances": "the box holds at least half of each of two or more true boxes",
    "too_large": "it holds at least 80% of the true box nearest to it",
    "too_small": "at least 80% of it lie in the nearest true box, it has at least a quarter of that one's area",
    "a_part": "at least 80% of it lie in the nearest true box, it has less than a quarter of that one's area",
    "wrong_instance": "IoU < 0.1 with every true box: on another thing, or an instance that has no box",
    "shifted": "everything else: it overlaps the nearest true box, and neither holds the other",
}
"""Kinds of error and their rules, tried in this order. Nearest: the true box of greatest IoU."""

HOLDS, PART, APART = 0.8, 0.25, 0.1


def box_error(box: Tensor, truth: Tensor) -> str:
    """The kind of KINDS that a box (4,) for a known class is; truth (M, 4), M > 0. Never "wrong_class"."""
    one, truth = box[None].double(), truth.double()
    overlaps = iou(one, truth)[0]
    if overlaps.max() >= 0.5:
        return "right"
    areas, own, shared = area(truth), area(one)[0], shared_area(one, truth)[0]
    if int((shared >= 0.5 * areas).sum()) >= 2:
        return "several_instances"
    nearest = int(overlaps.argmax())
    if shared[nearest] >= HOLDS * areas[nearest]:
        return "too_large"
    if shared[nearest] >= HOLDS * own:
        return "too_small" if own >= PART * areas[nearest] else "a_part"
    return "wrong_instance" if overlaps[nearest] < APART else "shifted"


def guess_error(label: int, classes: Tensor, boxes: Tensor, truth: Tensor) -> str:
    """The kind of error of a picture's first guess, its class included; "wrong_class" without a guess."""
    if len(classes) == 0 or int(classes[0]) != label:
        return "wrong_class"
    return box_error(boxes[0], truth)
