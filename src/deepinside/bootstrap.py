"""Bootstrap over pictures: how far a mean could be off because these pictures were taken and no others."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 1000
RARE = 10  # hits or misses, or pictures that only one of two has right
FEW = 30  # pictures
Array = NDArray[np.float64]


def resampled_means(values: NDArray[np.generic], resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Array]:
    """Means over pictures drawn with replacement: (N, ...) -> chunks of (.., ...), `resamples` in all.

    The same number of pictures and seed draw the same pictures: differences of two columns' means are paired.
    """
    pictures = len(values)
    flat = values.reshape(pictures, -1).astype(np.float32 if values.dtype == bool else np.float64)
    random = np.random.default_rng(seed)
    for start in range(0, resamples, 100):
        drawn = random.integers(0, pictures, (min(100, resamples - start), pictures))
        counts = np.stack([np.bincount(one, minlength=pictures) for one in drawn]).astype(flat.dtype)
        yield ((counts @ flat).astype(np.float64) / pictures).reshape(-1, *values.shape[1:])


def interval(draws: Array, values: NDArray[np.generic], least: float = 0.0) -> tuple[float, float]:
    """95% interval of a mean over N pictures, in [least, 1]: the middle 95% of its resampled means, draws (B,).

    values: what the mean is of, (N,) in [0, 1], or (N, 2), each in [0, 1], where it is of the first column minus the
    second. A bootstrap knows only what was seen. So where fewer than RARE pictures, and not most, are off 0 or off 1,
    the bounds reach at least as far as `wilson`'s. For a difference of hits (0 or 1), where fewer than RARE pictures
    are only one column's, they reach at least as far as those of the two shares of such pictures, squared and added
    (R. G. Newcombe, "Interval estimation for the difference between independent proportions", 1998). Values that are no
    hits: see `interval_of_values`.
    """
    hits = np.isin(values, (0, 1)).all()
    low, high = np.quantile(draws, [0.025, 0.975]) if hits else interval_of_values(draws, values, least)
    wide = _of_share(values) if values.ndim == 1 else _of_two_shares(values) if hits else None
    if wide is not None:
        low, high = min(low, wide[0]), max(high, wide[1])
    return float(low), float(high)


def interval_of_values(draws: Array, values: NDArray[np.generic], least: float) -> tuple[float, float]:
    """As `interval`, of values that are no hits. Of fewer than FEW pictures the bootstrap is too sure: there it is
    mean +- t s / sqrt(N) with Student's t. One picture tells nothing; values that do not vary are a point."""
    each = np.subtract(*values.T) if values.ndim == 2 else values
    pictures = len(each)
    if pictures >= FEW:
        low, high = np.quantile(draws, [0.025, 0.975])
        return float(low), float(high)
    if pictures == 1:
        return least, 1.0
    half = stats.t.ppf(0.975, pictures - 1) * each.std(ddof=1) / pictures**0.5
    return max(least, float(each.mean() - half)), min(1.0, float(each.mean() + half))


def wilson(hits: float, pictures: int) -> tuple[float, float]:
    """95% interval of a share: the p with |hits/N - p| <= z sqrt(p (1 - p) / N), z = 1.96 (E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", 1927). hits may be a sum of values in [0, 1], which
    vary at most as hits do."""
    share, z2 = hits / pictures, 1.959964**2
    middle, scale = share + z2 / (2 * pictures), 1 + z2 / pictures
    half = math.sqrt(z2 * (share * (1 - share) / pictures + z2 / (4 * pictures**2)))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _of_share(values: NDArray[np.generic]) -> tuple[float, float] | None:
    pictures = len(values)
    rare = [of < RARE and 2 * of <= pictures for of in (int((values != 0).sum()), int((values != 1).sum()))]
    return wilson(float(values.sum()), pictures) if any(rare) else None


def _of_two_shares(values: NDArray[np.generic]) -> tuple[float, float] | None:
    pictures, (first, second) = len(values), values.T
    more, less = int((first > second).sum()), int((first < second).sum())
    if more + less >= RARE:
        return None
    (low, high), (least, most) = wilson(more, pictures), wilson(less, pictures)
    difference, one, other = (more - less) / pictures, more / pictures, less / pictures
    return difference - math.hypot(one - low, most - other), difference + math.hypot(high - one, other - least)
