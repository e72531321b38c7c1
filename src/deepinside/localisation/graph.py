"""The graphs that are cut: nodes, and edges whose weights hold in both directions; pixels and their neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Nodes = NDArray[np.int64]
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


def pixel_graph(shape: tuple[int, int], pairwise: Pairwise) -> Graph:
    """The pixels in reading order as nodes, W as edges. ValueError for a negative weight."""
    check_weights(pairwise)
    nodes = np.arange(shape[0] * shape[1]).reshape(shape)
    edges: list[tuple[NDArray[np.generic], ...]] = [(nodes[:0].ravel(), nodes[:0].ravel(), np.zeros(0))]
    for (dy, dx), weights in pairwise.items():
        here, there = both_ends(*shape, dy, dx)
        edges.append((nodes[here].ravel(), nodes[there].ravel(), weights[here].ravel()))
    first, second, both = (np.concatenate(part) for part in zip(*edges, strict=True))
    return Graph(nodes.size, first, second, both)


def check_weights(pairwise: Pairwise) -> None:
    """ValueError for a negative weight, or one that is no number."""
    if not all((weights >= 0).all() for weights in pairwise.values()):
        raise ValueError("the weights between neighbours must be >= 0")


def both_ends(height: int, width: int, dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the first pixels of all pairs (p, p + (dy, dx)) lie, and where the second ones; dy >= 0."""
    here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
    there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
    return here, there
