"""Runs that differ in their seed alone are one recipe: what a setting does, beside what chance in training does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from deepinside.compare.measures import Measure


@dataclass(frozen=True)
class Recipe:
    """The labels of runs that differ in their seed alone; its own is the first one's, with their number."""

    label: str
    runs: list[str]


@dataclass(frozen=True)
class RecipeDifference:
    """This recipe's mean minus the first one's, and its 95% interval; None of fewer than two runs each."""

    difference: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class RecipeMeasure:
    """A measure over seeds, in fractions: mean and sample standard deviation (None of one run) of each recipe's runs;
    `differences` of each further recipe to the first."""

    part: str
    name: str
    means: list[float]
    deviations: list[float | None]
    differences: list[RecipeDifference]


@dataclass(frozen=True)
class OverSeeds:
    """recipes: in the order of their first runs."""

    recipes: list[Recipe]
    measures: list[RecipeMeasure]

    @property
    def titles(self) -> list[str]:
        """Of a table's columns: the recipes, then the differences."""
        first, *further = [recipe.runs[0] for recipe in self.recipes]
        return [*(recipe.label for recipe in self.recipes), *(f"{this} minus {first}" for this in further)]

    @property
    def tells(self) -> bool:
        """Whether there is an interval: two recipes have two runs or more."""
        return any(found.interval for measure in self.measures for found in measure.differences)


def over_seeds(
    labels: Sequence[str], settings: Mapping[str, Sequence[str | None]], measures: Sequence[Measure]
) -> OverSeeds | None:
    """settings: those that differ, each with its value in every run. None where no two runs differ in their seed alone,
    and where two of a recipe have the same seed: these are no further nets.

    The interval of a difference of means is Welch's, t with the degrees of freedom of Welch and Satterthwaite (Welch
    1947): it covers what chance in training does to the measure on these pictures, the choice of pictures it does not.
    """
    seeds = settings.get("seed", [None] * len(labels))
    members: dict[tuple[str | None, ...], list[int]] = {}
    for i in range(len(labels)):
        recipe = tuple(values[i] for key, values in settings.items() if key != "seed")
        members.setdefault(recipe, []).append(i)
    groups = list(members.values())
    if len(groups) == len(labels) or any(len({seeds[i] for i in group}) < len(group) for group in groups):
        return None
    recipes = [
        Recipe(labels[group[0]] + (f", {len(group)} seeds" if len(group) > 1 else ""), [labels[i] for i in group])
        for group in groups
    ]
    return OverSeeds(recipes, [_over_seeds(measure, groups) for measure in measures])


def _over_seeds(measure: Measure, groups: Sequence[Sequence[int]]) -> RecipeMeasure:
    values = [np.array([measure.values[i] for i in group]) for group in groups]
    return RecipeMeasure(
        measure.part,
        measure.name,
        [float(of_recipe.mean()) for of_recipe in values],
        [float(of_recipe.std(ddof=1)) if len(of_recipe) > 1 else None for of_recipe in values],
        [_difference(values[0], this) for this in values[1:]],
    )


def _difference(first: np.ndarray, this: np.ndarray) -> RecipeDifference:
    difference = float(this.mean() - first.mean())
    if min(len(first), len(this)) < 2 or np.ptp(first) == np.ptp(this) == 0:  # nothing tells how far chance reaches
        return RecipeDifference(difference, None)
    errors = np.array([values.var(ddof=1) / len(values) for values in (first, this)])
    freedom = errors.sum() ** 2 / (errors**2 / [len(first) - 1, len(this) - 1]).sum()
    reach = float(t.ppf(0.975, freedom) * np.sqrt(errors.sum()))
    return RecipeDifference(difference, (difference - reach, difference + reach))
