"""Gaussian mixtures of RGB colours, fitted by expectation-maximisation.

log N(x; m, S) is a polynomial of degree 2 in x = (r, g, b), so with the ten monomials of every pixel as the columns of
a matrix, all log-densities are one matrix product, and so are all sums that the maximisation step needs. The monomials
of a picture are computed once and shared by all its mixtures.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.floating]  # float32 or float64

_I, _J = np.triu_indices(3)
_EYE = np.eye(3)
_TWICE = np.where(_I == _J, 1.0, 2.0)  # off-diagonal products occur twice in x' P x
_SQUARE = np.array([[4, 5, 6], [5, 7, 8], [6, 8, 9]])  # where the monomials hold x x'
_EM_STEPS = 10
_BLOCK = 8192  # pixels evaluated at a time: what lies between then stays in the cache


def monomials(colours: Floats) -> Floats:
    """(3, n) -> (10, n): 1, r, g, b, rr, rg, rb, gg, gb, bb."""
    features = np.empty((10, colours.shape[1]), colours.dtype)
    features[0], features[1:4] = 1, colours
    for row, i, j in zip(features[4:], _I, _J, strict=True):
        np.multiply(colours[i], colours[j], out=row)
    return features


def log_density(features: Floats, mixture: Array, uniform: float = 0.0) -> Floats:
    """log(u + (1 - u) sum_k pi_k N(x; m_k, S_k)) on the unit RGB cube, where a uniform density is 1, u its share:
    (10, n), (K, 10) -> (n,).

    In the precision of `features`. Where the colours' origin is the middle of the cube, float32 is some 1e-3 off in
    coloured pictures and 1e-2 in grey ones: their Gaussians lie on a line, so they are as narrow as `variance` allows,
    and their coefficients, near 0.5 / variance, cancel. Without a uniform share, colours far from a Gaussian of one
    colour, with log-densities of -1e6, were up to 0.2 off.
    """
    coefficients = mixture.astype(features.dtype)
    out = np.empty_like(features[0])
    for start in range(0, len(out), _BLOCK):
        logs = coefficients @ features[:, start : start + _BLOCK]
        top = 0.0
        # Beside a uniform density nothing is too small, and no Gaussian is narrow enough for exp to overflow.
        if not uniform:
            top = logs.max(axis=0)
            logs -= top
        density = np.exp(logs, out=logs).sum(axis=0)
        out[start : start + _BLOCK] = top + np.log(uniform + (1 - uniform) * density)
    return out


def fit_mixtures(samples: Sequence[Floats], components: int, variance: float = 1e-6) -> Array:
    """Fit a full-covariance mixture to each of some samples of colours, all at once, which takes less time than one by
    one: monomials (10, n_m), n_m >= 1 -> coefficients (M, K, 10).

    Row k holds the coefficients of log(pi_k N(x; m_k, S_k)) for `log_density`. k-means++ start with a fixed seed, then
    10 EM steps; `variance` (squared units of RGB) is added to the diagonal of every S_k. With fewer
    distinct colours than `components`, the further Gaussians weigh nothing.
    """
    features = np.zeros((len(samples), 10, max((one.shape[1] for one in samples), default=0)))
    parts = np.zeros((len(samples), components, features.shape[2]))
    for own, belongs, one in zip(features, parts, samples, strict=True):
        own[:, : one.shape[1]] = one  # colours beyond its own have monomials of 0: no sum counts them
        nearest = _spread_out_centres(one[1:4], components)
        belongs[nearest, np.arange(len(nearest))] = 1
    for _ in range(_EM_STEPS):
        parts = _maximise(parts, features, variance) @ features
        parts -= parts.max(axis=1, keepdims=True)
        np.exp(parts, out=parts)
        parts /= parts.sum(axis=1, keepdims=True)
    return _maximise(parts, features, variance)


def _spread_out_centres(colours: Floats, components: int) -> Array:
    """k-means++: each next centre is a colour drawn with probability ~ squared distance to the centres so far.
    (3, n) -> the index of each colour's nearest centre, (n,)."""
    generator = np.random.default_rng(0)
    chosen = int(generator.integers(colours.shape[1]))
    distances = np.square(colours - colours[:, [chosen]]).sum(axis=0)[None]
    while len(distances) < components and (closest := distances.min(axis=0)).any():
        upto = closest.cumsum()
        chosen = int(np.searchsorted(upto, upto[-1] * generator.random(), side="right"))
        distances = np.concatenate([distances, np.square(colours - colours[:, [chosen]]).sum(axis=0)[None]])
    return np.asarray(distances.argmin(axis=0))


def _maximise(parts: Array, features: Array, variance: float) -> Array:
    """M step: responsibilities (M, K, n), monomials (M, 10, n) -> coefficients (M, K, 10)."""
    sums = parts @ features.swapaxes(1, 2)  # (M, K, 10): counts, sums, sums of products that a component answers for
    counts = np.maximum(sums[..., 0], 1e-300)
    moments = sums / counts[..., None]
    means = moments[..., 1:4]
    covariances = moments[..., _SQUARE] - means[..., :, None] * means[..., None, :] + variance * _EYE
    precisions = np.linalg.inv(covariances)
    linear = np.einsum("mkij,mkj->mki", precisions, means)
    constant = (
        np.log(counts / counts.sum(axis=1, keepdims=True))
        - 0.5 * np.einsum("mki,mki->mk", linear, means)
        - 0.5 * np.log(np.linalg.det(covariances))
        - 1.5 * np.log(2 * np.pi)
    )
    # Without a sample a Gaussian weighs nothing, not even far from all others. Minus infinity would be NaN where a
    # sample is filled up with zeros.
    constant = np.where(sums[..., 0] > 0, constant, -1e30)
    return np.concatenate([constant[..., None], linear, -0.5 * _TWICE * precisions[..., _I, _J]], axis=2)
