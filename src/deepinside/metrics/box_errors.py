"""What is wrong with a box: kinds of error, exactly one for each; the kinds are `deepinside.records.KINDS`."""

from torch import Tensor

from deepinside.boxes import area, iou, shared_area

HOLDS, PART, APART = 0.8, 0.25, 0.1


def box_error(box: Tensor, truth: Tensor) -> str:
    """The kind of KINDS that a box (4,) for a known class is; truth (M, 4), M > 0. Never "wrong_class"."""
    one, truth = box[None].cpu().double(), truth.cpu().double()
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
