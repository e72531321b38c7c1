"""How the numbers of a class model become the arguments of `optimise_class_models`."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from math import isfinite
from typing import Any

from torch.optim import SGD, Adam, Optimizer

from deepinside.attribution.scores import find_score
from deepinside.class_model.parameterisation import Fourier, Parameterisation, Pixels
from deepinside.class_model.regulariser import squared_norm, total_variation
from deepinside.class_model.transform import Transform, blur, compose, jitter, scale_and_rotate
from deepinside.class_model_numbers import PRESETS, Numbers

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
    names = [field.name for field in fields(Numbers)]
    if unknown := [name for name in numbers if name not in names]:
        raise ValueError(f"a class model has no number {', '.join(unknown)}; its numbers are {', '.join(names)}")
    chosen = replace(PRESETS[name], **numbers)
    find_score(chosen.objective)
    if wrong := [key for key in names if isinstance(given := getattr(chosen, key), float) and not isfinite(given)]:
        raise ValueError(f"{wrong[0]} must be a finite number, not {getattr(chosen, wrong[0])}")
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
