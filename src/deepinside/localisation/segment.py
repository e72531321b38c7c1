"""A picture and its saliency map -> the object's mask and box (Simonyan et al. 2013, section 3.2).

The most and the least salient pixels give a colour model of the object and one of the background; a graph cut spreads
these labels along the picture's contours; the largest connected part of the foreground is the object.
"""

import difflib
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from deepinside.boxes import mask_to_box
from deepinside.errors import UserError
from deepinside.localisation.colour import fit_mixture, log_density, monomials
from deepinside.localisation.graph_cut import OFFSETS, Array, Pairwise, contrast_weights, min_cut, seed_cost

Mask = NDArray[np.bool_]
MAX_SAMPLES = 2000  # colours that a mixture is fitted to, drawn with a fixed seed: a fit then takes a few milliseconds


@dataclass(frozen=True)
class Preset:
    """Every number of the segmentation. Quantiles are of the saliency of the covered pixels."""

    foreground_samples: float = 0.95  # paper: object colours from saliency >= this quantile
    background_samples: float = 0.30  # paper: background colours from saliency <= this quantile
    foreground_seeds: float = 0.95  # paper: the same two sets are the fixed labels of the cut
    background_seeds: float = 0.30
    components: int = 5  # Gaussians a mixture; unpublished: VGG's own code and GrabCut have 5
    uniform_weight: float = 0.0  # share of a uniform density in each colour model; paper: the mixture alone
    data_clip: float = 100.0  # largest -log p; unpublished: VGG's
    strength: float = 50.0  # pairwise weight at no contrast; unpublished: GrabCut's gamma
    beta_factor: float = 2.0  # beta = 1 / (this mean ||dI||^2); unpublished: GrabCut's
    neighbours: int = 8  # 4 or 8; unpublished: Boykov & Jolly's and GrabCut's
    energy_scale: int = 50  # energies times this are rounded to whole numbers; VGG's: the cut is then exact
    blur: float = 0.0  # sigma, in pixels, of a Gaussian over the map; paper: none

    def __post_init__(self) -> None:
        for name in ("samples", "seeds"):
            low, high = getattr(self, f"background_{name}"), getattr(self, f"foreground_{name}")
            if not 0 <= low < high <= 1:
                raise UserError(f"quantiles must be 0 <= background_{name} < foreground_{name} <= 1, not {low}, {high}")
        if self.neighbours not in OFFSETS:
            raise UserError(f"neighbours must be one of {sorted(OFFSETS)}, not {self.neighbours}")
        if not 0 <= self.uniform_weight < 1:
            raise UserError(f"uniform_weight must be in [0, 1), not {self.uniform_weight}")
        for name in ("components", "data_clip", "beta_factor", "energy_scale"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be > 0, not {getattr(self, name)}")
        for name in ("strength", "blur"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must be >= 0, not {getattr(self, name)}")


PRESETS = {
    "paper": Preset(),
    # VGG's public step-3 code (deconvnet_analysis, saliency/ksseg.m) with its cut engine's defaults.
    "vgg": Preset(
        foreground_seeds=0.995,
        background_seeds=0.005,
        uniform_weight=0.05,
        strength=150.0,
        beta_factor=0.5,
        neighbours=4,
    ),
}


def find_preset(name: str, **overrides: float) -> Preset:
    """The preset of that name with single numbers replaced. UserError names an unknown preset, field or bad value."""
    if name not in PRESETS:
        raise UserError(f"no localisation preset '{name}'{_nearest(name, list(PRESETS))}")
    known = [field.name for field in fields(Preset)]
    for key in overrides:
        if key not in known:
            raise UserError(f"localisation presets have no number '{key}'{_nearest(key, known)}")
    return replace(PRESETS[name], **overrides)  # type: ignore[arg-type]  # ints stay ints: fields are checked


def _nearest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; valid: {', '.join(valid)}"


def segment(
    image: Tensor, saliency: Tensor, preset: str = "paper", coverage: Tensor | None = None, **overrides: float
) -> Tensor:
    """The object's mask, the largest connected part of the foreground: bool (H, W), never empty.

    image (3, H, W) RGB, uint8 or floating in [0, 1]; saliency (H, W) >= 0, or (K, H, W) for K maps of one picture,
    which share its pairwise weights and give bool (K, H, W); coverage bool (H, W): pixels outside it carry no seed and
    no colour sample but stay in the graph. `overrides` replace numbers of the preset. The answer is a CPU tensor, and
    the same on every call. Energy: see `graph_cut`, with F_p = min(-log p, clip), B_p = min(-log(1 - p), clip),
    p = L_f / (L_f + L_b), L = uniform_weight + (1 - uniform_weight) mixture, and seeds that cannot change.

    A map with no pixel above its background quantile (a constant one) says nothing: the answer is the whole picture.
    In a picture of one colour p = 1/2 everywhere: seeds and smoothness decide. ValueError for wrong shapes, values that
    are not finite or out of range, or a coverage without pixels.
    """
    numbers = find_preset(preset, **overrides)
    pixels, covered = _check(image, saliency, coverage)
    pairwise = contrast_weights(pixels, numbers.strength, numbers.beta_factor, numbers.neighbours)
    pairwise = {offset: np.rint(numbers.energy_scale * weights) for offset, weights in pairwise.items()}
    features = monomials(pixels.reshape(-1, 3).T)
    maps = saliency.detach().cpu().double().numpy().reshape(-1, *covered.shape)
    masks = [_segment_map(_blur(one, covered, numbers.blur), covered, features, pairwise, numbers) for one in maps]
    return torch.from_numpy(np.stack(masks)).reshape(saliency.shape)


def object_box(
    image: Tensor, saliency: Tensor, preset: str = "paper", coverage: Tensor | None = None, **overrides: float
) -> tuple[Tensor, Tensor]:
    """`segment` and the mask's bounding box: (H, W) -> masks (H, W), box (4,); (K, H, W) -> (K, H, W), (K, 4)."""
    masks = segment(image, saliency, preset, coverage, **overrides)
    boxes = torch.stack([mask_to_box(mask) for mask in masks.reshape(-1, *masks.shape[-2:])])
    return masks, boxes.reshape(*masks.shape[:-2], 4)


def largest_component(mask: Mask) -> Mask:
    """The largest 8-connected part of a mask (H, W), the first in reading order among equals; empty stays empty."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def _check(image: Tensor, saliency: Tensor, coverage: Tensor | None) -> tuple[Array, Mask]:
    """The picture as float64 (H, W, 3) in [0, 1] and the coverage as bool (H, W), or a ValueError."""
    size = image.shape[-2:]
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(f"image must be (3, H, W), not {tuple(image.shape)}")
    if saliency.ndim not in (2, 3) or saliency.shape[-2:] != size or saliency.numel() == 0:
        raise ValueError(f"saliency must be (K, H, W) or (H, W) = {tuple(size)}, not {tuple(saliency.shape)}")
    if not (saliency.isfinite().all() and (saliency >= 0).all()):
        raise ValueError("saliency must be finite and >= 0")
    pixels = image.detach().cpu().double() / (255 if image.dtype == torch.uint8 else 1)
    if not ((pixels >= 0).all() and (pixels <= 1).all()):
        raise ValueError("image must be uint8, or finite and in [0, 1]")
    covered = torch.ones(size, dtype=torch.bool) if coverage is None else coverage.cpu()
    if covered.shape != size or covered.dtype != torch.bool or not covered.any():
        raise ValueError(f"coverage must be bool {tuple(size)} with at least one pixel")
    return pixels.permute(1, 2, 0).contiguous().numpy(), covered.numpy()


def _blur(saliency: Array, covered: Mask, sigma: float) -> Array:
    """Gaussian mean over the covered pixels only. A constant map stays constant to the last bit."""
    if sigma == 0 or np.ptp(saliency[covered]) == 0:
        return saliency
    weight = ndimage.gaussian_filter(covered.astype(np.float64), sigma)
    return np.asarray(ndimage.gaussian_filter(saliency * covered, sigma) / np.maximum(weight, 1e-12))


def _segment_map(saliency: Array, covered: Mask, features: Array, pairwise: Pairwise, numbers: Preset) -> Mask:
    samples = _extremes(saliency, covered, numbers.foreground_samples, numbers.background_samples)
    seeds = _extremes(saliency, covered, numbers.foreground_seeds, numbers.background_seeds)
    if not (samples[0].any() and seeds[0].any()):
        return np.ones_like(covered)
    costs = np.rint(numbers.energy_scale * _data_costs(features, samples, numbers))
    foreground, background = costs.reshape(2, *covered.shape)
    fixed = seed_cost(pairwise, numbers.energy_scale * numbers.data_clip)
    foreground[seeds[1]] = background[seeds[0]] = fixed
    foreground[seeds[0]] = background[seeds[1]] = 0
    return largest_component(min_cut(foreground, background, pairwise)[0])


def _extremes(saliency: Array, covered: Mask, upper: float, lower: float) -> tuple[Mask, Mask]:
    """The covered pixels at or above the upper quantile, and those at or below the lower one. Where ties make the two
    quantiles equal, the tied pixels are background."""
    high, low = np.quantile(saliency[covered], [upper, lower])
    background = covered & (saliency <= low)
    return covered & (saliency >= high) & ~background, background


def _data_costs(features: Array, samples: tuple[Mask, Mask], numbers: Preset) -> Array:
    """min(-log p, clip) and min(-log(1 - p), clip) of every pixel: (2, pixels)."""
    logs = [_log_likelihood(features, where, numbers) for where in samples]
    odds = logs[1] - logs[0]
    return np.minimum([np.logaddexp(0, odds), np.logaddexp(0, -odds)], numbers.data_clip)


def _log_likelihood(features: Array, where: Mask, numbers: Preset) -> Array:
    chosen = np.flatnonzero(where)
    if len(chosen) > MAX_SAMPLES:
        chosen = np.random.default_rng(0).choice(chosen, MAX_SAMPLES, replace=False)
    logs = log_density(features, fit_mixture(features[:, chosen], numbers.components))
    if numbers.uniform_weight == 0:
        return logs
    return np.logaddexp(np.log(numbers.uniform_weight), np.log1p(-numbers.uniform_weight) + logs)
