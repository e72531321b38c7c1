"""The calls that lead from pictures to scores, in order, with the activity that each of them met."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepinside.attribution.activations import read_rectifier, running_module

CONVOLUTION, RELU, MAX_POOL, FULL = "convolution", "ReLU", "max-pool", "full layer"
KINDS = {"conv2d": CONVOLUTION, "max_pool2d": MAX_POOL, "linear": FULL}


@dataclass
class Step:
    """One call: `function` (torch's name) of the module `layer`, with kind its part in section 4, else the function.

    inputs: the tensors among its arguments that depend on the pictures; activity: X_n, the first of them as it was
    before the call; output: X_{n+1}; arrived: R_{n+1}, once gradients have passed back through the step.
    """

    layer: nn.Module | None
    function: str
    kind: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: list[Tensor]
    activity: Tensor
    output: Tensor
    high: float | None = None
    arrived: Tensor | None = None

    def arguments(self, *names: str) -> dict[str, Any]:
        """The call's arguments by name, as far as they were given."""
        return dict(zip(names, self.args, strict=False)) | self.kwargs


class TraceMode(TorchFunctionMode):
    """Entered around a forward pass of `images`, it keeps every step of it, and what passes back through each.

    Entered inside a ReluRule, the steps' `arrived` follow that rule.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.known, self.steps = {id(images): images}, list[Step]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [t for t in _tensors([*args, *kwargs.values()]) if id(t) in self.known]
        if not inputs:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "").strip("_")
        rectifier = read_rectifier(name, func, args, kwargs)
        kind = RELU if rectifier else KINDS.get(name, name)
        keep = kind != name or name == "local_response_norm"  # a later layer may change its input in place
        activity = inputs[0].detach().clone() if keep else inputs[0].detach()
        output = func(*args, **kwargs)
        if isinstance(output, Tensor) and output.is_floating_point() and name != "detach":
            step = Step(running_module(), name, kind, func, tuple(args), kwargs, inputs, activity, output)
            step.high = rectifier[0] if rectifier else None
            self.known[id(output)] = output
            self.steps.append(step)
            if output.requires_grad:
                output.register_hook(lambda grad: setattr(step, "arrived", grad.detach()))
        return output


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    nested = [v if isinstance(v, list | tuple) else [v] for v in values]
    return [t for part in nested for t in part if isinstance(t, Tensor)]


def layer_name(step: Step, names: dict[nn.Module, str]) -> str:
    """The name of the step's module, or the module's type where it has none."""
    if step.layer is None:
        return "outside of modules"
    return names.get(step.layer) or type(step.layer).__name__


def one_hot(classes: Tensor, scores: Tensor) -> Tensor:
    """dS_c/dS: where every reconstruction starts. (N,) and (N, C) -> (N, C)"""
    return torch.zeros_like(scores).scatter_(1, classes[:, None], 1.0)
