"""Preset `best`: the map itself is evidence, a weak one, for every pixel; there are no seeds.

F = prior * blurred map^power over its mean. The cut minimises sum_p m_p (-o_p) + sum_pq W_pq [m_p != m_q] with the
log-odds o = clip(F - level) + colour_weight clip(log(L_f / L_b)), on a coarse grid. The box is the mean of the one
round the foreground and of the one that holds the map's mass: both err, and differently. A class's further boxes are
round the largest part of the foreground at other levels, or the whole picture where one leaves no foreground.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from scipy import ndimage
from torch import Tensor

from deepinside.boxes import mask_to_box, scale_boxes, whole_box
from deepinside.localisation.graph import Array, Mask, Pairwise
from deepinside.localisation.graph_cut import contrast_weights, min_cut
from deepinside.localisation.presets import Evidence


def evidence_boxes(
    pixels: Array, maps: Array, covered: Mask, numbers: Evidence, counts: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """pixels (H, W, 3) in [0, 1], maps (K, H, W) >= 0, covered bool (H, W) -> masks bool (K, H, W), boxes (B, 4).

    counts (K,): of each map that many boxes in a row, one and up to one more for each of `further_levels`; None: one.
    Only the covered part of a map counts; elsewhere F = 1. A map that is constant there says nothing: the answer is the
    whole picture. ValueError for other counts.
    """
    counts = [1] * len(maps) if counts is None else counts
    if not all(1 <= count <= 1 + len(numbers.further_levels) for count in counts):
        raise ValueError(f"each map has 1 to {1 + len(numbers.further_levels)} boxes, not {list(counts)}")
    height, width = covered.shape
    scale = min(1.0, numbers.grid / min(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = _shrink(torch.from_numpy(pixels).permute(2, 0, 1), size).transpose(1, 2, 0)
    weight = _shrink(torch.from_numpy(covered).double()[None], size)[0]
    pairwise = contrast_weights(image, numbers.strength, numbers.beta_factor, 4)
    masks, boxes = [], []
    for one, count in zip(maps, counts, strict=True):
        if np.ptp(one[covered]) == 0:
            masks.append(torch.ones(height, width, dtype=torch.bool, device="cpu"))
            boxes.append(whole_box((height, width)).expand(count, 4))
            continue
        found = evidence(_shrink(torch.from_numpy(one * covered)[None], size)[0], weight, numbers)
        mask, own = _cuts(found, image, weight > 0, pairwise, numbers, count)
        masks.append(functional.interpolate(mask[None, None].float(), (height, width))[0, 0] > 0)
        boxes.append(scale_boxes(own, size, (height, width)).float())
    return torch.stack(masks), torch.cat(boxes)


def evidence(saliency: Array, weight: Array, numbers: Evidence) -> Array:
    """F of a map on the working grid: (h, w) >= 0, times `weight`, the covered share (h, w) of its cells -> (h, w).

    F = prior gaussian(map)^power, divided so that its mean over the covered cells is 1; 1 in cells without coverage.
    """
    sigma = numbers.blur * min(saliency.shape) / numbers.grid
    inside = weight > 0
    mean = ndimage.gaussian_filter(saliency, sigma) / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-12)
    raised = np.maximum(mean / mean[inside].max(), 0) ** numbers.power
    y, x = ((np.arange(length) + 0.5) / length - 0.5 for length in saliency.shape)
    bell = np.exp(-numbers.prior_decay * (y[:, None] ** 2 + x**2))
    raised *= 1 + (1 - numbers.rim) * (bell - 1)
    return np.where(inside, raised / raised[inside].mean(), 1.0)


def evidence_map(saliency: Tensor, numbers: Evidence) -> Tensor:
    """F / level of a map that covers the whole picture, at its size: (H, W) >= 0 -> float32 (H, W); above 1 it speaks
    for the object. 1 throughout for a constant map, which says nothing."""
    height, width = saliency.shape
    scale = min(1.0, numbers.grid / min(height, width))
    small = _shrink(saliency.cpu()[None], (max(1, round(height * scale)), max(1, round(width * scale))))[0]
    if np.ptp(small) == 0:
        return torch.ones(height, width, dtype=torch.float32, device="cpu")
    planes = torch.from_numpy(evidence(small, np.ones_like(small), numbers) / numbers.level)[None, None].float()
    return functional.interpolate(planes, (height, width), mode="bilinear")[0, 0]


def colour_odds(image: Array, found: Array, inside: Mask, numbers: Evidence) -> Array:
    """log(L_f / L_b), clipped, of every cell: image (h, w, 3), F (h, w) -> (h, w).

    L = uniform_weight + (1 - uniform_weight) density, the density a histogram of the cells with the most (least)
    evidence, blurred by half a bin, 1 where colours are uniform.
    """
    bins = np.minimum((image * numbers.bins).astype(int), numbers.bins - 1)
    index = np.ravel_multi_index(tuple(np.moveaxis(bins, 2, 0)), (numbers.bins,) * 3)
    high, low = np.quantile(found[inside], [numbers.foreground_samples, numbers.background_samples])
    likelihoods = []
    for chosen in (found >= high, found <= low):
        counts = np.bincount(index[chosen & inside], minlength=numbers.bins**3).astype(np.float64)
        density = ndimage.gaussian_filter(counts.reshape((numbers.bins,) * 3), 0.5, mode="nearest").ravel()
        share = density * (numbers.bins**3 / density.sum())
        likelihoods.append(numbers.uniform_weight + (1 - numbers.uniform_weight) * share[index])
    return np.clip(np.log(likelihoods[0] / likelihoods[1]), -numbers.colour_clip, numbers.colour_clip)


def mass_box(found: Array, numbers: Evidence) -> Tensor:
    """The box that leaves the share `mass_tail` of F^mass_power out on each of its four sides: (h, w) -> (4,)."""
    mass = found**numbers.mass_power
    edges = []
    for axis in (0, 1):
        below = np.concatenate([[0.0], np.cumsum(mass.sum(axis=axis))])
        edges.append(np.interp([numbers.mass_tail, 1 - numbers.mass_tail], below / below[-1], np.arange(len(below))))
    return torch.tensor([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], dtype=torch.float64, device="cpu")


def _cuts(
    found: Array, image: Array, inside: Mask, pairwise: Pairwise, numbers: Evidence, count: int
) -> tuple[Tensor, Tensor]:
    """F (h, w), image (h, w, 3), covered cells (h, w) -> mask bool (h, w), boxes (count, 4) in cells: the class's box,
    then those round the largest part alone at the first further levels."""
    colours = numbers.colour_weight * colour_odds(image, found, inside, numbers)

    def cut(level: float, share: float) -> Tensor:
        odds = np.clip(found - level, -numbers.evidence_clip, numbers.evidence_clip) + colours
        foreground = min_cut(np.maximum(-odds, 0), np.maximum(odds, 0), pairwise)[0]
        return torch.from_numpy(_large_parts(foreground, share))

    mask = cut(numbers.level, numbers.components)
    main = mask_to_box(mask).double().lerp(mass_box(found * inside, numbers), numbers.mass_share)
    further = [mask_to_box(cut(level, 1.0)).double() for level in numbers.further_levels[: count - 1]]
    return mask, torch.stack([main, *further])


def _shrink(planes: Tensor, size: tuple[int, int]) -> Array:
    """(C, H, W) -> (C, h, w): the mean over each cell's area."""
    return np.asarray(functional.interpolate(planes[None].double(), size, mode="area")[0].numpy())


def _large_parts(mask: Mask, share: float) -> Mask:
    """The 8-connected parts with at least `share` of the largest one's area; everything where the mask is empty."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return np.ones_like(mask)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return np.asarray((areas >= share * areas.max())[labels] & mask)
