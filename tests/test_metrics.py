import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from deepinside.boxes import centre_box, from_inclusive
from deepinside.metrics import ERRORS, MEASURES, LocalisationError, possible_errors, score_guesses, score_picture

SIZE = (100, 100)
TRUTH = torch.tensor([[0.0, 0.0, 40.0, 40.0], [50.0, 50.0, 100.0, 100.0]])
GOOD = torch.tensor([50.0, 50.0, 100.0, 90.0])  # IoU 0.8 with the SECOND true box
BAD = torch.tensor([30.0, 30.0, 60.0, 60.0])
LABEL = 3


def add(metric: LocalisationError, classes: list[int], boxes: list[torch.Tensor], known: torch.Tensor = GOOD) -> None:
    stacked = torch.stack(boxes) if boxes else torch.zeros(0, 4)
    metric.update(score_picture(LABEL, torch.tensor(classes, dtype=torch.long), stacked, known, TRUTH, SIZE))


def test_half_of_a_large_box_is_half_of_it() -> None:
    """Areas above 2^24 are rounded in float32: the IoU would be just below 1/2."""
    guess, truth = torch.tensor([[0.0, 0, 1399, 3999]]), torch.tensor([[0.0, 0, 2798, 3999]])
    overlaps, right = score_guesses(0, torch.tensor([0]), guess, truth)
    assert (overlaps.tolist(), right.tolist()) == ([0.5], [True])


def rows(metric: LocalisationError, name: str = "method") -> dict[str, float]:
    row = metric.compute()[name]
    assert isinstance(row, dict)
    return row


def test_a_guess_needs_both_the_label_and_any_of_its_boxes() -> None:
    classes = torch.tensor([3, 3, 4])
    overlaps, correct = score_guesses(LABEL, classes, torch.stack([GOOD, BAD, GOOD]), TRUTH)
    assert overlaps.tolist() == pytest.approx([0.8, 100 / (900 + 1600 - 100), 0.8])
    assert correct.tolist() == [True, False, False]


def test_iou_of_exactly_one_half_is_right_in_inclusive_pixels() -> None:
    # 10 x 10 pixels against the 5 x 10 of its left half; without the + 1 of inclusive pixels this is 36 / 81 < 0.5.
    truth, guess = from_inclusive(torch.tensor([[0.0, 0, 9, 9]])), from_inclusive(torch.tensor([[0.0, 0, 4, 9]]))
    assert score_guesses(LABEL, torch.tensor([LABEL]), guess, truth)[1].tolist() == [True]


def test_guesses_without_truth_or_without_guesses() -> None:
    overlaps, correct = score_guesses(LABEL, torch.tensor([LABEL]), GOOD[None], torch.zeros(0, 4))
    assert overlaps.tolist() == [0.0]
    assert correct.tolist() == [False]
    overlaps, correct = score_guesses(LABEL, torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), TRUTH)
    assert overlaps.shape == correct.shape == (0,)


def test_bad_guesses_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 5"):
        score_guesses(LABEL, torch.arange(6), GOOD.expand(6, 4), TRUTH)
    with pytest.raises(ValueError, match="as many class indices"):
        score_guesses(LABEL, torch.arange(2), GOOD.expand(3, 4), TRUTH)
    with pytest.raises(ValueError, match="class indices"):
        score_guesses(LABEL, torch.tensor([3.0]), GOOD[None], TRUTH)


def test_right_classes_with_wrong_boxes() -> None:
    metric = LocalisationError()
    add(metric, [3], [BAD], known=BAD)
    assert metric.compute()["classification"] == dict.fromkeys(ERRORS, 0.0)
    assert rows(metric)["top1_error"] == rows(metric)["top5_error"] == 1
    assert rows(metric)["gt_known_accuracy"] == 0


def test_one_right_guess_of_five_is_enough_for_the_top_5() -> None:
    metric = LocalisationError()
    add(metric, [9, 8, 3, 3, 7], [GOOD, GOOD, BAD, GOOD, GOOD])  # a label may be guessed twice
    assert rows(metric)["top1_error"] == 1
    assert rows(metric)["top5_error"] == 0
    assert metric.compute()["classification"] == dict.fromkeys(ERRORS, 0.0) | {"top1_error": 1, "top2_error": 1}
    assert [rows(metric)[f"top{k}_error"] for k in range(1, 6)] == [1, 1, 1, 0, 0]


