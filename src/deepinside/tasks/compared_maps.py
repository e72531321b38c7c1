"""How alike the kept saliency maps of compared runs are."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deepinside.compare import Comparison, kept_maps, mean_interval
from deepinside.errors import UserError
from deepinside.metrics.agreement import agreement
from deepinside.progress import Bar

CHUNK = 16  # pairs between two steps of the progress bar
SIDE = 64  # the maps' common size, pixels: Spearman's correlation and SSIM depend on it
Agreement = dict[int, tuple[float, float]]


def agreement_of_maps(comparison: Comparison, show: bool = False) -> list[Agreement]:
    """For each further run, of the pictures whose map both it and the first run kept: {place in the pairing:
    (Spearman's correlation, SSIM)} of the maps at 64 x 64 pixels (see `metrics.agreement`), as they were kept: 8-bit,
    the brightest pixels cut off. A constant map has no ranks: left out. show: a progress bar."""
    first, *others = kept_maps(comparison)
    pairs = [[(i, a, b) for i, (a, b) in enumerate(zip(first, files, strict=True)) if a and b] for files in others]
    found: list[Agreement] = [{} for _ in others]
    with Bar("comparing saliency maps", sum(map(len, pairs)), "pairs", enabled=show) as bar:
        for alike, of_run in zip(found, pairs, strict=True):
            for start in range(0, len(of_run), CHUNK):
                places, *maps = zip(*of_run[start : start + CHUNK], strict=True)
                ranks, ssim = agreement(*map(_stack, maps))
                told = zip(places, ranks.tolist(), ssim.tolist(), strict=True)
                alike |= {place: (rank, same) for place, rank, same in told if not math.isnan(rank)}
                bar.advance(len(places))
    return found


def summarise_agreement(labels: Sequence[str], found: Sequence[Agreement]) -> list[dict[str, Any]]:
    """[{"run": label, "images": n, "spearman": [mean, low, high], "ssim": [mean, low, high]}] of each further run, 95%
    intervals; without the two where less than two pictures have both maps."""
    told = []
    for label, of_run in zip(labels[1:], found, strict=True):
        row: dict[str, Any] = {"run": label, "images": len(of_run)}
        if len(of_run) > 1:
            ranks, ssim = np.array(list(of_run.values())).T
            row |= {"spearman": list(mean_interval(ranks)), "ssim": list(mean_interval(ssim))}
        told.append(row)
    return told


def read_map(file: Path, size: tuple[int, int]) -> Tensor:
    """A kept 8-bit map, resized to (height, width), in [0, 1]."""
    try:
        picture = Image.open(file, formats=["PNG"]).convert("L").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, Image.DecompressionBombError):  # the second is Pillow's answer to a broken PNG
        raise UserError(f"{file} is not a picture that can be read") from None
    return torch.from_numpy(np.array(picture)).float() / 255


def _stack(files: Sequence[Path]) -> Tensor:
    return torch.stack([read_map(file, (SIDE, SIDE)) for file in files])
