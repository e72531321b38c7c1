"""Which boxes of which classes are guessed."""

import math
from itertools import combinations, product

import pytest
import torch

from deepinside.localisation.guesses import allocate, mean_posteriors
from deepinside.localisation.presets import Evidence

GAINS = Evidence().gains


def test_posteriors_are_averaged_and_not_scores() -> None:
    """exp(4) : 1 and 1 : exp(2), so one crop is surer than the other; scores in half precision lose nothing more."""
    scores = torch.tensor([[4.0, 0.0], [0.0, 2.0]])
    expected = [
        0.5 * (1 / (1 + math.exp(-4)) + 1 / (1 + math.exp(2))),
        0.5 * (1 / (1 + math.exp(4)) + 1 / (1 + math.exp(-2))),
    ]
    assert mean_posteriors(scores).tolist() == pytest.approx(expected)
    assert mean_posteriors(scores.half()).tolist() == pytest.approx(expected)


def test_a_sure_class_gets_all_its_boxes_before_the_next_class() -> None:
    posteriors = torch.tensor([0.004, 0.99, 0.006])
    assert allocate(posteriors, GAINS, 5) == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]


def test_flat_posteriors_give_five_classes() -> None:
    assert allocate(torch.full((100,), 0.01), GAINS, 5) == [(c, 0) for c in range(5)]


def test_guesses_are_ordered_by_expected_gain() -> None:
    """0.6 and 0.3 of 0.5; 0.6 and 0.3 of 0.3; 0.6 of 0.2."""
    posteriors = torch.tensor([0.2, 0.5, 0.3])
    assert allocate(posteriors, (0.6, 0.3), 5) == [(1, 0), (2, 0), (1, 1), (0, 0), (2, 1)]


def test_equal_gains_go_to_the_earlier_box_then_the_earlier_class() -> None:
    posteriors = torch.tensor([0.25, 0.5, 0.25])
    assert allocate(posteriors, (1.0, 0.5), 5) == [(1, 0), (0, 0), (2, 0), (1, 1), (0, 1)]
    assert allocate(torch.tensor([0.0, 1.0, 0.0]), (1.0, 0.5), 4) == [(1, 0), (1, 1), (0, 0), (2, 0)]


def test_fewer_pairs_than_guesses() -> None:
    assert allocate(torch.tensor([0.3, 0.7]), (1.0,), 5) == [(1, 0), (0, 0)]
    assert allocate(torch.ones(1), GAINS, 5) == [(0, 0), (0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize(("guesses", "expected"), [(0, []), (1, [(1, 0)])])
def test_few_guesses(guesses: int, expected: list[tuple[int, int]]) -> None:
    assert allocate(torch.tensor([0.1, 0.9]), GAINS, guesses) == expected


@pytest.mark.parametrize("seed", range(10))
def test_no_other_guesses_gain_more(seed: int) -> None:
    """Of all sets of five; a class's boxes come in order, so what they gain is the chance that one of them is right."""
    generator = torch.Generator().manual_seed(seed)
    posteriors = (3 * torch.randn(4, generator=generator, dtype=torch.float64)).softmax(0)
    gain = {(c, n): float(posteriors[c]) * GAINS[n] for c, n in product(range(4), range(4))}
    found = allocate(posteriors, GAINS, 5)
    best = max(sum(gain[guess] for guess in several) for several in combinations(gain, 5))
    assert sum(gain[guess] for guess in found) == pytest.approx(best, rel=1e-12)
    assert all((c, n - 1) in found[:i] for i, (c, n) in enumerate(found) if n)
