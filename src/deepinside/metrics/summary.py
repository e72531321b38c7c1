"""All of a measurement as metrics.json holds it: the figures, the trivial rows beside them, 95% intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepinside.bootstrap import Array, interval, resampled_means
from deepinside.metrics.localisation import ERRORS, MEASURES, ROWS, PictureScore
from deepinside.metrics.max_box import at_best_thresholds
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

    Intervals are 95%, from 1000 resamples of the pictures (seeded), wider where there are few (`bootstrap.interval`);
    the difference of method and centre box is taken within each resample. Where no picture has boxes, the
    classification is all there is.
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
    columns = list(values.T)
    found = zip(names, _resampled(columns), columns, strict=True)
    return {name: _rounded(interval(draws, column)) for name, draws, column in found}


def _intervals(measured: dict[str, Any], outcomes: Outcomes) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    if outcomes.scores:
        classes = torch.stack([score.classes for score in outcomes.scores]).numpy()
        found["classification"] = mean_intervals(ERRORS, classes)
    values = _values(outcomes)
    draws = dict(zip(values, _resampled(list(values.values())), strict=True))
    for row in ROWS:
        told = [key for key in measured.get(row, {}) if (row, key) in values]
        if told:
            name = "localisation" if row == "method" else row
            found[name] = {key: _rounded(interval(draws[row, key], values[row, key])) for key in told}
    both = [key for key in measured.get("centre_box", {}) if key in measured["method"] and ("method", key) in values]
    if both:
        pairs = {key: (("method", key), ("centre_box", key)) for key in both}
        found["minus_centre_box"] = {
            key: _rounded(
                (
                    measured["method"][key] - measured["centre_box"][key],
                    *interval(draws[one] - draws[other], np.stack([values[one], values[other]], axis=1), least=-1),
                )
            )
            for key, (one, other) in pairs.items()
        }
    return found


def _values(outcomes: Outcomes) -> dict[Measure, Array]:
    """The pictures' own values (N,) of each row's measures. Those of MaxBoxAcc are at the thresholds that are best for
    all pictures: chosen anew in each resample they would be of luckier ones, as those already are a little."""
    boxed = [score.rows for score in outcomes.scores if score.rows is not None]
    if not boxed:
        return {}
    each = torch.stack(boxed).numpy()
    found = {(row, key): each[:, r, k] for r, row in enumerate(ROWS) for k, key in enumerate(MEASURES)}
    if outcomes.hits:
        hits = torch.stack(list(outcomes.hits)).numpy()
        for r, row in enumerate(ROWS[:2]):
            found |= {(row, key): column for key, column in zip(MAX_BOX, at_best_thresholds(hits[:, r]).T, strict=True)}
    return found


def _resampled(columns: Sequence[Array]) -> Array:
    """Columns (N,) -> their resampled means (columns, B); the same pictures are drawn for all."""
    return np.concatenate(list(resampled_means(np.stack(columns, axis=1)))).T if columns else np.zeros((0, 0))


def _main_first(row: dict[str, float]) -> dict[str, float]:
    return {key: row[key] for key in sorted(row, key=lambda key: key in ERRORS[2:])}


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(number, 5) for number in numbers]
