"""Named sets of numbers for class models, and how they become the arguments of `optimise_class_models`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch.optim import SGD, Adam, Optimizer

from deepinside.class_model.parameterisation import Fourier, Parameterisation, Pixels
from deepinside.class_model.regulariser import squared_norm, total_variation
from deepinside.class_model.transform import Transform, blur, compose, jitter, scale_and_rotate


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
PARAMETERISATIONS: dict[str, Callable[[float], Parameterisation]] = {
    "pixels": lambda decay: Pixels(),
    "fourier": Fourier,
}
OPTIMISERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "sgd": partial(SGD, momentum=0.9)}


def preset(name: str, **numbers: Any) -> dict[str, Any]:
    """The keyword arguments of `optimise_class_models` for a preset: `paper`, `fourier` or `natural`.

    numbers: single fields of `Numbers` that differ. `jitter`, `blur`: pixels; `scale`: share; `rotate`: degrees; `lr`:
    grey levels a step for adam, for sgd (momentum 0.9) grey levels squared a unit of the score. Raises ValueError for
    unknown names.
    """
    for wanted, known, what in (
        (name, PRESETS, "preset"),
        (numbers.get("parameterisation", "pixels"), PARAMETERISATIONS, "parameterisation"),
        (numbers.get("optimiser", "adam"), OPTIMISERS, "optimiser"),
    ):
        if wanted not in known:
            raise ValueError(f"{what} '{wanted}' is unknown; it is one of {', '.join(known)}")
    chosen = replace(PRESETS[name], **numbers)
    penalty = squared_norm(chosen.lam)
    return {
        "parameterisation": PARAMETERISATIONS[chosen.parameterisation](chosen.decay),
        "objective": chosen.objective,
        "regulariser": penalty + total_variation(chosen.tv) if chosen.tv else penalty,
        "transform": _transform(chosen),
        "optimiser": partial(OPTIMISERS[chosen.optimiser], lr=chosen.lr),
        "steps": chosen.steps,
        "ramp": chosen.ramp,
        "octaves": chosen.octaves,
        "tolerance": chosen.tolerance,
        "patience": chosen.patience,
    }


def _transform(chosen: Numbers) -> Transform | None:
    parts = []
    if chosen.blur:
        parts.append(blur(chosen.blur))
    if chosen.scale or chosen.rotate:
        parts.append(scale_and_rotate(chosen.scale, chosen.rotate))
    if chosen.jitter:
        parts.append(jitter(chosen.jitter))
    return compose(*parts) if parts else None
