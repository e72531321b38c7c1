"""What the benchmark leaves out where it chooses."""

import numpy as np
import pytest

from deepinside.localisation.presets import Evidence
from tests.benchmarks.cross_validation import FOLDS, LEVELS, Judged, further_levels, guess_errors, left_out_guesses

SURE, TORN = [0.97, 0.01, 0.01, 0.01], [0.4, 0.3, 0.2, 0.1]


def judged(ladder: list[list[int]], posteriors: list[list[float]], labels: list[int]) -> Judged:
    none = np.zeros((len(labels), 0), dtype=bool)
    right = np.zeros((len(labels), 1 + len(LEVELS)), dtype=bool)
    for row, places in zip(right, ladder, strict=True):
        row[places] = True
    return Judged(none, none, none[:, :0].any(1), right, np.array(posteriors), np.array(labels))


def test_levels_are_those_that_add_most() -> None:
    net = judged([[0], [0], [5], [5], [5, 7], [7], [7], [2], [5], []], [SURE] * 10, [0] * 10)
    places, gains = further_levels(net.ladder[None])
    assert len(places) == len(gains) == len(Evidence().gains)
    assert places == [0, 5, 7, 2]
    assert gains == pytest.approx([0.2, 0.4, 0.2, 0.1])


def test_a_guess_is_right_with_the_own_class_and_a_right_box_among_the_five() -> None:
    """Four boxes and one class where one is sure; where one is torn, no second box comes before the fourth class."""
    gains, places = [0.7, 0.1, 0.03, 0.02], [0, 4, 6, 8]
    net = judged([[0], [8], [8], [0], [4], [5]], [SURE, SURE, TORN, TORN, TORN, SURE], [0, 0, 0, 3, 0, 0])
    assert guess_errors(net, np.arange(6), places, gains).tolist() == [0, 0, 1, 0, 0, 1]
    assert guess_errors(net, np.array([5, 0]), places, gains).tolist() == [1, 0]
    assert guess_errors(net, np.arange(6), [0], [1.0]).tolist() == [0, 1, 1, 0, 1, 1]


def test_the_part_that_is_scored_chooses_nothing() -> None:
    """Each part is right at a level of its own, which the others have no reason to choose."""
    parts = np.random.default_rng(3).permutation(2 * FOLDS) % FOLDS
    net = judged([[2 * int(part) + 1] for part in parts], [SURE] * len(parts), [0] * len(parts))
    assert left_out_guesses([net], 3).tolist() == [[1.0] * len(parts)]
