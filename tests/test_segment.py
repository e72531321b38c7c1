import sys
from inspect import signature
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch import Tensor

from deepinside.boxes import iou, mask_to_box, whole_box
from deepinside.config import LocalisationConfig
from deepinside.errors import UserError
from deepinside.localisation import colour
from deepinside.localisation.colour import fit_mixtures, log_density, monomials
from deepinside.localisation.graph import Array, Graph, Mask, Pairwise, pixel_graph
from deepinside.localisation.grid_flow import GridCuts
from deepinside.localisation.locate import Question, locate
from deepinside.localisation.presets import PRESETS, Preset, find_preset
from deepinside.localisation.segment import _log_odds, cut_seeds, largest_component, object_box, segment

every = pytest.mark.parametrize("preset", list(PRESETS))
both = pytest.mark.parametrize("preset", ["paper", "vgg"])  # whose seeds cannot change


def disc(height: int, width: int, radius: float, y: float = 0.5, x: float = 0.5) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (rows - y * height) ** 2 + (columns - x * width) ** 2 <= radius**2


def scene(height: int = 60, width: int = 80, grey: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """A noisy disc before a noisy background, a saliency map that peaks inside the disc, and the disc's mask."""
    generator = torch.Generator().manual_seed(0)
    mask = disc(height, width, 16)
    colours = torch.tensor([[0.6, 0.6, 0.6], [0.3, 0.3, 0.3]] if grey else [[0.7, 0.3, 0.2], [0.2, 0.4, 0.6]])
    noise = 0.05 * torch.randn(1 if grey else 3, height, width, generator=generator)
    image = (torch.where(mask, colours[0][:, None, None], colours[1][:, None, None]) + noise).clamp(0, 1)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    saliency = torch.exp(-4 * (rows**2 + columns**2)) * (0.5 + torch.rand(height, width, generator=generator))
    return image, saliency, mask


def overlap(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


# --- colour model ---------------------------------------------------------------------------------------------------


def synthetic_colours(count: int = 1500) -> NDArray[np.float64]:
    generator = np.random.default_rng(0)
    means = [[0.2, 0.2, 0.3], [0.8, 0.5, 0.2], [0.4, 0.7, 0.7]]
    skews = generator.normal(0, 0.04, (3, 3, 3))
    parts = [generator.normal(size=(count // 3, 3)) @ skew + mean for mean, skew in zip(means, skews, strict=True)]
    return np.concatenate(parts).clip(0, 1)


def test_one_gaussian_has_the_closed_form() -> None:
    colours = synthetic_colours()
    features = monomials(colours.T)
    found = log_density(features, fit_mixtures([features], 1, variance=1e-4)[0])
    covariance = np.cov(colours.T, bias=True) + 1e-4 * np.eye(3)
    assert found == pytest.approx(multivariate_normal(colours.mean(axis=0), covariance).logpdf(colours))


@pytest.mark.parametrize("components", [3, 5])
def test_mixture_is_as_likely_as_scikit_learns(components: int) -> None:
    colours, fresh = synthetic_colours(3000)[::2], synthetic_colours(3000)[1::2]
    mixture = fit_mixtures([monomials(colours.T)], components)[0]
    reference = GaussianMixture(components, random_state=0).fit(colours)
    assert mixture.shape == (components, 10)
    for data in (colours, fresh):  # log-densities here are about 6
        assert log_density(monomials(data.T), mixture).mean() > reference.score(data) - 0.03


def test_mixture_density_integrates_to_one() -> None:
    colours = 0.5 + 0.2 * (synthetic_colours() - 0.5)
    axis = (np.arange(100) + 0.5) / 100
    grid = np.stack(np.meshgrid(axis, axis, axis)).reshape(3, -1)
    mixture = fit_mixtures([monomials(colours.T)], 3, variance=1e-4)[0]
    density = np.exp(log_density(monomials(grid), mixture))
    assert density.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("distinct", [1, 2, 4])
def test_fewer_distinct_colours_than_components(distinct: int) -> None:
    colours = np.repeat(np.linspace(0.1, 0.9, 3 * distinct).reshape(distinct, 3), 7, axis=0)
    features = monomials(colours.T)
    mixture = fit_mixtures([features], 5)[0]
    # Each colour is a Gaussian of the least variance, weighed by its share.
    peak = -np.log(distinct) - 1.5 * np.log(2 * np.pi * 1e-6)
    assert log_density(features, mixture) == pytest.approx(peak, abs=1e-3)


def test_mixture_is_deterministic_and_leaves_the_global_generator_alone() -> None:
    features = monomials(synthetic_colours().T)
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    assert (fit_mixtures([features], 5) == fit_mixtures([features], 5)).all()
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]


def test_single_precision_in_blocks_is_enough() -> None:
    generator = np.random.default_rng(1)
    colours = generator.random((3, 20001)) - 0.5  # more than two blocks
    mixture = fit_mixtures([monomials(synthetic_colours().T - 0.5)], 5)[0]
    exact = log_density(monomials(colours), mixture)
    single = log_density(monomials(colours.astype(np.float32)), mixture)
    assert single.dtype == np.float32
    assert single == pytest.approx(exact, rel=1e-4, abs=1e-3)
    logs = mixture @ monomials(colours)
    assert exact == pytest.approx(np.logaddexp.reduce(logs, axis=0))


@pytest.mark.parametrize("level", [None, 0.0, 0.1, 0.9, 1.0])
def test_single_precision_on_grey_pictures(level: float | None) -> None:
    """All greys, or a grey with a little noise: the mixtures are as narrow as they may be."""
    generator = np.random.default_rng(1)
    greys = generator.random(20001) if level is None else level + 0.002 * generator.standard_normal(20001)
    colours = np.repeat((greys.clip(0, 1) * 255).round()[None] / 255, 3, axis=0) - 0.5
    mixture = fit_mixtures([monomials(colours[:, greys >= np.median(greys)][:, :2000])], 5)[0]
    assert np.abs(mixture).max() > 2e5
    exact = log_density(monomials(colours), mixture)
    single = log_density(monomials(colours.astype(np.float32)), mixture)
    off = np.abs(single - exact)[exact > exact.max() - 50]  # what is further away is improbable in any case
    assert 1e-3 < off.max() < 0.05


def test_mixtures_fitted_together_are_those_fitted_alone() -> None:
    """Samples of unequal length, one of them of two colours: what fills the shorter ones up counts nowhere."""
    colours = synthetic_colours().T - 0.5
    samples = [monomials(part) for part in (colours, colours[:, 400:900], colours[:, [3, 700] * 4], colours[:, :1])]
    together = fit_mixtures(samples, 5)
    assert together.shape == (4, 5, 10)
    for mixture, own in zip(together, samples, strict=True):
        alone = fit_mixtures([own], 5)[0]
        assert log_density(samples[0], mixture) == pytest.approx(log_density(samples[0], alone), rel=1e-6)
    assert fit_mixtures([], 5).shape == (0, 5, 10)


def test_gaussians_without_a_colour_weigh_nothing_anywhere() -> None:
    sample, away = monomials(np.full((3, 7), 0.4)), monomials(np.zeros((3, 1)))
    one, five = (fit_mixtures([sample], components)[0] for components in (1, 5))
    assert log_density(away, one) < -1e5
    assert log_density(away, five) == pytest.approx(log_density(away, one), rel=1e-6)


def test_a_colour_that_is_beyond_exp_of_every_gaussian_still_belongs_to_one() -> None:
    """One of 4001: its distance from their mean is 63 deviations."""
    colours = np.full((3, 4001), 0.4)
    colours[0, 0] = 0.9
    assert np.isfinite(fit_mixtures([monomials(colours)], 1)[0]).all()


def test_the_mixture_of_a_picture_has_had_enough_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    features, found = monomials(synthetic_colours().T), []
    for steps in (1, colour._EM_STEPS, 100):
        monkeypatch.setattr(colour, "_EM_STEPS", steps)
        found.append(log_density(features, fit_mixtures([features], 3)[0]).mean())
    few, usual, many = found
    assert few < many - 0.02
    assert usual > many - 0.005


def test_log_odds_are_the_difference_of_the_data_costs() -> None:
    features = monomials(synthetic_colours().T)
    mixtures = fit_mixtures([features[:, :500], features[:, 500:]], 5)
    odds = _log_odds(features, *mixtures, find_preset("vgg"))
    likelihoods = [0.05 + 0.95 * np.exp(log_density(features, mixture)) for mixture in mixtures]
    share = likelihoods[0] / (likelihoods[0] + likelihoods[1])
    assert odds == pytest.approx(np.log(share) - np.log1p(-share), abs=1e-9)
    clipped = _log_odds(features, *mixtures, find_preset("vgg", data_clip=2.0))
    assert clipped == pytest.approx(odds.clip(-2, 2))
    assert (clipped == 2).any()
    assert (clipped == -2).any()


# --- segmentation ---------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("grey", [False, True])
def test_finds_the_disc(preset: str, grey: bool) -> None:
    image, saliency, truth = scene(grey=grey)
    mask, box = object_box(image, saliency, preset)
    assert mask.dtype == torch.bool
    assert overlap(mask, truth) > 0.9
    assert iou(box[None], mask_to_box(truth)[None]).item() > 0.9


@every
def test_many_maps_equal_one_at_a_time(preset: str) -> None:
    image, saliency, _ = scene()
    maps = torch.stack([saliency, torch.ones_like(saliency), saliency.roll((12, -20), (0, 1))])
    masks, boxes = object_box(image, maps, preset)
    assert masks.shape == maps.shape
    assert boxes.shape == (3, 4)
    for one, mask, box in zip(maps, masks, boxes, strict=True):
        assert torch.equal(segment(image, one, preset), mask)
        assert torch.equal(object_box(image, one, preset)[1], box)
    assert not torch.equal(masks[0], masks[2])


def test_bytes_and_fractions_are_the_same_picture_and_inputs_stay_untouched() -> None:
    image, saliency, _ = scene()
    pixels = (255 * image).round().to(torch.uint8)
    before = pixels.clone(), saliency.clone()
    assert torch.equal(segment(pixels, saliency), segment(pixels.double() / 255, saliency))
    assert torch.equal(pixels, before[0])
    assert torch.equal(saliency, before[1])


@every
def test_the_scale_of_the_map_does_not_matter(preset: str) -> None:
    image, saliency, _ = scene()
    assert torch.equal(segment(image, saliency, preset), segment(image, 1024 * saliency, preset))


@both
def test_pixels_outside_the_coverage_carry_nothing_but_can_be_object(preset: str) -> None:
    image, saliency, truth = scene()
    coverage = torch.zeros_like(truth)
    coverage[:, 20:52] = True  # the disc reaches from column 24 to 56
    mask = segment(image, saliency, preset, coverage)
    assert (mask & truth & ~coverage).any()
    for blur in (0.0, 2.0):
        nonsense = torch.where(coverage, saliency, 7 * torch.rand_like(saliency))
        expected = segment(image, saliency, preset, coverage, blur=blur)
        assert torch.equal(segment(image, nonsense, preset, coverage, blur=blur), expected)


@both
def test_background_seeds_are_never_object(preset: str) -> None:
    image, saliency, _ = scene()
    mask = segment(image, saliency, preset, strength=1e4)
    assert not mask[saliency <= saliency.double().quantile(find_preset(preset).background_seeds)].any()
    assert mask.any()


@both
@pytest.mark.parametrize("value", [0.0, 0.3])
@pytest.mark.parametrize("blur", [0.0, 1.5])
def test_a_constant_map_gives_the_whole_picture(preset: str, value: float, blur: float) -> None:
    image, saliency, truth = scene()
    constant = torch.full_like(saliency, value)
    assert segment(image, constant, preset, blur=blur).all()
    elsewhere = torch.where(truth, constant, saliency)
    mask, box = object_box(image, elsewhere, preset, truth, blur=blur)  # constant where it is covered
    assert mask.all()
    assert box.tolist() == whole_box((60, 80)).tolist()


def test_a_map_with_samples_but_no_seeds_or_seeds_but_no_samples_gives_the_whole_picture() -> None:
    """A map of two values: 20% or 80% of its pixels have the greater one."""
    image, values = scene()[0], torch.arange(80).expand(60, 80)
    assert segment(image, (values < 16).float(), background_seeds=0.9).all()
    assert segment(image, (values < 64).float(), "vgg").all()


def test_blur_does_not_darken_the_edge_of_the_coverage() -> None:
    """A ramp that ends at its brightest, where the coverage does: there are the seeds of the object."""
    ramp, covered = torch.arange(80.0).expand(60, 80), torch.zeros(60, 80, dtype=torch.bool)
    covered[:, :40] = True
    seeds = cut_seeds(ramp, covered, Preset(blur=4.0))
    assert (seeds[:, 38:40] == 1).all()
    assert not (seeds[:, :38] == 1).any()


class Broken(ModuleType):
    """As if numba, while it is imported, did not find a library."""

    def __getattr__(self, name: str) -> Any:
        raise OSError("Could not load shared object file: libllvmlite.so")


@both
def test_without_numba_the_cuts_are_the_same(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image, saliency, _ = scene()
    both = torch.stack([saliency, saliency.max() - saliency])
    expected = segment(image, both, preset)
    used: list[tuple[int, int]] = []

    def watched(shape: tuple[int, int], pairwise: Pairwise) -> Graph:
        used.append(shape)
        return pixel_graph(shape, pairwise)

    monkeypatch.setattr("deepinside.localisation.segment.pixel_graph", watched)
    assert torch.equal(segment(image, both, preset), expected)
    assert used == []
    for broken in (None, Broken("grid_flow")):
        monkeypatch.setitem(sys.modules, "deepinside.localisation.grid_flow", broken)
        assert torch.equal(segment(image, both, preset), expected)
    assert used == [(60, 80)] * 2
    assert not torch.equal(expected[0], expected[1])


@both
def test_what_is_cut_is_whole_numbers(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a cut is exact. A largest cost of a fraction is no exception, and no seed changes its label for it."""

    class Watched(GridCuts):
        def __init__(self, shape: tuple[int, int], pairwise: Pairwise) -> None:
            numbers.extend(pairwise.values())
            super().__init__(shape, pairwise)

        def cut(self, costs: Array) -> Mask:
            numbers.append(costs)
            return super().cut(costs)

    numbers: list[Array] = []
    monkeypatch.setattr("deepinside.localisation.grid_flow.GridCuts", Watched)
    segment(*scene()[:2], preset, data_clip=3.333)
    assert len(numbers) == find_preset(preset).neighbours // 2 + 1
    assert all(np.array_equal(one, np.rint(one)) for one in numbers)


@both
def test_ties_at_both_quantiles_are_background(preset: str) -> None:
    image, _, truth = scene()
    sparse = disc(60, 80, 4).float()  # 1% of the pixels, so both quantiles are 0
    mask = segment(image, sparse, preset, foreground_seeds=0.95, background_seeds=0.3)
    assert mask[sparse > 0].all()
    assert not mask[sparse == 0].any()  # every other pixel is a background seed
    assert overlap(mask, truth) < 0.2


@both
def test_one_colour_leaves_seeds_and_smoothness(preset: str) -> None:
    _, saliency, _ = scene()
    smooth = disc(60, 80, 10).float() + disc(60, 80, 20).float()
    mask = segment(torch.full((3, 60, 80), 0.4), smooth, preset, background_seeds=0.3, foreground_seeds=0.95)
    assert mask[smooth == 2].all()  # seeds of the foreground
    assert not mask[smooth == 0].any()
    assert segment(torch.zeros(3, 60, 80), saliency, preset).any()


@both
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 400), (400, 1), (2, 3), (3, 1000)])
def test_tiny_and_very_long_pictures(preset: str, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    image, saliency = torch.rand(3, *size, generator=generator), torch.rand(size, generator=generator)
    mask, box = object_box(image, saliency, preset)
    assert mask.shape == size
    assert mask.any()
    assert mask.all() == (size == (1, 1))
    assert box.tolist() == mask_to_box(mask).tolist()


def test_blur_joins_what_noise_has_split() -> None:
    image, _, truth = scene()
    generator = torch.Generator().manual_seed(3)
    saliency = torch.rand(60, 80, generator=generator) ** 4 * (0.3 + truth.float())
    sharp, blurred = (segment(image, saliency, "paper", blur=blur) for blur in (0.0, 2.0))
    assert overlap(blurred, truth) > max(0.9, overlap(sharp, truth))


@pytest.mark.parametrize(
    ("image", "saliency", "coverage", "message"),
    [
        (torch.rand(1, 4, 5), torch.rand(4, 5), None, "image must be"),
        (torch.rand(3, 0, 5), torch.rand(0, 5), None, "image must be"),
        (torch.rand(3, 4, 5) + 1, torch.rand(4, 5), None, r"in \[0, 1\]"),
        (torch.full((3, 4, 5), torch.nan), torch.rand(4, 5), None, r"in \[0, 1\]"),
        (torch.rand(3, 4, 5), torch.rand(5, 4), None, "saliency must be"),
        (torch.rand(3, 4, 5), torch.rand(0, 4, 5), None, "saliency must be"),
        (torch.rand(3, 4, 5), torch.full((4, 5), torch.nan), None, "finite"),
        (torch.rand(3, 4, 5), torch.full((4, 5), torch.inf), None, "finite"),
        (torch.rand(3, 4, 5), torch.rand(4, 5) - 1, None, ">= 0"),
        (torch.rand(3, 4, 5), torch.rand(4, 5), torch.ones(4, 5), "coverage must be bool"),
        (torch.rand(3, 4, 5), torch.rand(4, 5), torch.zeros(4, 5, dtype=torch.bool), "at least one"),
        (torch.rand(3, 4, 5), torch.rand(4, 5), torch.ones(5, 4, dtype=torch.bool), "coverage must be bool"),
    ],
)
def test_bad_input_is_refused(image: Tensor, saliency: Tensor, coverage: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segment(image, saliency, coverage=coverage)


def test_presets_have_the_published_numbers() -> None:
    """The paper's quantiles, and what VGG's code and its cut engine's defaults have in place of them."""
    quantiles = {"foreground_samples": 0.95, "background_samples": 0.3}
    paper = {"foreground_seeds": 0.95, "background_seeds": 0.3, "uniform_weight": 0.0, "neighbours": 8}
    vgg = {"foreground_seeds": 0.995, "background_seeds": 0.005, "uniform_weight": 0.05, "neighbours": 4}
    both = {"components": 5, "data_clip": 100.0, "energy_scale": 50, "blur": 0.0}
    assert find_preset("paper") == Preset(**quantiles, **paper, **both, strength=50.0, beta_factor=2.0)
    assert find_preset("vgg") == Preset(**quantiles, **vgg, **both, strength=150.0, beta_factor=0.5)


def test_presets_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="'papr'; did you mean 'paper'"):  # as `segment` has it
        segment(torch.rand(3, 4, 5), torch.rand(4, 5), preset="papr")
    with pytest.raises(UserError, match="'papr'; did you mean 'paper'"):
        find_preset("papr")
    with pytest.raises(UserError, match="valid: paper, vgg, best"):
        find_preset("xyz")
    with pytest.raises(UserError, match="'strenght'; did you mean 'strength'"):
        find_preset("paper", strenght=3)


@pytest.mark.parametrize(
    "override",
    [
        {"foreground_samples": 0.2},
        {"foreground_samples": 0.3},  # the background's
        {"background_seeds": -0.1},
        {"foreground_seeds": 1.1},
        {"neighbours": 6},
        {"uniform_weight": 1.0},
        {"components": 0},
        {"strength": -1},
        {"blur": float("nan")},
        {"energy_scale": 0},
        {"strength": 1e8},
        {"data_clip": 1e300},
        {"energy_scale": 2**40},
        {"energy_scale": 10**400},
    ],
)
def test_presets_refuse_bad_numbers(override: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(override)).split("_")[-1]):
        find_preset("vgg", **override)


def test_a_preset_at_its_bound_is_taken() -> None:
    with pytest.raises(UserError, match=r"strength must be at most 85899345\.92 with energy_scale=50, not 85899346"):
        find_preset("vgg", strength=85899346)
    assert find_preset("vgg", strength=85899345.92)


@both
def test_the_largest_energies_are_cut_as_smaller_ones(preset: str) -> None:
    image, saliency, _ = scene()
    strength = 2**32 // 50
    assert segment(image, saliency, preset, strength=strength)[saliency == saliency.max()].all()
    usual = find_preset(preset).strength
    scaled = segment(image, saliency, preset, strength=usual, energy_scale=int(2**32 // max(usual, 100)))
    assert (scaled == segment(image, saliency, preset, energy_scale=2**16)).float().mean() > 0.999


def test_largest_component() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    assert not largest_component(mask).any()
    assert largest_component(~mask).all()
    mask[0, 0] = mask[1, 1] = mask[2, 2] = True  # diagonal neighbours are connected
    mask[4, 4:6] = True
    assert np.argwhere(largest_component(mask)).tolist() == [[0, 0], [1, 1], [2, 2]]
    mask[4, 3] = True  # now both have three pixels: the first in reading order
    assert np.argwhere(largest_component(mask)).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_one_preset_is_the_default_of_all() -> None:
    for function in (segment, object_box, locate, Question):
        assert signature(function).parameters["preset"].default == LocalisationConfig.preset == "vgg", function
