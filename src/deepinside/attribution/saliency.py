"""Image-specific class saliency maps (paper, section 3.1)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.attribution.context import gradients_on
from deepinside.attribution.gradient import Pass
from deepinside.attribution.inputs import check_pictures, check_shapes
from deepinside.attribution.methods import METHODS, with_baseline
from deepinside.attribution.relu_rules import RULES
from deepinside.attribution.resize import pull_back, resize
from deepinside.attribution.route import STRATEGIES, Route, class_gradients, in_chunks
from deepinside.attribution.scores import Score, find_score
from deepinside.errors import did_you_mean

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda w: w.abs().amax(-3),
    "l1": lambda w: w.abs().sum(-3),
    "l2": lambda w: w.square().sum(-3).sqrt(),
    "sum": lambda w: w.sum(-3),
    "none": lambda w: w,
}


def saliency(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    method: str = "gradient",
    *,
    score: str | Score = "score",
    reduction: str = "max",
    autocast: torch.dtype | None = None,
    strategy: str = "auto",
    memory: int | None = None,
    **options: Any,
) -> Tensor:
    """M_ij = max_ch |w_ch,ij|, w = dS_c/dI: how much the class score changes when a pixel does (paper, section 3.1).

    model: images -> class scores (N, C) before the soft-max, any nn.Module in which, in eval mode, no picture sees
    another. It is used bare (uncompiled, no DDP wrapper), in eval mode, and left as it was.
    images: (N, C, H, W), floating point, as the model takes them. classes: (N, K) or (N,) class indices, int64.
    method: what w is. `gradient`; `deconvnet`, `guided`: back-prop with another ReLU rule (section 4, `ReluRule`);
      `gradient_x_input` (option baseline=0.0); `smoothgrad` (samples=25, noise=0.15, seed=0); `integrated_gradients`
      (steps=32, baseline=0.0). `methods.METHODS` holds their equations.
    score: what is differentiated: `score` (S_c, the paper's), `softmax` (P_c), `log_softmax`, or a callable
      (N, classes), (N,) -> (N,).
    reduction: over the channels. `max` max|w| (paper), `l1` sum|w|, `l2` sqrt(sum w^2), `sum` (signed), `none`: w.
    autocast: torch.bfloat16 or torch.float16 for the passes through the net.
    strategy: `auto` (on a CPU, large jobs learn the fastest on their first pictures, and the process remembers it; on a
      GPU `loop`), or `loop`, `batched`, `repeated`: equal up to rounding; name one for the same bits in every call.
    memory: bytes that the kept activity may take; None: half of what is free.
    Returns (N, K, H, W), or (N, H, W) for classes (N,), with channels (..., C, H, W) for `none`; in scores per unit of
    the input (gradient_x_input and integrated_gradients: in scores).
    One forward pass, K backward passes towards the picture, none towards the weights (methods that average: as many
    times). Raises ValueError for shapes, indices or names that do not fit and for scores without a gradient, UserError
    where a ReLU rule has no meaning.
    """
    request = make_request(method, score, reduction, autocast, strategy, memory, options)
    check_shapes(images, classes, several=True)
    columns = classes.to(images.device).view(len(classes), *classes.shape[1:] or (1,))
    with gradients_on(model) as bare:
        check_pictures(bare, images)
        maps = attribute(bare, images, columns, request, REDUCTIONS[reduction])
    return maps[:, 0] if classes.ndim == 1 else maps


@dataclass(frozen=True)
class Request:
    """What a call of `saliency` or `crop_saliency` asks for, its names checked."""

    what: Pass
    method: str
    strategy: str
    memory: int | None
    options: dict[str, Any]


def make_request(
    method: str,
    score: str | Score,
    reduction: str,
    autocast: torch.dtype | None,
    strategy: str,
    memory: int | None,
    options: dict[str, Any],
) -> Request:
    """Raises ValueError for unknown names, another precision, and options that are not the method's."""
    _check_name("method", method, METHODS)
    _check_name("reduction", reduction, REDUCTIONS)
    _check_name("strategy", strategy, ("auto", *STRATEGIES))
    if autocast not in (None, torch.bfloat16, torch.float16):
        raise ValueError(f"autocast must be torch.bfloat16, torch.float16 or None, not {autocast!r}")
    known = [name for name, kind in signature(METHODS[method]).parameters.items() if kind.kind == kind.KEYWORD_ONLY]
    if unknown := [name for name in options if name not in known]:
        what = f"its options are {', '.join(known)}" if known else "it has no options"
        raise ValueError(f"method '{method}' does not take {', '.join(unknown)}; {what}")
    rule = method if method in RULES else "gradient"
    return Request(Pass(rule, find_score(score), autocast), method, strategy, memory, options)


def attribute(
    bare: nn.Module,
    images: Tensor,
    classes: Tensor,
    request: Request,
    reduce: Callable[[Tensor], Tensor],
    size: int | None = None,
) -> Tensor:
    """`saliency` within `gradients_on`, for classes (N, K) on the pictures' device, chunk by chunk.

    size: the model sees the pictures resized to it, and the gradients are those with respect to their own pixels.
    """
    if not classes.numel():
        return reduce(images[:, None].expand(-1, classes.shape[1], -1, -1, -1))
    side, options = size or images.shape[-1], with_baseline(request.options, images)

    def work(part: slice, route: Route) -> Tensor:
        def of(pictures: Tensor) -> Tensor:
            seen = pictures if size is None else resize(pictures, side)
            signed = class_gradients(bare, seen, classes[part], request.what, route.strategy)
            return signed if size is None else pull_back(signed, images.shape[-1])

        own = {name: value[part] if name == "baseline" else value for name, value in options.items()}
        return reduce(METHODS[request.method](of, images[part].detach(), **own))

    return in_chunks(bare, images, classes.shape[1], request.what, request.strategy, request.memory, work)


def _check_name(kind: str, name: str, valid: Iterable[str]) -> None:
    if name not in valid:
        raise ValueError(f"{kind} '{name}' is unknown; it is one of {', '.join(valid)}{did_you_mean(name, valid)}")
