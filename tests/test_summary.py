"""Bootstrap intervals, and the dictionary that metrics.json holds."""

from typing import Any

import numpy as np
import pytest
import torch

from deepinside.bootstrap import interval, resampled_means, wilson
from deepinside.boxes import centre_box
from deepinside.metrics import LocalisationError, MaxBoxAccuracy, Outcomes, centre_hits, score_picture, summarise
from deepinside.metrics.max_box import at_best_thresholds, best_thresholds

SIZE = (100, 100)


def draws(values: np.ndarray[Any, Any], resamples: int = 1000, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.concatenate(list(resampled_means(values, resamples, seed)))


def test_interval_of_a_share_is_the_binomials() -> None:
    values = np.repeat([True, False], [120, 280])
    low, high = interval(draws(values, 4000), values)
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert low == pytest.approx(0.3 - spread, abs=0.006)
    assert high == pytest.approx(0.3 + spread, abs=0.006)


def test_columns_are_drawn_together() -> None:
    """A paired difference that is the same in every picture has no width, whatever the pictures' own spread."""
    values = np.random.default_rng(1).random(50)
    pairs = np.stack([values + 0.25, values], axis=1)
    found = draws(pairs)
    assert interval(found[:, 0] - found[:, 1], pairs) == pytest.approx((0.25, 0.25))
    low, high = interval(found[:, 1], values)
    assert high - low > 0.1


@pytest.mark.parametrize("hits", [0, 1, 3, 9, 31, 39, 40])
def test_rare_hits_reach_as_far_as_wilsons_bounds(hits: int) -> None:
    """The bootstrap of 1 of 40 ends at 7.5%, below what 0 of 40 leave open."""
    values = np.repeat([True, False], [hits, 40 - hits])
    low, high = interval(draws(values), values)
    share, z = hits / 40, 1.96
    middle, half = share + z**2 / 80, z * np.sqrt(share * (1 - share) / 40 + z**2 / 6400)
    scale = 1 + z**2 / 40
    sampled = np.quantile(draws(values), [0.025, 0.975])
    assert low == pytest.approx(min(sampled[0], (middle - half) / scale), abs=1e-4)
    assert high == pytest.approx(max(sampled[1], (middle + half) / scale), abs=1e-4)


@pytest.mark.parametrize("bound", [0.0, 1.0])
@pytest.mark.parametrize("pictures", [29, 30, 100])
def test_graded_values_near_a_bound_are_as_unsure_as_hits(pictures: int, bound: float) -> None:
    """One picture's MaxBoxAccV2 is 1/3, or 2/3: that leaves more open than if none were."""
    alike = np.full(pictures, bound)
    graded = np.append(alike[1:], abs(bound - 1 / 3))
    widths = []
    for values in (alike, graded):
        low, high = interval(draws(values), values)
        assert 0 <= low <= values.mean() <= high <= 1
        widths.append(high - low)
    assert 0 < widths[0] < widths[1] < 0.2


def test_max_box_at_the_best_thresholds_is_what_is_told() -> None:
    hits = np.random.default_rng(4).random((12, 4, 100)) < np.linspace(0.2, 0.8, 100)
    each = at_best_thresholds(hits)
    assert each.shape == (12, 2)
    assert each.mean(0) == pytest.approx(np.array(best_thresholds(hits.mean(0))))
    assert set(each[:, 0]) <= {0, 1}


def test_ten_of_each_kind_are_enough() -> None:
    values = np.repeat([True, False], [10, 30])
    assert interval(draws(values), values) == tuple(np.quantile(draws(values), [0.025, 0.975]))
    assert wilson(10, 40)[1] != interval(draws(values), values)[1]


@pytest.mark.parametrize(("lost", "clear"), [(0, False), (1, False), (4, False), (6, True), (40, True)])
def test_few_pictures_that_one_alone_has_right_are_no_certainty(lost: int, clear: bool) -> None:
    """Of 40; McNemar's p is .125 for four and .031 for six."""
    pairs = np.stack([np.ones(40), np.arange(40) >= lost], axis=1)
    low, high = interval(draws(pairs[:, 0] - pairs[:, 1]), pairs, least=-1)
    assert low <= lost / 40 <= high
    assert (low > 0) == clear
    if lost == 0:
        assert (low, high) == pytest.approx((-0.0876, 0.0876), abs=1e-4)  # Wilson's upper bound of none
    back = interval(draws(pairs[:, 1] - pairs[:, 0]), pairs[:, ::-1], least=-1)
    assert back == pytest.approx((-high, -low))


def test_ten_pictures_that_one_alone_has_right_are_enough() -> None:
    pairs = np.stack([np.ones(40), np.arange(40) >= 10], axis=1)
    found = draws(pairs[:, 0] - pairs[:, 1])
    assert interval(found, pairs, least=-1) == tuple(np.quantile(found, [0.025, 0.975]))


def test_few_values_have_students_interval() -> None:
    values = np.array([0.2, 0.5, 0.6])
    half = 4.3027 * values.std(ddof=1) / np.sqrt(3)
    assert interval(draws(values), values) == pytest.approx(
        (max(0, values.mean() - half), values.mean() + half), rel=1e-4
    )
    assert interval(draws(values), values - 0.3, least=-1)[0] == pytest.approx(values.mean() - 0.3 - half, rel=1e-4)
    assert interval(draws(values[:1]), values[:1]) == (0, 1)
    assert interval(draws(values[:1]), values[:1], least=-1) == (-1, 1)


def test_of_thirty_values_the_bootstrap_is_believed() -> None:
    values = np.random.default_rng(6).random(30)
    found = draws(values)
    assert interval(found, values) == tuple(np.quantile(found, [0.025, 0.975]))
    fewer = values[:29]
    half = 2.0484 * fewer.std(ddof=1) / np.sqrt(29)
    assert interval(draws(fewer), fewer) == pytest.approx((fewer.mean() - half, fewer.mean() + half), rel=1e-4)


@pytest.mark.parametrize("pictures", [3, 8, 29, 30, 100])
def test_intervals_of_values_cover_the_mean_as_often_as_they_say(pictures: int) -> None:
    """Of 400 sets of Beta(3, 1.5), mean 2/3, which the bootstrap alone covers in 80% of sets of three."""
    sets = np.random.default_rng(5).beta(3, 1.5, (400, pictures))
    bounds = [interval(found, values) for found, values in zip(draws(sets.T).T, sets, strict=True)]
    assert 0.91 <= np.mean([low <= 2 / 3 <= high for low, high in bounds]) <= 0.98


def test_shares_that_are_all_alike_are_a_point() -> None:
    """What is no hit or miss has Wilson's width neither by itself nor as a difference."""
    mass = np.random.default_rng(3).random(12)
    assert interval(draws(mass - mass), np.stack([mass, mass], axis=1), least=-1) == (0, 0)
    half = np.full(12, 0.5)
    assert interval(draws(half), half) == (0.5, 0.5)


def test_draws_are_seeded_and_shaped() -> None:
    values = np.random.default_rng(2).random((30, 2, 3))
    assert draws(values, 250).shape == (250, 2, 3)
    assert np.array_equal(draws(values), draws(values))
    assert not np.array_equal(draws(values), draws(values, seed=1))
    assert np.ptp(draws(np.ones((9, 2)))) == 0
    assert sum(map(len, resampled_means(values))) == 1000


def measured(pictures: int) -> tuple[dict[str, Any], Outcomes]:
    """Pictures whose object is the centred box with 60% of each side: every fifth one is found, in the others the box
    is a corner of the picture; every second guess is of another class."""
    error, max_box, scores, hits = LocalisationError(), MaxBoxAccuracy(), [], []
    truth = centre_box(SIZE, 0.6)[None]
    for i in range(pictures):
        box = truth[0] if i % 5 == 0 else torch.tensor([0.0, 0, 10, 10])
        scores.append(score_picture(1, torch.tensor([i % 2]), box[None], box, truth, SIZE, torch.ones(5, 5)))
        hits.append(torch.stack([centre_hits(truth, SIZE) & (i % 5 == 0), centre_hits(truth, SIZE)]))
        error.update(scores[-1])
        max_box.update(hits[-1])
    found: dict[str, Any] = error.compute()
    for row, values in max_box.compute().items():
        found[row] = found[row] | values
    kinds = ["right" if i % 5 == 0 else "shifted" for i in range(pictures)]
    return found, Outcomes(scores, hits, ["wrong_class", *kinds[1:]], kinds)


def test_metrics_json() -> None:
    result = summarise(*measured(40))
    assert result["images"] == result["localisation"]["images"] == 40
    assert result["localisation"]["gt_known_accuracy"] == result["localisation"]["max_box_acc"] == 0.2
    assert result["localisation"]["top1_error"] == 0.9
    assert result["classification"]["top1_error"] == 0.5
    assert result["baselines"]["centre_box"]["gt_known_accuracy"] == 1.0
    assert result["errors"] == {
        "first_guess": {"right": 7, "wrong_class": 1, "shifted": 32},
        "class_known": {"right": 8, "shifted": 32},
    }
    intervals = result["intervals"]
    for row in ("localisation", "centre_box", "whole_image"):
        values = result["baselines"].get(row) or result["localisation"]
        assert set(intervals[row]) == set(values) - {"images"}
        assert all(
            low <= values[key] + 1e-5 and values[key] <= high + 1e-5 for key, (low, high) in intervals[row].items()
        )
    low, high = intervals["localisation"]["gt_known_accuracy"]
    assert (low, high) == pytest.approx((0.075, 0.325), abs=0.03)
    assert intervals["localisation"]["max_box_acc"] == [low, high], "the same pictures are drawn"
    difference, low, high = intervals["minus_centre_box"]["gt_known_accuracy"]
    assert (difference, low < -0.8 < high < 0) == (-0.8, True)


def test_of_three_pictures_a_difference_may_be_any() -> None:
    """IoU of the method 1, 0, 0, of the centre box 0.6^2 / 0.72^2 each: mean -0.36, t s / sqrt(3) = 1.43."""
    found = summarise(*measured(3))["intervals"]["minus_centre_box"]["mean_iou"]
    assert found == pytest.approx([1 / 3 - 0.36 / 0.5184, -1, 1], abs=1e-5)


def test_main_numbers_come_first() -> None:
    result = summarise(*measured(5))
    assert list(result) == ["images", "classification", "localisation", "baselines", "errors", "intervals"]
    assert list(result["localisation"])[:4] == ["images", "top1_error", "top5_error", "gt_known_accuracy"]
    assert list(result["localisation"])[-3:] == ["top2_error", "top3_error", "top4_error"]


def test_pictures_without_boxes_are_classified_only() -> None:
    error, none = LocalisationError(), torch.zeros(0, 4)
    scores = [score_picture(1, torch.tensor([i % 2]), none.new_zeros(1, 4), None, none, SIZE) for i in range(8)]
    for score in scores:
        error.update(score)
    result = summarise(error.compute(), Outcomes(scores))
    assert list(result) == ["images", "classification", "intervals"]
    assert (result["images"], result["classification"]["top1_error"]) == (8, 0.5)
    assert set(result["intervals"]) == {"classification"}
