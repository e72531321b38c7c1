"""A picture and its saliency map -> the object's mask and box (Simonyan et al. 2013, section 3.2).

The most and the least salient pixels give a colour model of the object and one of the background; a graph cut spreads
these labels along the picture's contours; the largest connected part of the foreground is the object.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from deepinside.boxes import mask_to_box
from deepinside.localisation.colour import Floats, fit_mixtures, log_density, monomials
from deepinside.localisation.evidence import evidence_boxes
from deepinside.localisation.graph import Array, Mask, Pairwise, pixel_graph
from deepinside.localisation.graph_cut import Cuts, contrast_weights, seed_cost
from deepinside.localisation.presets import Evidence, Preset, find_preset

MAX_SAMPLES = 1000  # colours that a mixture is fitted to; evenly spaced ones serve as well as twice as many at random


def segment(
    image: Tensor, saliency: Tensor, preset: str = "vgg", coverage: Tensor | None = None, **overrides: float
) -> Tensor:
    """The object's mask, the largest connected part of the foreground: bool (H, W), never empty.

    image (3, H, W) RGB, uint8 or floating in [0, 1]; saliency (H, W) >= 0, or (K, H, W) for K maps of one picture,
    which share its pairwise weights and give bool (K, H, W); coverage bool (H, W): pixels outside it carry no seed and
    no colour sample but stay in the graph. `overrides` replace numbers of the preset. The answer is a CPU tensor, and
    the same on every call. Energy: see `graph_cut`, with F_p = -log p, B_p = -log(1 - p), of which only the difference
    matters and is clipped, p = L_f / (L_f + L_b), L = uniform_weight + (1 - uniform_weight) mixture, and seeds that
    cannot change. What is found is its minimum, energies rounded to 1 / energy_scale, the one with the smallest
    foreground. Preset `best` has another energy, see `evidence`, and keeps every large part.

    A map with no pixel above its background quantile (a constant one) says nothing: the answer is the whole picture.
    In a picture of one colour p = 1/2, but for rounding: seeds and smoothness decide. ValueError for wrong shapes,
    values that are not finite or out of range, or a coverage without pixels.
    """
    return object_box(image, saliency, preset, coverage, **overrides)[0]


def object_box(
    image: Tensor, saliency: Tensor, preset: str = "vgg", coverage: Tensor | None = None, **overrides: float
) -> tuple[Tensor, Tensor]:
    """`segment` and the object's box: (H, W) -> mask (H, W), box (4,); (K, H, W) -> masks (K, H, W), boxes (K, 4).

    A box is (x0, y0, x1, y1) in pixels, half-open: x1 and y1 are the first column and row behind it. It is the mask's
    bounding box; that of preset `best` is its mean with the box of the map's mass. Arguments and errors are those of
    `segment`; UserError for an unknown preset or number (`find_preset`).
    """
    numbers = find_preset(preset, **overrides)
    pixels, covered = _check(image, saliency, coverage)
    maps = saliency.detach().cpu().double().numpy().reshape(-1, *covered.shape)
    if isinstance(numbers, Evidence):
        masks, boxes = evidence_boxes(pixels, maps, covered, numbers)
    else:
        masks = _seeded_cuts(pixels, maps, covered, numbers)
        boxes = torch.stack([mask_to_box(mask) for mask in masks])
    return masks.reshape(saliency.shape), boxes.reshape(*saliency.shape[:-2], 4)


def _seeded_cuts(pixels: Array, maps: Array, covered: Mask, numbers: Preset) -> Tensor:
    """Maps (K, H, W) -> masks (K, H, W); the classes of a picture share its colours and its graph."""
    pairwise = contrast_weights(pixels, numbers.strength, numbers.beta_factor, numbers.neighbours)
    pairwise = {offset: np.rint(numbers.energy_scale * weights) for offset, weights in pairwise.items()}
    fixed = math.ceil(seed_cost(pairwise, numbers.energy_scale * numbers.data_clip))
    cut = _solver(covered.shape, pairwise)
    colours = np.ascontiguousarray(pixels.reshape(-1, 3).T) - 0.5  # about 0, where float32 is precise
    features = monomials(colours.astype(np.float32))
    chosen = [_samples_and_seeds(_blur(one, covered, numbers.blur), covered, numbers) for one in maps]
    telling = [k for k, (samples, seeds) in enumerate(chosen) if samples[0].any() and seeds[0].any()]
    drawn = [_sample(colours, where) for k in telling for where in chosen[k][0]]
    mixtures = iter(fit_mixtures(drawn, numbers.components))
    masks = np.ones((len(maps), *covered.shape), dtype=bool)
    for k in telling:
        odds = _log_odds(features, next(mixtures), next(mixtures), numbers)
        costs = np.rint(-numbers.energy_scale * odds).astype(np.float64)
        foreground, background = chosen[k][1]
        costs[foreground.ravel()], costs[background.ravel()] = -fixed, fixed
        masks[k] = largest_component(cut(costs).reshape(covered.shape))
    return torch.from_numpy(masks)


def _solver(shape: tuple[int, int], pairwise: Pairwise) -> Callable[[Array], Mask]:
    """Costs F - B (n,), whole numbers -> the foreground (n,); where numba is not to be had, in three times the time."""
    try:
        from deepinside.localisation.grid_flow import GridCuts
    except Exception:  # a broken numba raises whatever it likes
        exact = Cuts(pixel_graph(shape, pairwise))
        return lambda costs: exact.cut(costs)[0]
    return GridCuts(shape, pairwise).cut


def largest_component(mask: Mask) -> Mask:
    """The largest 8-connected part of a mask (H, W), the first in reading order among equals; empty stays empty."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def cut_seeds(saliency: Tensor, coverage: Tensor, numbers: Preset) -> Tensor:
    """Where a cut's labels are fixed: (H, W) >= 0, bool (H, W) -> int8 (H, W), 1 object, -1 background, 0 free."""
    covered = coverage.cpu().numpy()
    values = _blur(saliency.cpu().double().numpy(), covered, numbers.blur)
    foreground, background = _samples_and_seeds(values, covered, numbers)[1]
    return torch.from_numpy(foreground.astype(np.int8) - background.astype(np.int8))


