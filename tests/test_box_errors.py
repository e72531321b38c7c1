"""Kinds of error: each rule by hand, and every box has exactly one."""

import pytest
import torch

from deepinside.boxes import iou
from deepinside.metrics import box_error, guess_error
from deepinside.records import KINDS

ONE = torch.tensor([[40.0, 40.0, 60.0, 60.0]])
PAIR = torch.tensor([[10.0, 10.0, 30.0, 30.0], [60.0, 10.0, 80.0, 30.0]])


def box(*edges: float) -> torch.Tensor:
    return torch.tensor(edges)


@pytest.mark.parametrize(
    ("guess", "truth", "kind"),
    [
        (box(40, 40, 60, 60), ONE, "right"),
        (box(40, 40, 60, 50), ONE, "right"),  # IoU exactly 1/2
        (box(30, 30, 70, 70), ONE, "too_large"),  # four times its area
        (box(44, 40, 80, 80), ONE, "too_large"),  # exactly 80% of it
        (box(45, 40, 80, 80), ONE, "shifted"),  # 75%
        (box(45, 45, 55, 58), ONE, "too_small"),  # 130 of 400 pixels
        (box(45, 45, 55, 55), ONE, "too_small"),  # a quarter
        (box(45, 45, 55, 54), ONE, "a_part"),  # less
        (box(38, 45, 48, 55), ONE, "too_small"),  # exactly 80% of it lies inside
        (box(37, 45, 47, 55), ONE, "shifted"),  # 70%
        (box(52, 40, 72, 60), ONE, "shifted"),  # IoU 8/32
        (box(57, 40, 77, 60), ONE, "wrong_instance"),  # IoU 3/37 < 0.1
        (box(55, 40, 90, 60), ONE, "shifted"),  # IoU exactly 1/10
        (box(0, 0, 10, 10), ONE, "wrong_instance"),
        (box(0, 0, 90, 40), PAIR, "several_instances"),
        (box(20, 10, 70, 30), PAIR, "several_instances"),  # half of each, exactly
        (box(21, 10, 70, 30), PAIR, "shifted"),
        (box(0, 0, 59, 40), PAIR, "too_large"),
        (box(30, 20, 70, 80), torch.tensor([[0.0, 0, 50, 100], [50, 0, 100, 100]]), "shifted"),  # half in each
    ],
)
def test_rules_by_hand(guess: torch.Tensor, truth: torch.Tensor, kind: str) -> None:
    assert box_error(guess, truth) == kind


def test_the_class_comes_first() -> None:
    boxes = ONE.expand(2, 4)
    assert guess_error(3, torch.tensor([4, 3]), boxes, ONE) == "wrong_class"
    assert guess_error(3, torch.tensor([3, 4]), boxes, ONE) == "right"
    assert guess_error(3, torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), ONE) == "wrong_class"


def test_every_box_has_one_kind_and_right_means_right() -> None:
    random = torch.Generator().manual_seed(0)
    found = set()
    for _ in range(2000):
        corners = torch.randint(0, 12, (4, 4), generator=random).float()
        boxes = torch.cat([torch.minimum(corners[:, :2], corners[:, 2:]), torch.zeros(4, 2)], dim=1)
        boxes[:, 2:] = torch.maximum(corners[:, :2], corners[:, 2:]) + 1
        kind = box_error(boxes[0], boxes[1 : 2 + int(corners[0, 0]) % 3])
        best = iou(boxes[:1], boxes[1 : 2 + int(corners[0, 0]) % 3]).max()
        assert (kind == "right") == bool(best >= 0.5)
        found.add(kind)
    assert found == set(KINDS) - {"wrong_class"}
