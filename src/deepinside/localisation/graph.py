"""The graphs that are cut: nodes, and edges whose weights hold in both directions; pixels and their neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Nodes = NDArray[np.int64]
Votes = NDArray[np.uint8]
"""0: background, 2: foreground, 1: open."""
Offset = tuple[int, int]
Pairwise = dict[Offset, Array]
"""{(dy, dx): (H, W)}: entry [y, x] is the weight between the pixels (y, x) and (y + dy, x + dx), both directions. Each
pair is kept once; an entry whose second pixel lies outside the picture is not used."""

OFFSETS: dict[int, tuple[Offset, ...]] = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}


@dataclass(frozen=True)
class Graph:
    """Nodes 0 ... count - 1, and edges (first, second), each kept once, whose weights hold in both directions."""

    count: int
    first: Nodes
    second: Nodes
    weights: Array

    def degrees(self) -> Array:
        """The sum of the weights at each node, (count,)."""
        at_first, at_second = (np.bincount(ends, self.weights, self.count) for ends in (self.first, self.second))
        return np.asarray(at_first + at_second, dtype=np.float64)

    def open_nodes(self, votes: Votes, reach: int) -> Mask:
        """The open nodes, those at most 1 + `reach` edges away from them, and `reach` from the contour: (count,)."""
        free = votes == 1
        values: NDArray[np.generic] = votes
        for _ in range(1 + reach):
            differ = np.flatnonzero(values[self.first] != values[self.second])
            free[self.first[differ]] = free[self.second[differ]] = True
            values = free
        return free

    def part(self, free: Mask, labels: Mask) -> tuple["Graph", Array]:
        """The graph of the free nodes (count,), at least one, and what their edges to the others, which keep their
        labels, add to F - B."""
        first, second = free[self.first], free[self.second]
        inner, rim = np.flatnonzero(first & second), np.flatnonzero(first != second)
        number = np.cumsum(free) - 1
        count = int(number[-1]) + 1
        ends, swap = (self.first[rim], self.second[rim]), second[rim]
        inside, outside = np.where(swap, ends[::-1], ends)
        weights = self.weights[rim]
        added = np.bincount(number[inside], np.where(labels[outside], -weights, weights), count).astype(np.float64)
        return Graph(count, number[self.first[inner]], number[self.second[inner]], self.weights[inner]), added


@dataclass(frozen=True)
class Grid(Graph):
    """The pixels of a picture in reading order, joined with their neighbours: a `Graph` that answers faster.

    shape: (H, W). pairs: for each offset how far apart its pixels are in the flat picture that a rim of one pixel makes
    (H + 2, W + 2), and W in it, 0 where there is no neighbour.
    """

    shape: tuple[int, int]
    pairs: dict[Offset, tuple[int, Array]]

    def open_nodes(self, votes: Votes, reach: int) -> Mask:
        free = (votes == 1).reshape(self.shape)
        values: NDArray[np.generic] = votes.reshape(self.shape)
        for _ in range(1 + reach):
            for dy, dx in self.pairs:
                here, there = both_ends(*self.shape, dy, dx)
                differ = values[here] != values[there]
                free[here] |= differ
                free[there] |= differ
            values = free.copy()
        return free.ravel()

    def part(self, free: Mask, labels: Mask) -> tuple[Graph, Array]:
        is_free, is_foreground = (np.pad(one.reshape(self.shape), 1).ravel() for one in (free, labels))
        nodes = np.flatnonzero(is_free)
        number = np.empty(len(is_free), dtype=np.int64)
        number[nodes] = np.arange(len(nodes))
        added, edges = np.zeros(len(nodes)), list[tuple[Nodes, Nodes, Array]]()
        for step, weights in self.pairs.values():
            for sign in (1, -1):
                ends = nodes + sign * step
                inner, some = is_free[ends], weights[nodes if sign > 0 else ends]
                added += np.where(inner, 0.0, np.where(is_foreground[ends], -some, some))
                if sign > 0:  # each pair once
                    at = np.flatnonzero(inner)
                    edges.append((at, number[ends[at]], some[at]))
        first, second, both = (np.concatenate(part) for part in zip(*edges, strict=True))
        return Graph(len(nodes), first, second, both), added


def pixel_graph(shape: tuple[int, int], pairwise: Pairwise) -> Grid:
    """The pixels in reading order as nodes, W as edges. ValueError for a negative weight."""
    if not all((weights >= 0).all() for weights in pairwise.values()):
        raise ValueError("the weights between neighbours must be >= 0")
    nodes = np.arange(shape[0] * shape[1]).reshape(shape)
    edges: list[tuple[NDArray[np.generic], ...]] = [(nodes[:0].ravel(), nodes[:0].ravel(), np.zeros(0))]
    pairs = {}
    for (dy, dx), weights in pairwise.items():
        here, there = both_ends(*shape, dy, dx)
        edges.append((nodes[here].ravel(), nodes[there].ravel(), weights[here].ravel()))
        wide = np.zeros((shape[0] + 2, shape[1] + 2))
        wide[1:-1, 1:-1][here] = weights[here]
        pairs[dy, dx] = dy * wide.shape[1] + dx, wide.ravel()
    first, second, both = (np.concatenate(part) for part in zip(*edges, strict=True))
    return Grid(nodes.size, first, second, both, shape, pairs)


def both_ends(height: int, width: int, dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the first pixels of all pairs (p, p + (dy, dx)) lie, and where the second ones; dy >= 0."""
    here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
    there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
    return here, there