def in_unit_range(image: Tensor, name: str, like: Tensor | None) -> Tensor:
    """A picture (3, H, W), uint8 or floating in [0, 1], in [0, 1] with the device and dtype of `like` (None: float32
    where it lies); or a ValueError."""
    if not isinstance(image, Tensor):
        raise ValueError(f"{name} must be a tensor, not {type(image).__name__}")
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(f"{name} must be (3, H, W), not {tuple(image.shape)}")
    whole = image.dtype == torch.uint8
    if not whole and not (image.is_floating_point() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"{name} must be uint8, or finite and in [0, 1]")
    pixels = image.detach().float() if like is None else image.detach().to(like.device).to(like)
    return pixels / 255 if whole else pixels


def _check(image: Tensor, saliency: Tensor, coverage: Tensor | None) -> tuple[Array, Mask]:
    """The picture as float64 (H, W, 3) in [0, 1] and the coverage as bool (H, W), or a ValueError."""
    pixels = in_unit_range(image, "image", torch.zeros((), dtype=torch.float64, device="cpu"))
    if not isinstance(saliency, Tensor):
        raise ValueError(f"saliency must be a tensor, not {type(saliency).__name__}")
    size = image.shape[-2:]
    if saliency.ndim not in (2, 3) or saliency.shape[-2:] != size or saliency.numel() == 0:
        raise ValueError(f"saliency must be (K, H, W) or (H, W) = {tuple(size)}, not {tuple(saliency.shape)}")
    if not (saliency.min() >= 0 and saliency.max() < torch.inf):
        raise ValueError("saliency must be finite and >= 0")
    covered = torch.ones(size, dtype=torch.bool, device="cpu") if coverage is None else coverage
    if not isinstance(covered, Tensor) or covered.shape != size or covered.dtype != torch.bool or not covered.any():
        raise ValueError(f"coverage must be bool {tuple(size)} with at least one pixel")
    return pixels.permute(1, 2, 0).contiguous().numpy(), covered.cpu().numpy()


def _blur(saliency: Array, covered: Mask, sigma: float) -> Array:
    """Gaussian mean over the covered pixels only. A constant map stays constant to the last bit."""
    if sigma == 0 or np.ptp(saliency[covered]) == 0:
        return saliency
    weight = ndimage.gaussian_filter(covered.astype(np.float64), sigma)
    return np.asarray(ndimage.gaussian_filter(saliency * covered, sigma) / np.maximum(weight, 1e-12))


def _samples_and_seeds(saliency: Array, covered: Mask, numbers: Preset) -> list[tuple[Mask, Mask]]:
    """The covered pixels at or above an upper quantile, and those at or below a lower one: colour samples, then seeds.
    Where ties make the two quantiles equal, the tied pixels are background."""
    upper = numbers.foreground_samples, numbers.foreground_seeds
    lower = numbers.background_samples, numbers.background_seeds
    values = saliency.ravel() if covered.all() else saliency[covered]
    last = len(values) - 1
    # The pixels that interpolated quantiles part, without interpolation: it takes a third of the time.
    ranks = [math.ceil(last * share) for share in upper] + [math.floor(last * share) for share in lower]
    levels = np.partition(values, ranks)[ranks]
    background = [covered & (saliency <= low) for low in levels[2:]]
    return [(covered & (saliency >= high) & ~low, low) for high, low in zip(levels[:2], background, strict=True)]


def _sample(colours: Array, where: Mask) -> Floats:
    """Colours (3, n), some of them (H, W) -> the monomials of at most MAX_SAMPLES of those, evenly spaced in reading
    order."""
    chosen = np.flatnonzero(where)
    if len(chosen) > MAX_SAMPLES:
        chosen = chosen[np.linspace(0, len(chosen) - 1, MAX_SAMPLES).astype(np.int64)]
    return monomials(colours[:, chosen])


def _log_odds(features: Floats, foreground: Array, background: Array, numbers: Preset) -> Floats:
    """log(p / (1 - p)) = B_p - F_p, clipped: monomials (10, n), two mixtures (K, 10) -> (n,)."""
    odds = log_density(features, foreground, numbers.uniform_weight)
    odds -= log_density(features, background, numbers.uniform_weight)
    return np.clip(odds, -numbers.data_clip, numbers.data_clip)