def test_k_guesses_of_k_classes_make_no_error() -> None:
    assert possible_errors(6) == possible_errors(1000) == list(ERRORS)
    assert possible_errors(5) == ["top1_error", "top2_error", "top3_error", "top4_error"]
    assert possible_errors(2) == possible_errors(1) == ["top1_error"]


def test_no_guess_at_all_is_an_error() -> None:
    metric = LocalisationError()
    add(metric, [], [])
    assert rows(metric)["top1_error"] == rows(metric)["top5_error"] == 1


def test_means_over_pictures() -> None:
    metric = LocalisationError()
    add(metric, [3, 1], [GOOD, BAD], known=GOOD)
    add(metric, [1, 3], [BAD, GOOD], known=GOOD)
    add(metric, [1, 2], [GOOD, GOOD], known=BAD)
    add(metric, [3, 2], [BAD, GOOD], known=GOOD)
    result = metric.compute()
    assert result["images"] == 4
    assert result["method"] == {
        "top1_error": 0.75,
        **{f"top{k}_error": 0.5 for k in range(2, 6)},
        "gt_known_accuracy": 0.75,
        "gt_known_accuracy_30": 0.75,
        "gt_known_accuracy_70": 0.75,
        "mean_iou": pytest.approx((3 * 0.8 + 100 / 2400) / 4),
    }
    assert result["classification"] == {"top1_error": 0.5, **{f"top{k}_error": 0.25 for k in range(2, 6)}}


@pytest.mark.parametrize(
    ("columns", "right"),
    [(5, [0, 0, 0]), (6, [1, 0, 0]), (9, [1, 0, 0]), (10, [1, 1, 0]), (13, [1, 1, 0]), (14, [1, 1, 1])],
)
def test_known_boxes_are_right_from_each_level_on(columns: int, right: list[int]) -> None:
    """Of 20 columns 6 are an IoU of 0.3 and 14 one of 0.7 to the last bit; in float32 that is less than 0.7."""
    metric, truth, box = LocalisationError(), torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0.0, 0, columns, 20])
    metric.update(score_picture(LABEL, torch.tensor([LABEL]), box[None], box, truth, SIZE))
    levels = ("gt_known_accuracy_30", "gt_known_accuracy", "gt_known_accuracy_70")
    assert [rows(metric)[name] for name in levels] == right


def test_trivial_boxes_are_scored_with_the_same_classes() -> None:
    metric = LocalisationError()
    middle = torch.tensor([[14.0, 14.0, 86.0, 70.0]])
    metric.update(score_picture(LABEL, torch.tensor([1, LABEL]), torch.stack([BAD, BAD]), BAD, middle, SIZE))
    assert rows(metric)["top5_error"] == 1
    centre, whole = rows(metric, "centre_box"), rows(metric, "whole_image")
    assert (centre["top1_error"], centre["top5_error"], centre["gt_known_accuracy"]) == (1, 0, 1)
    assert centre["mean_iou"] == pytest.approx(56 / 72)
    assert (whole["top1_error"], whole["top5_error"], whole["gt_known_accuracy"]) == (1, 1, 0)
    assert whole["mean_iou"] == pytest.approx(72 * 56 / 100**2)


def test_the_centre_row_equals_guessing_centre_boxes() -> None:
    metric = LocalisationError()
    centre = centre_box(SIZE)
    add(metric, [3, 1], [centre, centre], known=centre)
    assert rows(metric) == rows(metric, "centre_box")


def test_a_picture_without_boxes_counts_for_classification_only() -> None:
    metric = LocalisationError()
    metric.update(score_picture(LABEL, torch.tensor([LABEL]), GOOD[None], GOOD, torch.zeros(0, 4), SIZE))
    add(metric, [1], [GOOD])
    assert metric.compute()["images"] == 1
    assert metric.compute()["classification"] == dict.fromkeys(ERRORS, 0.5)
    assert rows(metric)["top1_error"] == 1


def test_known_boxes_at_three_levels() -> None:
    """IoU 0.4, 0.6 and 0.8 with the first true box."""
    metric = LocalisationError()
    for height in (16.0, 24.0, 32.0):
        add(metric, [1], [BAD], known=torch.tensor([0, 0, 40, height]))
    found = rows(metric)
    levels = [found[f"gt_known_accuracy{suffix}"] for suffix in ("_30", "", "_70")]
    assert levels == pytest.approx([1, 2 / 3, 1 / 3])
    assert found["mean_iou"] == pytest.approx(0.6)


