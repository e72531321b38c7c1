"""How alike two saliency maps are."""

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from deepinside.attribution.crops import CROPS
from deepinside.metrics.agreement import agreement, covered_part

RAMP = torch.arange(32.0).expand(24, 32)


def test_a_map_agrees_with_itself_at_any_scale() -> None:
    maps = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
    for other in (maps, 1000 * maps, maps * 1e-6):
        for found in agreement(maps, other):
            assert found.shape == (3,)
            torch.testing.assert_close(found, torch.ones(3, dtype=torch.float64))


def test_opposite_maps_disagree() -> None:
    spearman, ssim = agreement(RAMP[None], RAMP.flip(1)[None])
    assert float(spearman) == pytest.approx(-1)
    assert float(ssim) < 0.6


def test_ranks_do_not_see_a_monotonic_change() -> None:
    spearman, ssim = agreement(RAMP[None], RAMP[None] ** 2)
    assert float(spearman) == pytest.approx(1, abs=1e-3)
    assert float(ssim) < 0.99


def test_unrelated_maps_hardly_agree_and_pairs_stay_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 64, 64, generator=generator), torch.rand(2, 64, 64, generator=generator)
    spearman, ssim = agreement(a, torch.stack([a[0], b[1]]))
    assert float(spearman[0]) == pytest.approx(1)
    assert float(ssim[0]) == pytest.approx(1)
    assert abs(float(spearman[1])) < 0.3
    assert float(ssim[1]) < 0.9


@pytest.mark.parametrize(
    ("crops", "size", "side", "part"),
    [
        ("one", (72, 96), 64, (64, 64)),
        ("square", (72, 96), 64, (72, 72)),
        ("ten", (72, 96), 64, (72, 96)),
        ("ten", (68, 240), 64, (64, 192)),  # two gaps, and the centre is lower than the corners
    ],
)
def test_what_no_crop_saw_does_not_agree(crops: str, size: tuple[int, int], side: int, part: tuple[int, int]) -> None:
    """Independent noise in the crops, zero around them."""
    coverage = torch.zeros(size)
    for crop in CROPS[crops](*size, side):
        crop.put_back(torch.ones(side, side), coverage)
    noise = torch.rand(16, *size, generator=torch.Generator().manual_seed(0)) * (coverage > 0)
    seen = covered_part(noise, coverage > 0)
    assert seen.shape == (16, *part)
    assert (seen > 0).all()
    assert abs(float(agreement(seen[:8], seen[8:])[0].mean())) < 0.05
    half = torch.nn.functional.interpolate(noise[None], scale_factor=0.5, mode="area")[0]
    assert (covered_part(half, coverage > 0) > 0).all()


def test_smoothing_forgives_the_shift_of_a_pixel() -> None:
    """Ragged maps a pixel apart: unrelated pixel by pixel, alike for the eye."""
    ragged = torch.rand(1, 64, 65, generator=torch.Generator().manual_seed(1)) * (RAMP.mean(0).repeat(3)[:65] + 1)
    a, b = ragged[..., 1:], ragged[..., :-1]
    assert float(agreement(a, b)[0]) > 0.7


def test_maps_are_smoothed_by_a_share_of_the_longer_side() -> None:
    a, b = torch.rand(2, 1, 16, 96, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    smooth = [gaussian_filter(one[0].numpy(), 3.0, mode="nearest").ravel() for one in (a, b)]
    assert float(agreement(a, b)[0]) == pytest.approx(spearmanr(*smooth).statistic)


def test_the_smallest_maps() -> None:
    assert [float(found) for found in agreement(RAMP[None, :11, :11], RAMP[None, :11, :11])] == pytest.approx([1, 1])


def test_constant_and_empty_maps() -> None:
    spearman, ssim = agreement(torch.zeros(1, 16, 16), torch.rand(1, 16, 16))
    assert math.isnan(float(spearman))
    assert math.isfinite(float(ssim))
    assert [found.shape for found in agreement(torch.zeros(0, 16, 16), torch.zeros(0, 16, 16))] == [(0,), (0,)]


@pytest.mark.parametrize("shapes", [((1, 16, 16), (1, 16, 17)), ((16, 16), (16, 16)), ((1, 10, 16), (1, 10, 16))])
def test_maps_that_cannot_be_compared(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="sides from 11"):
        agreement(torch.ones(shapes[0]), torch.ones(shapes[1]))
