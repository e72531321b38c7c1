"""Two runs measured on the same pictures: how far apart they are, and how far apart they would be by chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from deepinside.bootstrap import interval, interval_of_values, resampled_means

Values = NDArray[np.float64]


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test on the pictures that only one of two runs has right.

    If each of those n = only_first + only_this pictures were as likely to fall to the one run as to the other,
    only_this would be binomial, B(n, 1/2); `p` is the two-sided probability of a split at least as uneven as the one
    seen. It tells whether the runs differ, not by how much. Several measures or several runs are several tests, and
    `p` is not corrected for that: of twenty, one falls below 0.05 by chance.
    """

    only_first: int
    only_this: int
    p: float


@dataclass(frozen=True)
class Difference:
    """This run's mean minus the first run's, its 95% interval [low, high], and for measures that are 0 or 1 in every
    picture McNemar's test, else None."""

    difference: float
    low: float
    high: float
    mcnemar: McNemar | None


def paired_differences(first: Values, this: Values, lower_is_better: list[bool], seed: int = 0) -> list[Difference]:
    """A row of the same measure for each run, a column a picture: (K, N) and (K, N), N >= 2 -> K differences.

    The interval is a percentile bootstrap over pictures, of few pictures another (see `bootstrap.interval`): each of
    1000 resamples draws pictures with replacement and takes both runs' values of them, d_i = this_i - first_i in
    [-1, 1], so that what makes a picture hard for both cancels. lower_is_better: K, whether 0 is a hit, as in an error.
    """
    gain = this - first
    draws = np.concatenate(list(resampled_means(gain.T, seed=seed)))
    both = np.stack([this.T, first.T], axis=-1)  # (N, K, 2)
    return [
        Difference(float(gain[k].mean()), *interval(draws[:, k], both[:, k], least=-1), _mcnemar(a, b, error))
        for k, (a, b, error) in enumerate(zip(first, this, lower_is_better, strict=True))
    ]


def mean_interval(values: Values) -> tuple[float, float, float]:
    """The mean of correlations (N,), N >= 2, and its 95% interval (`bootstrap.interval_of_values`)."""
    draws = np.concatenate(list(resampled_means(values)))
    return float(values.mean()), *interval_of_values(draws, values, least=-1)


def _mcnemar(first: Values, this: Values, lower_is_better: bool) -> McNemar | None:
    if not np.isin([first, this], (0, 1)).all():
        return None
    only_first, only_this = int(np.sum(first > this)), int(np.sum(this > first))
    if lower_is_better:
        only_first, only_this = only_this, only_first
    total = only_first + only_this
    return McNemar(only_first, only_this, float(binomtest(only_this, total).pvalue) if total else 1.0)
