"""The numbers of a class model: presets, what a configuration changes in them, and both in a few words.

Apart from `class_model/`, so that a report can tell them without loading torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from deepinside.words import counted


@dataclass(frozen=True)
class Numbers:
    """Everything that a class model depends on beside the net. The defaults: pixels, and nothing beyond the paper."""

    parameterisation: str = "pixels"
    decay: float = 1.0
    objective: str = "score"
    lam: float = 1e-5
    tv: float = 0.0
    jitter: int = 0
    scale: float = 0.0
    rotate: float = 0.0
    blur: float = 0.0
    octaves: int = 1
    optimiser: str = "adam"
    lr: float = 1.0
    steps: int = 200
    ramp: float = 0.5
    tolerance: float = 0.01
    patience: int = 30


# Chosen on six classes of SqueezeNet 1.1, goose and limousine among them. The paper says neither lambda nor how it
# climbed. `fourier` has its objective too, but moves coarse structure first, and so reaches other maxima.
PRESETS: dict[str, Numbers] = {
    "paper": Numbers(),
    "fourier": Numbers(parameterisation="fourier", decay=1.6, lam=1e-7, lr=7.0, steps=150),
    "natural": Numbers(
        parameterisation="fourier", lam=1e-6, tv=1e-4, jitter=8, scale=0.2, rotate=10.0, lr=3.0, steps=160
    ),
}


def chosen_numbers(settings: Mapping[str, Any], objective: str | None = None) -> Numbers:
    """The numbers of the preset that `settings`, the keys of class_models, name; their own in place of those where they
    are not None, and `objective` in place of both."""
    own = {f.name: value for f in fields(Numbers) if (value := settings.get(f.name)) is not None}
    return replace(PRESETS[settings["preset"]], **own | ({"objective": objective} if objective else {}))


def recipe(settings: Mapping[str, Any]) -> str:
    """`preset natural, lambda 1e-06, 160 steps`, `preset paper, but lambda 3e-05, jitter 4, 300 steps`: what a class
    model can only be read with. Every number that is not the preset's own comes after `but`."""
    numbers, named = chosen_numbers(settings), PRESETS[settings["preset"]]
    told = {f.name: _told(f.name, getattr(numbers, f.name)) for f in fields(Numbers)}
    other = [name for name in told if getattr(numbers, name) != getattr(named, name)]
    own = [told[name] for name in ("lam", "steps") if name not in other]  # these two are always told
    words = ", ".join([f"preset {settings['preset']}", *own])
    return f"{words}, but {', '.join(told[name] for name in other)}" if other else words


def _told(name: str, value: Any) -> str:
    if name == "steps":
        return counted(value, "step")
    return f"{'lambda' if name == 'lam' else name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
