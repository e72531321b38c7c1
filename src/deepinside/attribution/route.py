"""How many gradients are computed at a time, and in which way: chosen by measurement, kept for the process."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from deepinside.attribution.gradient import ScoreGraph
from deepinside.attribution.scores import Score, class_score

STRATEGIES = ("loop", "batched", "repeated")
WORTH_MEASURING = 4  # pictures: with fewer, measuring would take much longer than the work
PROBE = 4
QUICK = 0.02  # seconds
CPU_MEMORY = 4 << 30  # larger chunks gain nothing on a CPU


@dataclass(frozen=True)
class Pass:
    """What is differentiated: the ReLU rule on the way back, the score, the forward pass's lower precision."""

    rule: str = "gradient"
    score: Score = class_score
    autocast: torch.dtype | None = None

    def forward(self, bare: nn.Module, images: Tensor, channels_last: bool = False) -> ScoreGraph:
        return ScoreGraph(bare, images, rule=self.rule, autocast=self.autocast, channels_last=channels_last)


@dataclass(frozen=True)
class Route:
    """strategy: `loop` (one forward pass, K backward passes), `batched` (the K backward passes vectorised) or
    `repeated` (every picture K times in one batch, one backward pass); the pictures' layout; pictures at a time."""

    strategy: str
    channels_last: bool
    chunk: int


def class_gradients(bare: nn.Module, images: Tensor, classes: Tensor, what: Pass, route: Route) -> Tensor:
    """Signed gradients (N, K, C, H, W) of the classes (N, K), within `context.gradients_on`."""
    if route.strategy == "repeated":
        each = classes.shape[1]
        graph = what.forward(bare, images.repeat_interleave(each, 0), route.channels_last)
        return graph.gradients(classes.reshape(-1, 1), what.score).view(len(images), each, *images.shape[1:])
    graph = what.forward(bare, images, route.channels_last)
    return graph.gradients(classes, what.score, batched=route.strategy == "batched")


_known: WeakKeyDictionary[nn.Module, dict[Any, Route]] = WeakKeyDictionary()
_layouts: WeakKeyDictionary[nn.Module, dict[Any, bool]] = WeakKeyDictionary()


def find_route(
    bare: nn.Module, images: Tensor, classes: int, what: Pass, strategy: str = "auto", memory: int | None = None
) -> Route:
    """The fastest route for this net, picture size, number of classes and device, within `memory` bytes.

    Few pictures take the usual winner. From `WORTH_MEASURING` pictures on, the routes are timed once on a few of them,
    and the process remembers the answer. Another `strategy` than `auto` is taken without a measurement: the
    same call then gives the same bits in every process.
    """
    asked = (tuple(images.shape[1:]), images.dtype, images.device, classes, what.rule, what.autocast, strategy, memory)
    routes = _known.setdefault(bare, {})
    usual = Route("loop" if strategy == "auto" else strategy, channels_last_works(bare, images), len(images))
    if asked not in routes and len(images) < WORTH_MEASURING:
        return usual
    if asked not in routes:
        fastest = _fastest(bare, images[:PROBE], classes, what, usual, strategy)
        chunk = _fitting(bare, images, classes, what, fastest, memory)
        # Vectorised passes lose with large batches what they win with small ones: they stay at what was measured.
        small = strategy == "auto" and fastest.strategy != "loop"
        routes[asked] = replace(fastest, chunk=min(chunk, PROBE) if small else chunk)
    return routes[asked]


def in_chunks(count: int, route: Route, work: Callable[[slice, Route], Tensor]) -> Tensor:
    """work(slice, route) over `count` pictures; out of memory, a chunk is halved and the work goes on."""
    parts, start, chunk = [], 0, min(route.chunk, count)
    while start < count:
        part = _unless_out_of_memory(work, slice(start, start + chunk), replace(route, chunk=chunk))
        if part is None:
            chunk = max(1, chunk // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        else:
            parts.append(part)
            start += chunk
    return torch.cat(parts)


def _unless_out_of_memory(work: Callable[[slice, Route], Tensor], part: slice, route: Route) -> Tensor | None:
    """Its own function, so that nothing of the failed attempt is held when the next one starts."""
    try:
        return work(part, route)
    except RuntimeError as error:
        if not is_out_of_memory(error) or route.chunk == 1:
            raise
        return None


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _fastest(bare: nn.Module, images: Tensor, classes: int, what: Pass, usual: Route, strategy: str) -> Route:
    """The layout where it is open, then the strategy in that layout; a change must win by more than the noise."""
    changes: list[dict[str, Any]] = []
    if images.device.type != "cpu":
        changes.append({"channels_last": True})
    if classes > 1:
        changes += [{"strategy": "batched"}, {"strategy": "repeated"}]
    if strategy != "auto" or not changes:
        return usual
    best, least = usual, _seconds(usual, bare, images, classes, what)
    if least > QUICK:  # what takes longer is not held up by the number of calls
        changes = [change for change in changes if change.get("strategy") != "repeated"]
    for change in changes:
        route = replace(best, **change)
        seconds = _seconds(route, bare, images, classes, what)
        if seconds < 0.9 * least:
            best, least = route, seconds
    return best


def _seconds(route: Route, bare: nn.Module, images: Tensor, classes: int, what: Pass) -> float:
    """Of the second run, the first sets kernels up, unless that took long; infinite where the route cannot be taken."""
    any_class = torch.zeros(len(images), min(classes, 3), dtype=torch.int64, device=images.device)
    seconds = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        try:
            class_gradients(bare, images, any_class, what, route)
        except RuntimeError:  # an operation without a rule for vectorising, no memory: the usual route says so itself
            return float("inf")
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        seconds = time.perf_counter() - start
        if seconds > 1:
            break
    return seconds


def channels_last_works(bare: nn.Module, images: Tensor) -> bool:
    """Whether to lay pictures out so: faster on a CPU, unless the net takes a view that it does not allow."""
    if images.device.type != "cpu" or images.shape[1] == 1:
        return False
    size, known = tuple(images.shape[1:]), _layouts.setdefault(bare, {})
    if size not in known:
        try:
            with torch.no_grad():
                bare(images[:1].contiguous(memory_format=torch.channels_last))
            known[size] = True
        except RuntimeError as error:
            known[size] = "view" not in str(error)
    return known[size]


def _fitting(bare: nn.Module, images: Tensor, classes: int, what: Pass, route: Route, memory: int | None) -> int:
    """Pictures whose kept activity fits into the budget: half of what is free, on a CPU at most `CPU_MEMORY`."""
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in (*bare.parameters(), *bare.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = what.forward(bare, images[:1], route.channels_last)
    activity, largest = sum(kept.values()), max(kept.values(), default=0)
    del graph
    passing = 3 * largest * (1 if route.strategy == "loop" else classes)  # gradients on their way down
    held = activity * (classes if route.strategy == "repeated" else 1) + passing + images[0].nbytes * (classes + 1)
    budget = memory if memory is not None else _free_memory(images.device) // 2
    return max(1, int(budget // max(held, 1)))


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system tells
        free = CPU_MEMORY
    return min(free, 2 * CPU_MEMORY)
