"""The DeconvNet, layer by layer and without autograd (Zeiler & Fergus 2013; paper, section 4).

A reconstruction R_{n+1} of a layer's output is turned into one of its input, R_n: by the transposed convolution, the
switches of the max-pooling, the rectification of the reconstruction itself. Layers for which Zeiler & Fergus give no
step (normalisation, averages, reshapes) pass it back by the transpose of their derivative, written out.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepinside.attribution.context import gradients_on
from deepinside.attribution.inputs import check_pictures, check_shapes
from deepinside.attribution.scores import check_classes, check_scores
from deepinside.attribution.trace import (
    CONVOLUTION,
    FULL,
    MAX_POOL,
    RELU,
    Step,
    TraceMode,
    layer_name,
    one_hot,
)
from deepinside.errors import UserError

Pair = tuple[int, int]


def deconvnet(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """The DeconvNet's reconstruction of a class score's cause, by explicit steps back through a chain of layers
    (Zeiler & Fergus 2013; the paper's section 4).

    model: images -> class scores (N, classes), each layer feeding the next one alone: convolutions, full layers,
    max-pools, rectifiers, local response and batch normalisation, dropout, adaptive average pools, flatten.
    images: (N, C, H, W); classes: (N,) -> (N, C, H, W), signed, in scores per unit of the input. The same up to
    rounding as `saliency(..., method="deconvnet", reduction="none")`, which needs no chain.
    Raises UserError where the net is not a chain of these layers, ValueError for pictures or classes that do not fit.
    """
    check_shapes(images, classes)
    with gradients_on(model) as bare, torch.no_grad():
        check_pictures(bare, images)
        start = images.detach().clone()
        with TraceMode(start) as trace:
            scores = bare(start)
        names = {module: name for name, module in bare.named_modules()}
        check_scores(scores, len(images))
        check_classes(classes, scores.shape[1])
        reconstruction, expected = one_hot(classes, scores), scores
        for step in reversed(trace.steps):
            known = step.kind in STEPS
            if not known or step.output is not expected or len(step.inputs) != 1:
                why = "joins or branches" if known or len(step.inputs) > 1 else "is no layer it knows a step for"
                raise UserError(
                    f"the explicit DeconvNet needs a chain of layers, and {layer_name(step, names)} ({step.function})"
                    f" {why}; saliency(..., method='deconvnet') takes any net with rectifiers"
                )
            reconstruction, expected = deconvnet_step(step, reconstruction), step.inputs[0]
        if expected is not start:
            raise UserError("the explicit DeconvNet finds no layer between the pictures and the scores")
    return reconstruction


def deconvnet_step(step: Step, reconstruction: Tensor) -> Tensor:
    """R_{n+1} -> R_n through one layer of `STEPS`."""
    return STEPS[step.kind](step, reconstruction)


def _convolution(step: Step, reconstruction: Tensor) -> Tensor:
    call = step.arguments("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    weight, stride, dilation = call["weight"], _pair(call.get("stride", 1)), _pair(call.get("dilation", 1))
    height, width = step.activity.shape[-2:]
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[-2:], strict=True)]
    (top, bottom), (left, right) = _paddings(call.get("padding", 0), reach)
    padded = (height + top + bottom, width + left + right)
    seen = [(r - 1) * s + k + 1 for r, s, k in zip(reconstruction.shape[-2:], stride, reach, strict=True)]
    missed = [p - s for p, s in zip(padded, seen, strict=True)]  # rows and columns that the last window did not reach
    full = F.conv_transpose2d(reconstruction, weight, None, stride, 0, missed, call.get("groups", 1), dilation)
    return full[..., top : top + height, left : left + width]


def _unpool(step: Step, reconstruction: Tensor) -> Tensor:
    """Each value goes back to where its window's maximum was; where windows overlap, the values add up."""
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    call = step.arguments(*names) | {"input": step.activity, "return_indices": True}
    switches = F.max_pool2d(**call)[1].flatten(2)
    empty = torch.zeros_like(step.activity).flatten(2)
    return empty.scatter_add_(2, switches, reconstruction.flatten(2)).view_as(step.activity)


def _rectify(step: Step, reconstruction: Tensor) -> Tensor:
    return torch.where(reconstruction > 0, reconstruction, 0.0)


def _full(step: Step, reconstruction: Tensor) -> Tensor:
    weight: Tensor = step.arguments("input", "weight")["weight"]
    return reconstruction @ weight


def _unchanged(step: Step, reconstruction: Tensor) -> Tensor:
    return reconstruction.reshape(step.activity.shape)


def _subtract(step: Step, reconstruction: Tensor) -> Tensor:
    _constant(step)
    return reconstruction


def _divide(step: Step, reconstruction: Tensor) -> Tensor:
    quotient: Tensor = reconstruction / _constant(step)
    return quotient


def _constant(step: Step) -> Any:
    """c in x - c and x / c; nothing else of their kind has a step."""
    call = step.arguments("input", "other")
    as_it_is = bool(step.args) and step.args[0] is step.inputs[0] and step.output.shape == step.activity.shape
    if not as_it_is or set(call) != {"input", "other"}:
        raise UserError(
            f"the explicit DeconvNet knows x - c and x / c of one shape, not this {step.function} giving"
            f" {tuple(step.output.shape)} from {tuple(step.activity.shape)}; saliency(..., method='deconvnet') does"
        )
    return call["other"]


def _batch_norm(step: Step, reconstruction: Tensor) -> Tensor:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with the running statistics."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    call = step.arguments(*names)
    scale = (call["running_var"] + call.get("eps", 1e-5)).rsqrt()
    scale = scale if call.get("weight") is None else scale * call["weight"]
    return reconstruction * scale.view(-1, *[1] * (reconstruction.ndim - 2))


def _local_response_norm(step: Step, reconstruction: Tensor) -> Tensor:
    """y_i = x_i / d_i^beta, d_i = k + (alpha/n) sum_{j in window(i)} x_j^2, the windows running over the channels."""
    call = {"alpha": 1e-4, "beta": 0.75, "k": 1.0} | step.arguments("input", "size", "alpha", "beta", "k")
    size, alpha, beta, x = call["size"], call["alpha"], call["beta"], step.activity
    before, after = size // 2, (size - 1) // 2
    denominator = call["k"] + alpha / size * _channel_sums(x**2, before, after)
    spread = _channel_sums(reconstruction * x * denominator ** (-beta - 1), after, before)
    return reconstruction * denominator**-beta - 2 * alpha * beta / size * x * spread


def _channel_sums(x: Tensor, before: int, after: int) -> Tensor:
    """sum_{j = i - before}^{i + after} x_j over the channels."""
    return F.pad(x.movedim(1, -1), (before, after)).unfold(-1, before + after + 1, 1).sum(-1).movedim(-1, 1)


def _adaptive_average(step: Step, reconstruction: Tensor) -> Tensor:
    """Output i of m is the mean of [floor(i n/m), ceil((i+1) n/m)) of n: a matrix a side, here transposed."""
    rows, columns = (
        _averages(n, m).to(reconstruction)
        for n, m in zip(step.activity.shape[-2:], reconstruction.shape[-2:], strict=True)
    )
    return rows.T @ reconstruction @ columns


def _averages(n: int, m: int) -> Tensor:
    matrix = torch.zeros(m, n, dtype=torch.float64, device="cpu")
    for i in range(m):
        first, end = i * n // m, math.ceil((i + 1) * n / m)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def _pair(value: Any) -> Pair:
    return tuple(value) if isinstance(value, tuple | list) and len(value) == 2 else (_one(value), _one(value))


def _one(value: Any) -> int:
    return int(value[0]) if isinstance(value, tuple | list) else int(value)


def _paddings(padding: Any, reach: list[int]) -> tuple[Pair, Pair]:
    """Before and after, in height and in width. `same` puts the odd one behind."""
    if padding == "same":
        height, width = ((r // 2, r - r // 2) for r in reach)
        return height, width
    top, left = (0, 0) if padding == "valid" else _pair(padding)
    return (top, top), (left, left)


STEPS: dict[str, Callable[[Step, Tensor], Tensor]] = {
    CONVOLUTION: _convolution,
    RELU: _rectify,
    MAX_POOL: _unpool,
    FULL: _full,
    "local_response_norm": _local_response_norm,
    "batch_norm": _batch_norm,
    "adaptive_avg_pool2d": _adaptive_average,
    "dropout": _unchanged,
    "flatten": _unchanged,
    "view": _unchanged,
    "reshape": _unchanged,
    "sub": _subtract,
    "div": _divide,
}
