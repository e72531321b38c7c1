"""How alike two saliency maps of one picture are: of one net at two times, or of two nets."""

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

SMOOTHING = 1 / 32  # sigma as a share of the longer side: gradients are too ragged to be compared pixel by pixel
SMALLEST = 11  # SSIM's window, pixels


def agreement(maps_a: Tensor, maps_b: Tensor) -> tuple[Tensor, Tensor]:
    """Spearman's rank correlation in [-1, 1] and SSIM (Wang et al. 2004) in [-1, 1] of maps in pairs; 1: the same.

    maps_a, maps_b: (N, h, w) >= 0, sides from 11 -> two float64 (N,). Both maps are smoothed by a Gaussian with sigma
    max(h, w) / 32 and divided by their maximum, so neither measure sees a map's scale. SSIM: Gaussian window of 11
    pixels, sigma 1.5, averaged over the map. Of a map that is constant, Spearman's correlation is NaN; one of
    zeros has a maximum of 0 and is left so. Both depend on the maps' size: compare figures of one size only. ValueError
    for shapes that do not fit.
    """
    if maps_a.shape != maps_b.shape or maps_a.ndim != 3 or min(maps_a.shape[1:]) < SMALLEST:
        shapes = f"{tuple(maps_a.shape)} and {tuple(maps_b.shape)}"
        raise ValueError(f"maps must be (N, h, w) twice, sides from {SMALLEST} pixels, not {shapes}")
    a, b = (
        torch.stack([_smooth(one) for one in maps]) if len(maps) else maps.cpu().double() for maps in (maps_a, maps_b)
    )
    correlations = [_spearman(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    ranks = torch.tensor(correlations, dtype=torch.float64, device="cpu")
    if not len(a):
        return ranks, ranks.clone()
    a, b = a.float(), b.float()  # precise enough for SSIM of values in [0, 1], and eight times as fast
    found = structural_similarity_index_measure(a[:, None], b[:, None], data_range=1.0, reduction="none")
    assert isinstance(found, Tensor)
    return ranks, found.reshape(-1).double()


def covered_part(maps: Tensor, coverage: Tensor | None) -> Tensor:
    """(..., h, w) -> (..., h', w'): its part that crops saw, the columns that one reached and of their rows those that
    were seen throughout: where no crop came, all maps are 0 and agree.

    coverage: bool, of the same picture in any size; None: all of it.
    """
    if coverage is None:
        return maps
    share = functional.interpolate(
        coverage[None, None].cpu().double(), maps.shape[-2:], mode="bilinear", antialias=True
    )[0, 0]
    seen = share.to(maps.device) > 0.999
    columns = seen.any(0)
    return maps[..., seen[:, columns].all(1), :][..., columns]


def _smooth(saliency: Tensor) -> Tensor:
    plane = saliency.detach().cpu().double().numpy()
    smooth = torch.from_numpy(gaussian_filter(plane, SMOOTHING * max(plane.shape), mode="nearest"))
    return smooth / (smooth.max() if smooth.max() > 0 else 1.0)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:  # ranks without an order
        return float("nan")
    return float(spearmanr(a.ravel(), b.ravel()).statistic)
