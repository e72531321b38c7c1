"""Gaussian mixtures of RGB colours, fitted by expectation-maximisation.

log N(x; m, S) is a polynomial of degree 2 in x = (r, g, b), so with the ten monomials of every pixel as the columns of
a matrix, all log-densities are one matrix product, and so are all sums that the maximisation step needs. The monomials
of a picture are computed once and shared by all its mixtures.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_I, _J = np.triu_indices(3)
_TWICE = np.where(_I == _J, 1.0, 2.0)  # off-diagonal products occur twice in x' P x


def monomials(colours: Array) -> Array:
    """(3, n) -> (10, n): 1, r, g, b, rr, rg, rb, gg, gb, bb."""
    return np.concatenate([np.ones((1, colours.shape[1])), colours, colours[_I] * colours[_J]])


def log_density(features: Array, mixture: Array) -> Array:
    """log sum_k pi_k N(x; m_k, S_k) on the unit RGB cube (a uniform density is log 1 = 0): (10, n), (K, 10) -> (n,)."""
    logs = mixture @ features
    top = logs.max(axis=0)
    return np.asarray(top + np.log(np.exp(logs - top).sum(axis=0)))


def fit_mixture(features: Array, components: int, iterations: int = 10, variance: float = 1e-6) -> Array:
    """Fit full-covariance Gaussians to colours in [0, 1]: monomials (10, n), n >= 1 -> coefficients (K, 10).

    Row k holds the coefficients of log(pi_k N(x; m_k, S_k)) for `log_density`. k-means++ start with a fixed seed, then
    a fixed number of EM steps; `variance` (squared units of RGB) is added to the diagonal of every S_k. With fewer
    distinct colours than `components`, K is the number of distinct colours.
    """
    nearest = _spread_out_centres(features[1:4], components)
    parts = np.eye(nearest.max() + 1)[:, nearest]
    for _ in range(iterations):
        mixture = _maximise(parts, features, variance)
        logs = mixture @ features
        parts = np.exp(logs - logs.max(axis=0))
        parts /= parts.sum(axis=0)
    return _maximise(parts, features, variance)


def _spread_out_centres(colours: Array, components: int) -> Array:
    """k-means++: each next centre is a colour drawn with probability ~ squared distance to the centres so far.
    (3, n) -> the index of each colour's nearest centre, (n,)."""
    generator = np.random.default_rng(0)
    chosen = int(generator.integers(colours.shape[1]))
    distances = np.square(colours - colours[:, [chosen]]).sum(axis=0)[None]
    while len(distances) < components and (closest := distances.min(axis=0)).any():
        chosen = generator.choice(colours.shape[1], p=closest / closest.sum())
        distances = np.concatenate([distances, np.square(colours - colours[:, [chosen]]).sum(axis=0)[None]])
    return np.asarray(distances.argmin(axis=0))


def _maximise(parts: Array, features: Array, variance: float) -> Array:
    """M step: responsibilities (K, n), monomials (10, n) -> coefficients (K, 10)."""
    sums = parts @ features.T  # (K, 10): the counts, sums and sums of products that each component answers for
    counts = np.maximum(sums[:, 0], 1e-10)
    means = sums[:, 1:4] / counts[:, None]
    covariances = np.empty((len(counts), 3, 3))
    covariances[:, _I, _J] = covariances[:, _J, _I] = sums[:, 4:] / counts[:, None] - means[:, _I] * means[:, _J]
    precisions = np.linalg.inv(covariances + variance * np.eye(3))
    linear = np.einsum("kij,kj->ki", precisions, means)
    constant = (
        np.log(counts / counts.sum())
        - 0.5 * np.einsum("ki,ki->k", linear, means)
        + 0.5 * np.linalg.slogdet(precisions)[1]
        - 1.5 * np.log(2 * np.pi)
    )
    return np.concatenate([constant[:, None], linear, -0.5 * _TWICE * precisions[:, _I, _J]], axis=1)


def colour_table(pixels: Array, bins: int) -> tuple[Array, NDArray[np.intp]]:
    """The distinct colours of a picture, on a grid of bins^3: (H, W, 3) in [0, 1] -> means (3, n), index (H W,).

    Each occupied bin stands for the mean of its pixels: a picture has some thousands, so a function of the colour is
    evaluated for these alone, and `[index]` spreads it over the pixels.
    """
    place = np.minimum((pixels * bins).astype(np.intp), bins - 1).reshape(-1, 3) @ np.array([bins * bins, bins, 1])
    counts = np.bincount(place, minlength=bins**3)
    occupied = counts > 0
    sums = np.stack([np.bincount(place, channel, bins**3)[occupied] for channel in pixels.reshape(-1, 3).T])
    return sums / counts[occupied], (np.cumsum(occupied) - 1)[place]
