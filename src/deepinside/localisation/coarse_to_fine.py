"""Cuts of a large graph in which smoothness dominates, coarse to fine, in half the time.

Their energy is usually within a few per cent of the least one; there is no bound.

Nodes are joined along their strongest edges (`join_strongest`), twice. The coarsest graph is cut whole, each finer one
only where the coarser answer leaves its labels open: near its contour, and where its label is not firm, so that a small
cost for or against the foreground of every pixel changes it. All other nodes keep their labels.

Cutting regions first and then pixels near the contour: Li, Sun, Tang & Shum, "Lazy snapping", SIGGRAPH 2004; Lombaert,
Sun, Grady & Xu, "A multilevel banded graph cuts method for fast image segmentation", ICCV 2005. Their regions and
blocks miss contours that the strongest edges keep.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deepinside.localisation.graph import Array, Graph, Mask, Nodes, Votes
from deepinside.localisation.graph_cut import Cuts

# Chosen on 150 validation pictures of ILSVRC: less is faster, but more boxes differ from those of the exact cut.
MARGINS = (0.0, 0.2, 0.6)  # that small cost of a pixel, in nats, in each graph, the finest first
REACH = (1, 3)  # how many edges away from the contour labels are open, in each graph but the coarsest


class CoarseToFine:
    """Cuts of one graph; they share its coarser ones and, as in `Cuts`, the coarsest one's flow.

    unit: the cost of one nat. A cost that outweighs all its pixel's edges is a decision (see `seed_cost`): it is kept,
    whatever the pixel was joined with.
    """

    def __init__(self, graph: Graph, unit: float) -> None:
        self._graphs, self._parents = [graph], list[Nodes]()
        margins, pairs = np.full(graph.count, unit), np.ones(len(graph.weights))
        self._margins = [MARGINS[0] * margins]
        for margin in MARGINS[1:]:
            parents, coarser, pairs = join_strongest(self._graphs[-1], pairs)
            margins = _added_up(margins, parents, coarser)
            self._graphs.append(coarser)
            self._parents.append(parents)
            self._margins.append(margin * margins)
        self._degrees = graph.degrees()
        self._coarsest = Cuts(self._graphs[-1])

    def cut(self, costs: Array) -> Mask:
        """costs F - B (count,), finite -> the foreground (count,)."""
        decided = np.abs(costs) > self._degrees
        sums = [np.clip(costs, -self._degrees, self._degrees)]  # a decided pixel may leave its node for that much
        for parents, graph in zip(self._parents, self._graphs[1:], strict=True):
            sums.append(_added_up(sums[-1], parents, graph))
        votes = _votes(self._coarsest, sums[-1], self._margins[-1])
        for level in reversed(range(1, len(self._parents))):
            votes = votes[self._parents[level]]
            self._recut(level, votes, self._graphs[level].open_nodes(votes, REACH[level]), sums[level])
        votes = votes[self._parents[0]]
        votes[decided] = np.where(costs[decided] < 0, 2, 0)
        self._recut(0, votes, self._graphs[0].open_nodes(votes, REACH[0]) & ~decided, sums[0])
        return np.asarray(votes == 2)

    def _recut(self, level: int, votes: Votes, free: Mask, costs: Array) -> None:
        """Replace the votes of the free nodes of one graph; those of all others are 0 or 2, and stay."""
        if free.any():
            part, rim = self._graphs[level].part(free, votes > 0)
            votes[free] = _votes(Cuts(part), costs[free] + rim, self._margins[level][free])


def join_strongest(graph: Graph, pairs: Array) -> tuple[Nodes, Graph, Array]:
    """Join each node with the neighbour to which its edge is strongest: the new node of each (count,), and their graph.

    pairs (edges,): how many edges of the first graph each one stands for; its strength is their mean, and the third
    answer are those of the new edges. Between two new nodes the weights add up, so a cut of the new graph has the
    energy of the same cut of the old one. Chance, with a fixed seed, tells equal edges apart: areas of one colour
    become many nodes.
    """
    strength = graph.weights / pairs + 0.5 * np.random.default_rng(0).random(len(pairs), dtype=np.float32)
    best = np.zeros(graph.count)
    np.maximum.at(best, graph.first, strength)
    np.maximum.at(best, graph.second, strength)
    edges = np.flatnonzero((strength == best[graph.first]) | (strength == best[graph.second]))
    joined = _matrix(graph.first[edges], graph.second[edges], strength[edges], graph.count)
    count, labels = connected_components(joined, directed=False)
    parents = labels.astype(np.int64)
    first, second = parents[graph.first], parents[graph.second]
    kept = np.flatnonzero(first != second)
    rows, columns = np.minimum(first, second)[kept], np.maximum(first, second)[kept]
    both = _matrix(rows, columns, graph.weights[kept] + 1j * pairs[kept], count).tocsr().tocoo()  # one sum for the two
    weights, counts = both.data.real.copy(), both.data.imag.copy()
    return parents, Graph(count, both.row.astype(np.int64), both.col.astype(np.int64), weights), counts


def _votes(cuts: Cuts, costs: Array, margins: Array) -> Votes:
    if not margins.any():
        return 2 * cuts.cut(costs)[0].view(np.uint8)
    return cuts.cut(costs + margins)[0].view(np.uint8) + cuts.cut(costs - margins)[0]


def _added_up(values: Array, parents: Nodes, coarser: Graph) -> Array:
    return np.bincount(parents, values, coarser.count).astype(np.float64)


def _matrix(rows: Nodes, columns: Nodes, values: Array, count: int) -> coo_array:
    return coo_array((values, (rows, columns)), shape=(count, count))
