"""The maximum flow through a pixel grid, and its least cut, compiled by numba (the only importer).

Boykov & Kolmogorov, "An experimental comparison of min-cut/max-flow algorithms for energy minimization in vision", IEEE
TPAMI 26(9), 2004: two trees grow from the terminals; where they meet, flow is pushed through; arcs that it fills up are
lost to their tree, and the pixels behind them look for another parent.

Pixels v are numbers in a flat picture with a rim of one pixel, so each has D = 4 or 8 neighbours v + steps[d], and the
way back is d ^ 1. All indices are unsigned: numba counts signed ones from the end where they are negative, and asking
takes a fifth more time.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, cast

import numba
import numpy as np
from numpy.typing import NDArray

TERMINAL = 8  # no direction to a parent, but the end of the way
_ORPHAN, _NONE = 9, 10
_FREE, _SOURCE, SINK = 0, 1, 2
_FAR = 1 << 30
index = np.uint64


class Network(NamedTuple):
    """What flow there may still be."""

    capacity: NDArray[np.signedinteger[Any]]  # (n, D): from v to v + steps[d]
    excess: NDArray[np.int64]  # (n,): what the source still gives or, below 0, the sink still takes
    steps: NDArray[np.uint64]  # (D,), modulo 2^64


class Trees(NamedTuple):
    """The two trees, and who waits for what."""

    tree: NDArray[np.uint8]  # (n,): free, or of which terminal
    parent: NDArray[np.uint8]  # (n,): the direction of the next pixel on the way to the terminal, or one of the above
    distance: NDArray[np.int32]  # (n,): pixels on that way ...
    stamp: NDArray[np.int32]  # (n,): ... when this path was pushed through
    waits: NDArray[np.uint8]  # (n,): whether it is in the queue
    queue: NDArray[np.uint32]  # (n + 1,), a ring: the pixels that may still take neighbours into their tree
    orphans: NDArray[np.uint32]  # (n,): the pixels that look for another parent


def empty_trees(count: int) -> Trees:
    """For a picture of so many pixels."""
    small, large = np.zeros((3, count), np.uint8), np.zeros((2, count), np.int32)
    queue, orphans = np.zeros(count + 1, np.uint32), np.zeros(count, np.uint32)
    return Trees(small[0], small[1], large[0], large[1], small[2], queue, orphans)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """At its first call; kept beside its file or in the user's cache, where that can be written and read."""
    try:
        kept = numba.njit(function, cache=True)
    except RuntimeError:  # nowhere to keep it
        return cast(Callable[..., Any], numba.njit(function))
    usable = kept

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal usable
        try:
            return usable(*arguments)
        except Exception:  # a full disk, a damaged file: whatever it is, it comes before the function has begun
            if usable is not kept:
                raise
            usable = numba.njit(function)
            return usable(*arguments)

    return call


part = numba.njit  # of what is compiled


@part
def _plant(network: Network, trees: Trees) -> Any:
    """Pixels with excess are the first of the two trees. -> the end of the queue"""
    tail = 0
    for k in range(len(network.excess)):
        v = index(k)
        excess = network.excess[v]
        trees.tree[v] = _SOURCE if excess > 0 else SINK if excess < 0 else _FREE
        trees.parent[v] = TERMINAL if excess != 0 else _NONE
        trees.distance[v], trees.stamp[v], trees.waits[v] = 1, 0, excess != 0
        if excess != 0:
            trees.queue[index(tail)] = v
            tail += 1
    return tail


@part
def _wait(trees: Trees, v: Any, tail: Any) -> Any:
    trees.waits[v] = 1
    trees.queue[index(tail)] = v
    return tail + 1 if tail + 1 < len(trees.queue) else 0


@part
def _grow(network: Network, trees: Trees, v: Any, tail: Any) -> Any:
    """A pixel takes its free neighbours into its tree. -> the direction in which it meets the other tree, or _NONE; the
    end of the queue"""
    own = trees.tree[v]
    if own == _FREE:
        return index(_NONE), tail
    for way in range(len(network.steps)):
        d = index(way)
        w, back = v + network.steps[d], d ^ index(1)
        other = trees.tree[w]
        if other == own or (network.capacity[v, d] if own == _SOURCE else network.capacity[w, back]) == 0:
            continue
        if other != _FREE:
            return d, tail
        trees.tree[w], trees.parent[w] = own, back
        trees.distance[w], trees.stamp[w] = trees.distance[v] + 1, trees.stamp[v]
        if not trees.waits[w]:
            tail = _wait(trees, w, tail)
    return index(_NONE), tail


@part
def _narrowest(network: Network, trees: Trees, v: Any, flow: Any) -> Any:
    """How much of a flow fits between a pixel and its terminal."""
    of_source = trees.tree[v] == _SOURCE
    while trees.parent[v] != TERMINAL:
        d = index(trees.parent[v])
        above = v + network.steps[d]
        flow = min(flow, network.capacity[above, d ^ index(1)] if of_source else network.capacity[v, d])
        v = above
    return min(flow, abs(network.excess[v]))


