"""Attribution methods: what each makes of the gradient. `saliency` reduces it to a map."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deepinside.attribution.inputs import is_whole, shape_or_type

Gradient = Callable[[Tensor], Tensor]
"""Pictures (N, C, H, W) -> dS_c/dI of every picture's K classes, (N, K, C, H, W)."""


def gradient(of: Gradient, images: Tensor) -> Tensor:
    """w = dS_c/dI (paper, section 3.1). With the rules `deconvnet` and `guided`, their reconstruction (section 4)."""
    return of(images)


def gradient_x_input(of: Gradient, images: Tensor, *, baseline: Tensor | float = 0.0) -> Tensor:
    """w * (I - I'), the terms of the first-order Taylor expansion S_c(I) ~ w.(I - I') + b (paper, section 3.1).

    baseline: I', a number or anything that broadcasts with (N, C, H, W); 0 where pictures are zero-centred.
    """
    return of(images) * (images - baseline)[:, None]


def smoothgrad(of: Gradient, images: Tensor, *, samples: int = 25, noise: float = 0.15, seed: int = 0) -> Tensor:
    """(1/n) sum_i dS_c/dI (I + e_i), e_i ~ N(0, sigma^2) (Smilkov et al. 2017).

    sigma is `noise` times the range max(I) - min(I) of each picture. All pictures get the same draws, so that a map
    depends on its picture alone. ValueError unless noise is finite and >= 0, and the seed
    a whole number.
    """
    if not 0 <= noise < math.inf:  # rectifiers would hide it
        raise ValueError(f"noise must be finite and >= 0, not {noise}")
    if not is_whole(seed):
        raise ValueError(f"seed must be a whole number, not {seed!r}")
    sigma = noise * (images.flatten(1).amax(1) - images.flatten(1).amin(1)).view(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(int(seed))
    draw = partial(torch.randn, images.shape[1:], generator=generator, device="cpu", dtype=torch.float32)
    return _mean(of(images + sigma * draw().to(images)) for _ in range(samples))


def integrated_gradients(of: Gradient, images: Tensor, *, steps: int = 32, baseline: Tensor | float = 0.0) -> Tensor:
    """(I - I') * integral_0^1 dS_c/dI (I' + a (I - I')) da, by the midpoint rule (Sundararajan et al. 2017).

    baseline: I', a number or anything that broadcasts with (N, C, H, W). Summed over a picture the terms give
    S_c(I) - S_c(I').
    """
    difference = images - baseline
    points = (baseline + difference * ((step + 0.5) / steps) for step in range(steps))
    return difference[:, None] * _mean(of(point) for point in points)


BASED = ("gradient_x_input", "integrated_gradients")  # methods that take a `baseline`

METHODS: dict[str, Callable[..., Tensor]] = {
    "gradient": gradient,
    "deconvnet": gradient,
    "guided": gradient,
    "gradient_x_input": gradient_x_input,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
}


def with_baseline(options: dict[str, Any], images: Tensor) -> dict[str, Any]:
    """The options of a method for images (N, C, H, W), `baseline` among them as a tensor of their shape. ValueError
    where it is not finite or does not broadcast."""
    if "baseline" not in options:
        return options
    given = options["baseline"]
    try:
        baseline = torch.as_tensor(given, dtype=images.dtype, device=images.device).detach().expand_as(images)
    except (RuntimeError, TypeError, ValueError):
        baseline = None
    if baseline is None or not baseline.isfinite().all():
        what = given if isinstance(given, float | int) else shape_or_type(given)
        shape = tuple(images.shape)
        raise ValueError(f"baseline must be a number, or finite and broadcast with the images {shape}, not {what}")
    return options | {"baseline": baseline}


def _mean(tensors: Iterator[Tensor]) -> Tensor:
    """Of at least one; one at a time in memory."""
    total, count = next(tensors, None), 1
    if total is None:
        raise ValueError("samples and steps must be at least 1")
    for tensor in tensors:
        total, count = total + tensor, count + 1
    return total / count
