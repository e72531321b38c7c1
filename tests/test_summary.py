"""Bootstrap intervals, and the dictionary that metrics.json holds."""

from typing import Any

import numpy as np
import pytest
import torch

from deepinside.bootstrap import interval, resampled_means
from deepinside.boxes import centre_box
from deepinside.metrics import LocalisationError, MaxBoxAccuracy, Outcomes, centre_hits, score_picture, summarise

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
    values = np.random.default_rng(1).random((50, 1))
    found = draws(np.concatenate([values, values + 0.25], axis=1))
    assert interval(found[:, 1] - found[:, 0], values) == pytest.approx((0.25, 0.25))
    low, high = interval(found[:, 0], values)
    assert high - low > 0.1


def test_pictures_that_are_all_alike_are_no_certainty() -> None:
    """Wilson's interval of none and of all in 40 is [0, 8.76] and [91.24, 100] percent."""
    none, all_of_them = np.zeros((40, 1), dtype=bool), np.ones((40, 1), dtype=bool)
    assert interval(draws(none)[:, 0], none) == pytest.approx((0, 0.0876), abs=1e-4)
    assert interval(draws(all_of_them)[:, 0], all_of_them) == pytest.approx((0.9124, 1), abs=1e-4)
    assert interval(draws(none)[:, 0], none, least=-1) == pytest.approx((-0.0876, 0.0876), abs=1e-4)
    lost = draws(none)[:, 0] - draws(all_of_them)[:, 0]
    both = np.concatenate([none, all_of_them], axis=1)
    assert interval(lost, both, least=-1) == pytest.approx((-1, -0.9124), abs=1e-4)


def test_shares_that_are_all_alike_are_a_point() -> None:
    """What is no hit or miss has Wilson's width neither by itself nor as a difference."""
    mass = np.random.default_rng(3).random((12, 1))
    assert interval(draws(mass - mass)[:, 0], np.concatenate([mass, mass], axis=1), least=-1) == (0, 0)
    half = np.full((12, 1), 0.5)
    assert interval(draws(half)[:, 0], half) == (0.5, 0.5)


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
