"""How many pictures' gradients fit into the memory at a time, and what is done where they did not."""

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from deepinside.attribution.gradient import Pass

FEW = 8  # pictures; fewer are not worth the pass that tells what one keeps
CPU_MEMORY = 4 << 30  # larger chunks gain nothing on a CPU
T = TypeVar("T")

_held: WeakKeyDictionary[nn.Module, dict[Any, tuple[int, int]]] = WeakKeyDictionary()


def unless_out_of_memory(work: Callable[[], T], may_fail: bool = True) -> T | None:
    """None where the memory did not do. Its own function: nothing of the failed attempt is held when it returns."""
    try:
        return work()
    except RuntimeError as error:
        if not may_fail or not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: Exception) -> bool:
    """A GPU's has a type of its own; that of its libraries, of a CPU and of Apple's GPUs only a message."""
    words = "can't allocate memory", "out of memory", "ALLOC_FAILED"
    return isinstance(error, torch.OutOfMemoryError) or any(one in str(error) for one in words)


def fitting(bare: nn.Module, images: Tensor, classes: int, what: Pass, strategy: str, memory: int | None) -> int:
    """Pictures whose kept activity fits into the budget: half of what is free, on a CPU at most `CPU_MEMORY`.

    Few pictures are not worth the pass that tells, unless a budget is given.
    """
    if len(images) < 2 or (memory is None and len(images) < FEW):
        return len(images)
    known, key = _held.setdefault(bare, {}), (tuple(images.shape[1:]), images.dtype, what.rule, what.autocast)
    if key not in known:
        known[key] = _activity(bare, images[:1], what)
    activity, largest = known[key]
    passing = 3 * largest * (1 if strategy == "loop" else classes)  # gradients on their way down
    held = activity * (classes if strategy == "repeated" else 1) + passing + images[0].nbytes * (classes + 1)
    budget = memory if memory is not None else _free_memory(images.device) // 2
    return max(1, int(budget // max(held, 1)))


def _activity(bare: nn.Module, image: Tensor, what: Pass) -> tuple[int, int]:
    """Bytes that one picture's graph keeps beside the weights: all, and the largest of them."""
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in (*bare.parameters(), *bare.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = what.forward(bare, image)
        sizes = list(kept.values())
        del graph
    return sum(sizes), max(sizes, default=0)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system tells
        free = CPU_MEMORY
    return min(free, 2 * CPU_MEMORY)
