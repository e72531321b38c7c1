"""Which non-linearities lie between a picture and its scores: seen from outside, without hooks or a changed net.

A `TorchFunctionMode` sees every non-linearity that Python code calls, be it a module, a function or a method, in place
or used many times.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepinside.attribution.autograd_graph import LINEAR, SOMETIMES, is_picture, node_kind, undefined_nodes

# The ways one writes a rectifier, a clip to [low, high], and their arguments in order
RECTIFIERS: dict[str, dict[str, Any]] = {
    "relu": {"input": None, "inplace": False, "low": 0.0},
    "relu6": {"input": None, "inplace": False, "low": 0.0, "high": 6.0},
    "hardtanh": {"input": None, "low": -1.0, "high": 1.0, "inplace": False},
    "clamp": {"input": None, "low": None, "high": None},
    "clip": {"input": None, "low": None, "high": None},
    "clamp_min": {"input": None, "low": None},
    "threshold": {"input": None, "low": None, "value": None, "inplace": False},
}
RENAMED = {"min": "low", "max": "high", "min_val": "low", "max_val": "high", "threshold": "low"}
SMOOTH = {"gelu", "silu", "hardswish", "mish", "elu", "celu", "selu", "softplus", "tanh", "softsign", "log_sigmoid"}
SMOOTH |= {"leaky_relu", "prelu", "rrelu", "tanhshrink", "softshrink", "hardshrink"}
GATES = {"sigmoid", "hardsigmoid", "softmax", "log_softmax", "glu"}
ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}  # soft-max inside
GATES |= ATTENTION
WHOLE = ATTENTION | {"local_response_norm", "normalize", "cosine_similarity"}  # several operations, taken as one
COMPARISONS = {"gt", "ge", "lt", "le", "greater", "greater_equal", "less", "less_equal", "sign", "sgn", "heaviside"}
BOUNDS = {"clamp", "clip", "clamp_min", "clamp_max"}
# What may be done in place on a part of a tensor
LINEAR_IN_PLACE = {"add", "sub", "mul", "div", "copy", "zero", "fill", "neg", "squeeze", "unsqueeze", "requires_grad"}


@dataclass(frozen=True)
class Activation:
    """One call of a non-linearity in a forward pass.

    layer: the name of the module that was running; function: torch's name, or autograd's; kind: rectifier, smooth (the
    derivative is no 0/1 gate), gate (sigmoids and soft-maxes that scale other activity) or undefined (whatever else is
    not linear: maximum(h, 0), exp, h * (h > 0), scripted activations); open: the share of 1(0 < X < high), for
    rectifiers, where it was asked for.
    """

    layer: str
    function: str
    kind: str
    open: float | None = None


def open_gates(activity: Tensor, high: float = math.inf) -> Tensor:
    """1(0 < X < high): the same before and after the rectifier."""
    return (activity > 0) & (activity < high)


class ActivationMode(TorchFunctionMode):
    """Entered around a forward pass, it notes the non-linearities that depend on a tensor with gradients.

    Subclasses say what a rectifier does (`rectify`) and what is noted of its output (`share`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.met: list[tuple[nn.Module | None, str, str, Tensor | None]] = []
        self.known: dict[Any, list[Any]] = {}  # autograd's nodes of what was noted, and those of its inputs
        self.layers: dict[Any, nn.Module | None] = {}  # of every node that is not linear by itself

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        x = args[0] if args else kwargs.get("input")
        if not isinstance(x, Tensor) or not x.requires_grad:
            return self._place(func(*args, **kwargs))
        if name in RECTIFIERS or name in SMOOTH or name in GATES or name in WHOLE:
            return self._note(name, x, func, args, kwargs)
        if (_hides(func, x) and name not in LINEAR_IN_PLACE) or (
            name in COMPARISONS and x.numel() > 1 and not _is_picture(x)
        ):
            self.met.append((running_module(), name, "undefined", None))
        return self._place(func(*args, **kwargs))

    def _note(self, name: str, x: Tensor, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        inputs = [t.grad_fn for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
        smooth = name in SMOOTH or name == "hardtanh"
        call = None if name in BOUNDS and _is_picture(x) else read_rectifier(name, func, args, kwargs)
        if call is not None:
            out = self.rectify(x, *call)
            self.met.append((running_module(), name, "rectifier", self.share(out, call[0])))
        else:
            hides = _hides(func, x)
            out = func(*args, **kwargs)
            if name in GATES or smooth:
                self.met.append((running_module(), name, "gate" if name in GATES else "smooth", None))
            elif hides:
                self.met.append((running_module(), name, "undefined", None))
        if call is None and not smooth and name not in WHOLE:  # of gates the graph tells what they scale
            return self._place(out)
        for result in out if isinstance(out, tuple) else (out,):
            if isinstance(result, Tensor) and result.grad_fn is not None:
                self.known[result.grad_fn] = inputs
        return out

    def _place(self, out: Any) -> Any:
        node = out.grad_fn if isinstance(out, Tensor) else None
        if node is not None:
            kind = node_kind(node)
            if kind not in LINEAR or kind in SOMETIMES:
                self.layers.setdefault(node, running_module())
        return out

    def rectify(self, x: Tensor, high: float, inplace: bool) -> Tensor:
        """x clipped to [0, high]."""
        return (x.clamp_ if inplace else x.clamp)(0, high)

    def share(self, out: Tensor, high: float) -> Tensor | None:
        """The share of open gates; None: not wanted."""
        return None

    def activations(self, model: nn.Module, scores: Any) -> tuple[Activation, ...]:
        """What was met on the way to `scores`, in order, with the names that `model` gives to its modules; last what
        autograd knows beyond that.
        """
        names = {module: name or type(module).__name__ for name, module in model.named_modules()}
        nodes = undefined_nodes(scores, self.known) if isinstance(scores, Tensor) else []
        beyond = [(self.layers.get(n), node_kind(n).lower(), "undefined", None) for n in reversed(nodes)]
        return tuple(
            Activation(
                names.get(module, type(module).__name__) if module is not None else "outside of modules",
                function,
                kind,
                None if share is None else float(share),
            )
            for module, function, kind, share in (*self.met, *beyond)
        )


def read_rectifier(
    name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[float, bool] | None:
    """The upper bound (inf for ReLU) and whether it works in place, if this call clips from below at 0; else None."""
    if name not in RECTIFIERS:
        return None
    given = dict(zip(RECTIFIERS[name], args, strict=False)) | {RENAMED.get(k, k): v for k, v in kwargs.items()}
    call = RECTIFIERS[name] | given
    low, high = _number(call.get("low"), None), _number(call.get("high"), math.inf)
    if low != 0 or high is None or call.get("value", 0) != 0:
        return None
    return high, bool(call.get("inplace")) or func.__name__.endswith("_")


def _hides(func: Callable[..., Any], x: Tensor) -> bool:
    """Whether it works in place on a part of a tensor: autograd's graph does not show what was done."""
    name = getattr(func, "__name__", "")
    return name.endswith("_") and not name.startswith("_") and x._is_view()


def _is_picture(x: Tensor) -> bool:
    return x.grad_fn is None or is_picture(x.grad_fn)


def _number(bound: Any, absent: float | None) -> float | None:
    """A bound of clamp: a number, or a tensor of one; None: bounds that differ from place to place."""
    if isinstance(bound, Tensor):
        return float(bound) if bound.numel() == 1 else None
    return absent if bound is None else float(bound)


def running_module() -> nn.Module | None:
    """The innermost module whose forward is running: the calling frames know it, so the net needs no hooks."""
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            return owner
        frame = frame.f_back  # type: ignore[assignment]
    return None


def checkpointed() -> bool:
    """Whether a checkpoint is running, which will compute again on the way back what is being computed."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
