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

from deepinside.localisation.graph import Array, Graph, Mask, Nodes, Votes
from deepinside.localisation.graph_cut import Cuts

# Chosen on 300 validation pictures of ILSVRC: less is faster, but more boxes differ from those of the exact cut.
MARGINS = (0.0, 0.15, 0.6)  # that small cost of a pixel, in nats, in each graph, the finest first
REACH = (1, 2)  # how many edges away from the contour labels are open, in each graph but the coarsest


class CoarseToFine:
    """Cuts of one graph; they share its coarser ones and, as in `Cuts`, the coarsest one's flow.

    unit: the cost of one nat. A cost that outweighs all its pixel's edges is a decision (see `seed_cost`): it is kept,
    whatever the pixel was joined with.
    """

    def __init__(self, graph: Graph, unit: float) -> None:
        self._graphs, self._parents = [graph], list[Nodes]()
        margins = np.full(graph.count, unit)
        self._margins = [MARGINS[0] * margins]
        for margin in MARGINS[1:]:
            parents, coarser = join_strongest(self._graphs[-1])
            margins = _added_up(margins, parents, coarser)
            self._graphs.append(coarser)
            self._parents.append(parents)
            self._margins.append(margin * margins)
        self._degrees = graph.degrees()
        self._coarsest = Cuts(self._graphs[-1])

    def cut(self, costs: Array) -> Mask:
        """costs F - B (count,), finite -> the foreground (count,)."""
        decided = np.flatnonzero(np.abs(costs) > self._degrees)
        sums = [np.clip(costs, -self._degrees, self._degrees)]  # a decided pixel may leave its node for that much
        for parents, graph in zip(self._parents, self._graphs[1:], strict=True):
            sums.append(_added_up(sums[-1], parents, graph))
        votes = _votes(self._coarsest, sums[-1], self._margins[-1])
        for level in reversed(range(1, len(self._parents))):
            votes = votes[self._parents[level]]
            self._recut(level, votes, self._graphs[level].open_nodes(votes, REACH[level]), sums[level])
        votes = votes[self._parents[0]]
        votes[decided] = 2 * (costs[decided] < 0)
        free = self._graphs[0].open_nodes(votes, REACH[0])
        free[decided] = False
        self._recut(0, votes, free, sums[0])
        return np.asarray(votes == 2)

    def _recut(self, level: int, votes: Votes, free: Mask, costs: Array) -> None:
        """Replace the votes of the free nodes of one graph; those of all others are 0 or 2, and stay."""
        nodes = np.flatnonzero(free)
        if len(nodes):
            part, rim = self._graphs[level].part(free, votes > 0)
            votes[nodes] = _votes(Cuts(part), costs[nodes] + rim, self._margins[level][nodes])


def join_strongest(graph: Graph) -> tuple[Nodes, Graph]:
    """Join each node with the neighbour to which its edge is strongest: the new node of each (count,), and their graph.

    Between two new nodes the weights add up, so a cut of the new graph has the energy of the same cut of the old one.
    Chance, with a fixed seed, tells equal edges apart: areas of one colour become many nodes.
    """
    strength = graph.weights + 0.5 * np.random.default_rng(0).random(len(graph.weights), dtype=np.float32)
    parents = _sets(_partners(graph, strength))
    short = parents.astype(np.int32)  # as the matrix keeps them
    first, second = short.take(graph.first), short.take(graph.second)  # faster than []
    kept = np.flatnonzero(first != second)
    first, second = first.take(kept), second.take(kept)
    count = int(parents.max()) + 1
    ends = np.minimum(first, second), np.maximum(first, second)
    sums = coo_array((graph.weights.take(kept), ends), shape=(count, count)).tocsr().tocoo()
    return parents, Graph(count, sums.row.astype(np.int64), sums.col.astype(np.int64), sums.data)


def _partners(graph: Graph, strength: Array) -> Nodes:
    """The neighbour to which each node's edge is strongest, (count,); the node itself where it has no edge."""
    best = np.zeros(graph.count)
    np.maximum.at(best, graph.first, strength)
    np.maximum.at(best, graph.second, strength)
    partners = np.arange(graph.count)
    for ends, others in ((graph.first, graph.second), (graph.second, graph.first)):
        strongest = np.flatnonzero(strength == best.take(ends))
        partners[ends[strongest]] = others[strongest]
    return partners


def _sets(partners: Nodes) -> Nodes:
    """Number the sets of nodes that partners join, in the order of their first nodes: (count,) -> (count,).

    Edges grow stronger on the way from partner to partner, so it ends at two nodes that are each other's. Only where
    three or more equal edges form a ring it does not: then nodes of a ring may get several numbers.
    """
    nodes = np.arange(len(partners))
    last = np.where(partners.take(partners) == nodes, np.minimum(partners, nodes), partners)
    for _ in range(len(nodes).bit_length()):  # the steps of all ways at once, each time twice as many
        further = last.take(last)
        if (further == last).all():
            break
        last = further
    firsts = np.empty_like(nodes)
    firsts[last[::-1]] = nodes[::-1]  # of the nodes that share a last one the first is written last
    firsts = firsts.take(last)
    return np.asarray((np.cumsum(firsts == nodes) - 1).take(firsts))


def _votes(cuts: Cuts, costs: Array, margins: Array) -> Votes:
    if not margins.any():
        return 2 * cuts.cut(costs)[0].view(np.uint8)
    return cuts.cut(costs + margins)[0].view(np.uint8) + cuts.cut(costs - margins)[0]


def _added_up(values: Array, parents: Nodes, coarser: Graph) -> Array:
    return np.bincount(parents, values, coarser.count).astype(np.float64)