@part
def _push(network: Network, trees: Trees, v: Any, flow: Any, lost: Any) -> Any:
    """Push a flow through between a pixel and its terminal. -> how many orphans there are, with those it makes"""
    capacity, parent, orphans = network.capacity, trees.parent, trees.orphans
    of_source = trees.tree[v] == _SOURCE
    while parent[v] != TERMINAL:
        d = index(parent[v])
        above, back = v + network.steps[d], d ^ index(1)
        capacity[v, d] += flow if of_source else -flow
        capacity[above, back] -= flow if of_source else -flow
        if (capacity[above, back] if of_source else capacity[v, d]) == 0:
            parent[v], orphans[index(lost)] = _ORPHAN, v
            lost += 1
        v = above
    network.excess[v] -= flow if of_source else -flow
    if network.excess[v] == 0:
        parent[v], orphans[index(lost)] = _ORPHAN, v
        lost += 1
    return lost


@part
def _augment(network: Network, trees: Trees, v: Any, d: Any) -> Any:
    """Push what fits from the source through v -> v + steps[d] to the sink. -> how many orphans that makes"""
    w, back = v + network.steps[d], d ^ index(1)
    flow = _narrowest(network, trees, w, _narrowest(network, trees, v, network.capacity[v, d]))
    network.capacity[v, d] -= flow
    network.capacity[w, back] += flow
    lost = _push(network, trees, w, flow, _push(network, trees, v, flow, 0))
    trees.orphans[:lost] = trees.orphans[:lost][::-1].copy()  # those near the terminals first
    return lost


@part
def _distance(trees: Trees, steps: Any, v: Any, path: Any) -> Any:
    """How many pixels lie on the way from one to its terminal, itself included, _FAR where it ends at an orphan. They
    are stamped, so that this path's other orphans need not go there again."""
    at, passed = v, 0
    while trees.stamp[at] != path:
        if trees.parent[at] == TERMINAL:
            trees.distance[at], trees.stamp[at] = 1, path
        elif trees.parent[at] == _ORPHAN:
            return _FAR
        else:
            at += steps[index(trees.parent[at])]
            passed += 1
    whole = left = passed + trees.distance[at]
    at = v
    while trees.stamp[at] != path:
        trees.distance[at], trees.stamp[at] = left, path
        left -= 1
        at += steps[index(trees.parent[at])]
    return whole


@part
def _nearest(network: Network, trees: Trees, v: Any, path: Any) -> Any:
    """The direction of a pixel's neighbour in its tree that is nearest to the terminal, or _NONE; its distance"""
    own, nearest, best = trees.tree[v], _FAR, index(_NONE)
    for way in range(len(network.steps)):
        d = index(way)
        w, back = v + network.steps[d], d ^ index(1)
        if trees.tree[w] == own and (network.capacity[w, back] if own == _SOURCE else network.capacity[v, d]) > 0:
            distance = _distance(trees, network.steps, w, path)
            if distance < nearest:
                nearest, best = distance, d
    return best, nearest


@part
def _adopt(network: Network, trees: Trees, lost: Any, path: Any, tail: Any) -> Any:
    """Find the orphans new parents; one for whom there is none is free, its children are orphans, and its neighbours
    may take it again later. No pixel is orphaned twice, as an adopted one's way to the terminal holds no orphan.
    -> the end of the queue"""
    tree, parent, orphans = trees.tree, trees.parent, trees.orphans
    first = 0
    while first < lost:
        v = index(orphans[index(first)])
        first += 1
        best, nearest = _nearest(network, trees, v, path)
        if nearest < _FAR:
            parent[v], trees.distance[v], trees.stamp[v] = best, nearest + 1, path
            continue
        own = tree[v]
        for way in range(len(network.steps)):
            d = index(way)
            w, back = v + network.steps[d], d ^ index(1)
            if tree[w] != own:
                continue
            if not trees.waits[w] and (network.capacity[w, back] if own == _SOURCE else network.capacity[v, d]) > 0:
                tail = _wait(trees, w, tail)
            if parent[w] == back:
                parent[w], orphans[index(lost)] = _ORPHAN, w
                lost += 1
        tree[v], parent[v] = _FREE, _NONE
    return tail


@compiled
def max_flow(network: Network, trees: Trees) -> None:
    """Push through what can be. Then the sink's tree holds all pixels from which the sink can still be reached, the
    smallest of the cuts of least capacity, whatever the flow was before."""
    head, tail, paths = 0, _plant(network, trees), 0
    while head != tail:
        v = index(trees.queue[index(head)])
        d, tail = _grow(network, trees, v, tail)
        if d == index(_NONE):
            trees.waits[v] = 0
            head = head + 1 if head + 1 < len(trees.queue) else 0
            continue
        paths += 1
        if trees.tree[v] == SINK:
            v, d = v + network.steps[d], d ^ index(1)
        tail = _adopt(network, trees, _augment(network, trees, v, d), paths, tail)
