"""All of a measurement as metrics.json holds it: the figures, the trivial rows beside them, 95% bootstrap intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepinside.bootstrap import Array, interval, resampled_means
from deepinside.metrics.localisation import ERRORS, MEASURES, ROWS, PictureScore
from deepinside.metrics.max_box import best_thresholds
from deepinside.records import KINDS

MAX_BOX = ("max_box_acc", "max_box_acc_v2")
Measure = tuple[str, str]
"""A row and a measure of it."""


@dataclass(frozen=True)
class Outcomes:
    """What was measured picture by picture, from all processes.

    scores: every picture's; hits: for each picture with boxes its `threshold_hits` and `centre_hits` stacked, bool
    (2, 4, 100), or nothing; first_guess, class_known: the kinds of error of those pictures' first guesses and known
    boxes, as far as there are any.
    """

    scores: Sequence[PictureScore]
    hits: Sequence[Tensor] = ()
    first_guess: Sequence[str] = ()
    class_known: Sequence[str] = ()


def summarise(measured: dict[str, Any], outcomes: Outcomes) -> dict[str, Any]:
    """The means, as `LocalisationError` (with `MaxBoxAccuracy`'s merged in) computed them, in the order in which one
    reads them, with counts of the kinds of error and `intervals`:

    {"images", "classification", "localisation": the method, "baselines": {"centre_box", "whole_image"},
     "errors": {"first_guess" | "class_known": {kind: pictures}},
     "intervals": {"classification" | "localisation" | row: {measure: [low, high]},
                   "minus_centre_box": {measure: [difference, low, high]}}}.

    Intervals are 95%, from 1000 resamples of the pictures (seeded); the difference of method and centre box is taken
    within each resample. Where no picture has boxes, the classification is all there is.
    """
    found: dict[str, Any] = {"images": len(outcomes.scores), "classification": measured["classification"]}
    if "method" in measured:
        counted = {"first_guess": outcomes.first_guess, "class_known": outcomes.class_known}
        found |= {
            "localisation": {"images": measured["images"]} | _main_first(measured["method"]),
            "baselines": {row: _main_first(measured[row]) for row in ROWS[1:] if row in measured},
            "errors": {name: count_kinds(kinds) for name, kinds in counted.items() if kinds},
        }
    return found | {"intervals": _intervals(measured, outcomes)}


def count_kinds(kinds: Sequence[str]) -> dict[str, int]:
    """How many pictures are of each kind, in the order of KINDS, those that occur."""
    counts = Counter(kinds)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


def mean_intervals(names: Sequence[str], values: Array) -> dict[str, list[float]]:
    """{name: [low, high]}: of the mean over pictures of each column of `values` (N, names), N >= 1; as `summarise`."""
    draws = np.concatenate(list(resampled_means(values)))
    return {name: _rounded(interval(draws[:, i], values[:, i])) for i, name in enumerate(names)}


def _intervals(measured: dict[str, Any], outcomes: Outcomes) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    if outcomes.scores:
        classes = torch.stack([score.classes for score in outcomes.scores]).numpy()
        found["classification"] = mean_intervals(ERRORS, classes)
    draws_of, values_of = _draws(outcomes)
    for row in ROWS:
        told = [key for key in measured.get(row, {}) if (row, key) in draws_of]
        if told:
            name = "localisation" if row == "method" else row
            found[name] = {key: _rounded(interval(draws_of[row, key], values_of[row, key])) for key in told}
    paired = [key for row, key in draws_of if row == "method" and ("centre_box", key) in draws_of]
    if paired and "centre_box" in measured:
        found["minus_centre_box"] = {
            key: _rounded(
                (
                    measured["method"][key] - measured["centre_box"][key],
                    *interval(
                        draws_of["method", key] - draws_of["centre_box", key],
                        np.stack([values_of["method", key], values_of["centre_box", key]], axis=1),
                        least=-1,
                    ),
                )
            )
            for key in paired
            if key in measured["method"] and key in measured["centre_box"]
        }
    return found


def _draws(outcomes: Outcomes) -> tuple[dict[Measure, Array], dict[Measure, NDArray[np.generic]]]:
    """The resampled means (B,) of each row's measures, and the pictures' values (N, ...) that they come from."""
    boxed = [score.rows for score in outcomes.scores if score.rows is not None]
    if not boxed:
        return {}, {}
    each = torch.stack(boxed).numpy()
    means = np.concatenate(list(resampled_means(each)))
    places = {(row, key): (r, k) for r, row in enumerate(ROWS) for k, key in enumerate(MEASURES)}
    found = {measure: means[:, r, k] for measure, (r, k) in places.items()}
    values: dict[Measure, NDArray[np.generic]] = {measure: each[:, r, k] for measure, (r, k) in places.items()}
    if outcomes.hits:
        # The best threshold is chosen anew in each resample.
        hits = torch.stack(list(outcomes.hits)).numpy()
        best = np.concatenate([np.stack(best_thresholds(chunk), axis=-1) for chunk in resampled_means(hits)])
        for r, row in enumerate(ROWS[:2]):
            found |= {(row, key): best[:, r, k] for k, key in enumerate(MAX_BOX)}
            values |= {(row, key): hits[:, r] for key in MAX_BOX}
    return found, values


def _main_first(row: dict[str, float]) -> dict[str, float]:
    return {key: row[key] for key in sorted(row, key=lambda key: key in ERRORS[2:])}


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(number, 5) for number in numbers]
