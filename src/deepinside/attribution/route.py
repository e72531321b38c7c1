"""How many gradients are computed at a time, and in which way: learnt from the work itself, kept for the process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from deepinside.attribution.gradient import Pass
from deepinside.attribution.memory import fitting, unless_out_of_memory

STRATEGIES = ("loop", "batched", "repeated")
PROBE = 4  # pictures
QUICK = 0.02  # seconds
T = TypeVar("T")


@dataclass(frozen=True)
class Route:
    """strategy: `loop` (one forward pass, K backward passes), `batched` (the K backward passes vectorised) or
    `repeated` (every picture K times in one batch, one backward pass); chunk: pictures at a time."""

    strategy: str
    chunk: int


Work = Callable[[slice, Route], Tensor]

_fastest: WeakKeyDictionary[nn.Module, dict[Any, str]] = WeakKeyDictionary()
_plain_layout: WeakSet[nn.Module] = WeakSet()


def class_gradients(bare: nn.Module, images: Tensor, classes: Tensor, what: Pass, strategy: str) -> Tensor:
    """Signed gradients (N, K, C, H, W) of the classes (N, K), within `context.gradients_on`."""
    if strategy == "repeated":
        images, each = images.repeat_interleave(classes.shape[1], 0), classes.reshape(-1, 1)
        alone = class_gradients(bare, images, each, what, "loop")
        return alone.view(*classes.shape, *images.shape[1:])

    def gradients(channels_last: bool) -> Tensor:
        graph = what.forward(bare, images, channels_last)
        return graph.gradients(classes, what.score, batched=strategy == "batched")

    return in_best_layout(bare, images, gradients, low_precision=what.autocast is not None)


def in_best_layout(bare: nn.Module, images: Tensor, work: Callable[[bool], T], low_precision: bool = False) -> T:
    """work(channels_last): True is faster on a CPU, and in low precision.

    Where the net takes a view that only the other layout allows, the work is done again in that one, and the net is
    remembered.
    """
    if bare not in _plain_layout and (images.device.type == "cpu" or low_precision):
        try:
            return work(True)
        except RuntimeError as error:
            if "view" not in str(error):
                raise
        _plain_layout.add(bare)
    return work(False)


def in_chunks(
    bare: nn.Module, images: Tensor, classes: int, what: Pass, strategy: str, memory: int | None, work: Work
) -> Tensor:
    """work(slice, route) over the pictures, `classes` each, in chunks that keep to `memory` bytes.

    With strategy `auto`, on a CPU, the first chunks of a large enough job race: each is done another way, and the rest,
    and what comes later of this net, size, rule and number of classes, the fastest way. A GPU is fastest with large
    chunks, and with those in a loop. Out of memory, a chunk is halved and the work goes on.
    """
    usual = Route("loop" if strategy == "auto" else strategy, len(images))
    usual = replace(usual, chunk=fitting(bare, images, classes, what, usual.strategy, memory))
    if strategy != "auto" or classes == 1 or images.device.type != "cpu":
        return torch.cat(_chunks(len(images), usual, work))
    known = _fastest.setdefault(bare, {})
    asked = (tuple(images.shape[1:]), images.dtype, classes, what.rule, what.autocast)
    parts: list[Tensor] = []
    if asked not in known and min(len(images), 4 * usual.chunk) >= 4 * PROBE:
        parts, known[asked] = _race(work)
    # Vectorised passes lose with large batches what they win with small ones: they stay at what was measured.
    fastest, done = known.get(asked, _usual_winner(bare)), sum(map(len, parts))
    if fastest != "loop":
        try:
            return torch.cat(parts + _chunks(len(images), Route(fastest, min(PROBE, usual.chunk)), work, done))
        except RuntimeError:  # an operation without a rule for vectorising
            known[asked] = "loop"
    return torch.cat(parts + _chunks(len(images), usual, work, done))


def _usual_winner(bare: nn.Module) -> str:
    """Of jobs too small for a race. Where full layers on a few convolutions hold most weights, as in AlexNet, reading
    them once for all classes decides; with more convolutions (VGG) these do."""
    full = [module for module in bare.modules() if isinstance(module, nn.Linear)]
    convolutions = sum(isinstance(module, nn.Conv2d) for module in bare.modules())
    weights = sum(parameter.numel() for parameter in bare.parameters())
    heavy = 2 * sum(module.weight.numel() for module in full) > weights
    return "batched" if heavy and len(full) <= convolutions <= 2 * len(full) else "loop"


def _race(work: Work) -> tuple[list[Tensor], str]:
    """The first pictures, done in turn by each strategy, the loop once more to be warm; and the winner."""
    parts: list[Tensor] = []
    seconds: dict[str, float] = {}
    for strategy in ("loop", *STRATEGIES):
        if strategy == "repeated" and seconds["loop"] > QUICK:  # then it is not the number of calls that costs
            continue
        place = slice(PROBE * len(parts), PROBE * (len(parts) + 1))
        start = time.perf_counter()
        try:
            parts.append(work(place, Route(strategy, PROBE)))
        except RuntimeError:  # an operation without a rule for vectorising, no memory
            if strategy == "loop":
                return parts, "loop"
            continue
        seconds[strategy] = time.perf_counter() - start
    best = min(seconds, key=seconds.__getitem__)
    return parts, best if seconds[best] < 0.9 * seconds["loop"] else "loop"


def _chunks(count: int, route: Route, work: Work, start: int = 0) -> list[Tensor]:
    parts, chunk = [], max(1, min(route.chunk, count - start))
    while start < count:
        attempt = partial(work, slice(start, start + chunk), replace(route, chunk=chunk))
        part = unless_out_of_memory(attempt, may_fail=chunk > 1)
        if part is None:
            chunk = max(1, chunk // 2)
        else:
            parts.append(part)
            start += chunk
    return parts
