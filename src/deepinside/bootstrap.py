"""Bootstrap over pictures: how far a mean could be off because these pictures were taken and no others."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
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
    """The middle 95% of the resampled means (B,), which lie in [least, 1], of the pictures' values (N, ...); of a
    difference, the values of both that are compared.

    Where each picture is 0 or 1 and the means are all alike at 0 or an end, resampling knows no spread: there it is
    `none_seen` on the inner side. Other values that do not vary are a point.
    """
    low, high = np.quantile(draws, [0.025, 0.975])
    if low == high and low in (-1, 0, 1) and np.isin(values, (0, 1)).all():
        width = none_seen(len(values))
        low, high = max(least, low - width), min(1.0, high + width)
    return float(low), float(high)


def none_seen(pictures: int) -> float:
    """How large a share may be of which none was seen among N pictures: z^2 / (N + z^2), z = 1.96, the upper end of
    Wilson's 95% interval (E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927).
    """
    return 1.96**2 / (pictures + 1.96**2)
