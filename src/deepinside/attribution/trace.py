"""The calls that lead from pictures to scores, in order, with the activity that each of them met."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepinside.attribution.activations import BOUNDS, read_rectifier, running_module

CONVOLUTION, RELU, MAX_POOL, FULL = "convolution", "ReLU", "max-pool", "full layer"
KINDS = {"conv2d": CONVOLUTION, "max_pool2d": MAX_POOL, "linear": FULL}


@dataclass
class Step:
    """One call: `function` (torch's name) of the module `layer`, with kind its part in section 4, else the function.

    inputs: the tensors among its arguments that depend on the pictures; activity: X_n, the first of them as it was
    before the call; output: X_{n+1}, the first where there are several; arrived: R_{n+1}, once gradients have passed
    back through the step.
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
        self.images, self.known, self.steps = images, {id(images): images}, list[Step]()
        self.lost: list[tuple[nn.Module | None, str]] = []  # layers whose input came from none of the steps

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = _tensors([*args, *kwargs.values()])
        inputs = [t for t in given if id(t) in self.known]
        name = getattr(func, "__name__", "").strip("_")
        on_picture = name in BOUNDS and any(t is self.images for t in inputs)  # only bounds it: no activation
        rectifier = None if on_picture else read_rectifier(name, func, args, kwargs)
        kind = RELU if rectifier else KINDS.get(name, name)
        if not inputs:
            if kind != name and any(t.requires_grad for t in given):
                self.lost.append((running_module(), name))
            return func(*args, **kwargs)
        keep = kind != name or name == "local_response_norm"  # a later layer may change its input in place
        activity = inputs[0].detach().clone() if keep else inputs[0].detach()
        output = func(*args, **kwargs)
        several = output if isinstance(output, tuple | list) else [output]
        outputs = [t for t in _tensors(several) if t.is_floating_point()] if name != "detach" else []
        if outputs:
            step = Step(running_module(), name, kind, func, tuple(args), kwargs, inputs, activity, outputs[0])
            step.high = rectifier[0] if rectifier else None
            self.steps.append(step)
            for one in outputs:
                self.known[id(one)] = one
                if one.requires_grad:
                    one.register_hook(lambda grad: setattr(step, "arrived", grad.detach()))
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
    return torch.zeros_like(scores).scatter_(1, classes[:, None].to(scores.device), 1.0)