def test_a_known_box_with_an_iou_of_exactly_one_half_is_right() -> None:
    metric = LocalisationError()
    add(metric, [1], [BAD], known=torch.tensor([0.0, 0.0, 40.0, 20.0]))
    assert rows(metric)["gt_known_accuracy"] == 1


def test_pointing_in_an_oblong_picture() -> None:
    """The map's highest point and the picture's middle lie in one box each, with x and y exchanged in none."""
    saliency = torch.zeros(10, 40)
    saliency[2, 35] = 1.0
    for truth, expected in (
        (torch.tensor([[330.0, 0, 400, 60]]), [1, 0, 0]),
        (torch.tensor([[160.0, 20, 260, 80]]), [0, 1, 1]),
    ):
        score = score_picture(LABEL, torch.tensor([LABEL]), GOOD[None], GOOD, truth, (100, 400), saliency)
        assert score.rows is not None
        assert score.rows[:, MEASURES.index("pointing_game")].tolist() == expected


def test_what_cannot_be_told_is_left_out() -> None:
    metric = LocalisationError()
    metric.update(score_picture(LABEL, torch.tensor([LABEL]), GOOD[None], None, TRUTH, None))
    result = metric.compute()
    assert result["method"] == dict.fromkeys(ERRORS, 0.0)
    assert set(result) == {"images", "method", "classification"}
    metric.update(score_picture(LABEL, torch.tensor([LABEL]), GOOD[None], GOOD, TRUTH, SIZE))
    assert set(metric.compute()) == {"images", "method", "classification"}, "one picture lacks the trivial rows"


def test_the_map_is_scored_beside_uniform_ones() -> None:
    """All of the map on one pixel of the second box; uniform maps have the share of the area."""
    saliency = torch.zeros(50, 50)
    saliency[30, 40] = 2.0
    score = score_picture(LABEL, torch.tensor([LABEL]), GOOD[None], GOOD, TRUTH, SIZE, saliency)
    assert score.rows is not None
    pointing, mass = (score.rows[:, MEASURES.index(name)].tolist() for name in ("pointing_game", "saliency_mass"))
    assert pointing == [1, 1, 1]  # the picture's middle touches the second box
    whole = (40**2 + 50**2) / 100**2
    centred = ((40 - 14) ** 2 + (86 - 50) ** 2) / 72**2
    assert mass == pytest.approx([1, centred, whole])


CASES: list[tuple[list[int], list[torch.Tensor], torch.Tensor]] = [
    ([3, 1], [GOOD, BAD], GOOD),
    ([1, 3], [BAD, GOOD], BAD),
    ([1], [GOOD], GOOD),
    ([3, 3], [BAD, BAD], BAD),
    ([2, 3, 4], [BAD, GOOD, GOOD], GOOD),
]


def filled(cases: list[tuple[list[int], list[torch.Tensor], torch.Tensor]]) -> LocalisationError:
    metric = LocalisationError()
    for case in cases:
        add(metric, *case)
    return metric


def test_merged_halves_equal_the_whole() -> None:
    first = filled(CASES[:2])
    first.merge_state(filled(CASES[2:]))
    assert first.compute() == filled(CASES).compute()


def test_reset() -> None:
    metric = filled(CASES)
    metric.reset()
    add(metric, *CASES[0])
    assert metric.compute() == filled(CASES[:1]).compute()


OTHER_PROCESS = """
import sys, test_metrics
print(test_metrics.merged(1, sys.argv[1], test_metrics.CASES))
"""


def merged(rank: int, store: str, cases: list[tuple[list[int], list[torch.Tensor], torch.Tensor]]) -> str:
    method, limit = f"file://{store}", timedelta(seconds=60)
    torch.distributed.init_process_group("gloo", init_method=method, rank=rank, world_size=2, timeout=limit)
    try:
        return str(filled(cases).compute())
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")  # torchmetrics warns the idle process
def test_two_processes_of_which_one_is_idle(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    command = [sys.executable, "-c", OTHER_PROCESS, store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as other:
        here = merged(0, store, [])
        there = other.communicate(timeout=900)[0].strip()
    assert here == there == str(filled(CASES).compute())
