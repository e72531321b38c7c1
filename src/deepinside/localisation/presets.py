"""Every number of the localisation, by name and with its source."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from numbers import Integral, Real
from sys import float_info
from typing import Any

from deepinside.errors import UserError, did_you_mean
from deepinside.localisation.graph import OFFSETS

LARGEST_ENERGY = 2**32  # of one term, in whole numbers: the sums of a large picture's terms then have 64 bits


def _check_kinds(numbers: Any) -> None:
    largest: Any = float_info.max  # whole numbers have no bound, and math.isfinite none of the larger ones
    for field in fields(numbers):
        value, whole = getattr(numbers, field.name), field.type is int
        for one in value if isinstance(value, tuple | list) and isinstance(field.default, tuple) else [value]:
            number = isinstance(one, Integral if whole else Real) and not isinstance(one, bool)
            if not number or not abs(one) <= largest:
                raise UserError(f"{field.name} must be a finite {'whole ' if whole else ''}number, not {one!r}")


@dataclass(frozen=True)
class Preset:
    """Every number of presets `paper` and `vgg`. Quantiles are of the saliency of the covered pixels."""

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
        _check_kinds(self)
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
        for name in ("data_clip", "strength"):
            if self.energy_scale * getattr(self, name) > LARGEST_ENERGY:
                most = f"{LARGEST_ENERGY / self.energy_scale:.12g}"
                raise UserError(
                    f"{name} must be at most {most} with energy_scale={self.energy_scale}, not {getattr(self, name)}"
                )


@dataclass(frozen=True)
class Evidence:
    """Every number of preset `best`. All were chosen once, on 450 validation pictures of ILSVRC with two SqueezeNets.

    Lengths are in cells of a working grid of short side `grid`; the evidence F has the mean 1 (see `evidence`).
    """

    grid: int = 64  # short side of the working grid, cells; smaller pictures keep their size
    blur: float = 1.75  # sigma of a Gaussian over the map
    power: float = 2.25  # of the blurred map
    rim: float = 0.6  # centre prior: the factor far from the centre, where it is 1 in the middle
    prior_decay: float = 10.0  # centre prior: exp(-this r^2), r from the centre in widths and heights
    level: float = 0.9  # F at which evidence speaks neither for object nor background
    evidence_clip: float = 3.0  # largest |F - level|
    colour_weight: float = 0.15  # of the colours' log-odds: weak, strong ones lose accuracy
    colour_clip: float = 5.0  # largest |log-odds| of the colours
    foreground_samples: float = 0.95  # paper: object colours from F >= this quantile
    background_samples: float = 0.30  # paper: background colours from F <= this quantile
    uniform_weight: float = 0.05  # share of a uniform density in each colour model; VGG's
    bins: int = 8  # of a colour histogram, each channel
    strength: float = 1.4  # pairwise weight at no contrast
    beta_factor: float = 2.0  # beta = 1 / (this mean ||dI||^2); GrabCut's
    components: float = 0.6  # parts of at least this share of the largest one's area belong to the object
    mass_power: float = 1.75  # the mass box is of F to this power ...
    mass_tail: float = 0.05  # ... and leaves this share of it out on each side
    mass_share: float = 0.25  # of the mass box in the mean of both boxes
    confidence: float = 0.2  # power of the class's posterior, which weighs the looks (see `looks`)
    spacing: float = 0.1875  # between windows, at most, in the frame's short side; 0: the frame alone, far cheaper
    further_levels: tuple[float, ...] = (2.5, 5.0, 1.5)  # of a class's further boxes, see `evidence`
    gains: tuple[float, ...] = (0.717, 0.093, 0.031, 0.018)  # how often each of its boxes is the first right one
    calibration: float = 1.1  # power of the posteriors that the gains are weighed with: means over crops are too unsure

    def __post_init__(self) -> None:
        _check_kinds(self)
        if not 0 <= self.background_samples < self.foreground_samples <= 1:
            low, high = self.background_samples, self.foreground_samples
            raise UserError(f"quantiles must be 0 <= background_samples < foreground_samples <= 1, not {low}, {high}")
        for name, low, high in (
            ("spacing", 0, 0.35),
            ("mass_share", 0, 1),
            ("components", 0, 1),
            ("rim", 0, 1),
            ("mass_tail", 0, 0.49),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} must be in [{low}, {high}], not {getattr(self, name)}")
        if not 0 < self.uniform_weight < 1:
            raise UserError(f"uniform_weight must be in (0, 1), not {self.uniform_weight}")
        for name in (
            "grid",
            "power",
            "beta_factor",
            "bins",
            "mass_power",
            "evidence_clip",
            "calibration",
        ):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be > 0, not {getattr(self, name)}")
        for name in ("blur", "strength", "confidence", "colour_weight", "colour_clip", "prior_decay"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must be >= 0, not {getattr(self, name)}")
        if not all(level > 0 for level in self.further_levels):
            raise UserError(f"further_levels must be > 0, not {self.further_levels}")
        if len(self.gains) != 1 + len(self.further_levels):
            raise UserError(f"gains must be one more than further_levels {self.further_levels}, not {self.gains}")
        if not all(high > low for high, low in pairwise((*self.gains, 0))):
            raise UserError(f"gains must fall and be > 0, not {self.gains}")


PRESETS: dict[str, Preset | Evidence] = {
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
    "best": Evidence(),
}


def find_preset(name: str, **overrides: float) -> Preset | Evidence:
    """The preset of that name with single numbers replaced. UserError names an unknown preset, field or bad value."""
    if name not in PRESETS:
        raise UserError(f"no localisation preset '{name}'{did_you_mean(name, PRESETS, _valid(PRESETS))}")
    known = [field.name for field in fields(PRESETS[name])]
    for key in overrides:
        if key not in known:
            raise UserError(
                f"localisation preset '{name}' has no number '{key}'{did_you_mean(key, known, _valid(known))}"
            )
    return replace(PRESETS[name], **overrides)  # type: ignore[arg-type]  # ints stay ints: fields are checked


def _valid(names: Iterable[str]) -> str:
    return f"; valid: {', '.join(names)}"
