"""Exact minimisation of a two-label energy on the pixel grid by a maximum flow (the only importer of maxflow).

E(m) = sum_p [ m_p F_p + (1 - m_p) B_p ] + sum_{pq} W_pq [m_p != m_q],   m_p = 1 for foreground.
Boykov & Jolly, "Interactive graph cuts for optimal boundary & region segmentation of objects", ICCV 2001.
"""

import math

import maxflow
import numpy as np

from deepinside.localisation.graph import OFFSETS, Array, Graph, Mask, Pairwise, both_ends, pixel_graph


def contrast_weights(image: Array, strength: float, beta_factor: float, neighbours: int) -> Pairwise:
    """W_pq = strength / |p - q| exp(-beta ||I_p - I_q||^2), beta = 1 / (beta_factor mean ||I_p - I_q||^2).

    image (H, W, channels) in any unit, as beta takes it out; neighbours 4 or 8; the mean is over all pairs. In a
    picture of one colour every weight is strength / |p - q|. Boykov & Jolly 2001, with GrabCut's rule for beta.
    """
    height, width = image.shape[:2]
    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    steps: Pairwise = {}
    inside = {}
    for dy, dx in OFFSETS[neighbours]:
        here, there = both_ends(height, width, dy, dx)
        steps[dy, dx] = np.square(planes[(..., *there)] - planes[(..., *here)]).sum(axis=0)
        inside[dy, dx] = here
    mean = sum(step.sum() for step in steps.values()) / max(1, sum(step.size for step in steps.values()))
    beta = 1 / (beta_factor * mean) if mean > 0 else 0.0
    weights: Pairwise = {}
    for offset, step in steps.items():
        weights[offset] = np.zeros((height, width))
        weights[offset][inside[offset]] = strength / math.hypot(*offset) * np.exp(-beta * step)
    return weights


class Cuts:
    """Exact cuts of one graph: what each of them pushed through the edges is where the next one starts.

    A flow from earlier costs is a reparametrisation of the energy, so answers are those of a fresh graph; for the
    classes of one picture a cut then takes a third less time (Kohli & Torr, "Efficiently solving dynamic Markov random
    fields using graph cuts", ICCV 2005).
    """

    def __init__(self, graph: Graph) -> None:
        self._nodes = np.arange(graph.count)
        self._graph = maxflow.GraphFloat(graph.count, len(graph.first))
        self._graph.add_nodes(graph.count)
        # The last edges first: a search looks at them in that order, and in a grid's own takes 5 to 20% longer.
        first, second, weights = (ends[::-1] for ends in (graph.first, graph.second, graph.weights))
        self._graph.add_edges(first, second, weights, weights)
        self._costs = self._zeros = np.zeros(graph.count)

    def cut(self, costs: Array) -> tuple[Mask, float]:
        """costs F - B (count,), finite -> the foreground (count,) and sum_p m_p (F_p - B_p) + sum_pq W_pq [m_p != m_q].

        See `min_cut`; ValueError for costs that are not finite.
        """
        if not np.isfinite(costs).all():
            raise ValueError("the costs of a label must be finite")
        # The sink stands for foreground: pixels that no saturated edge ties to it then count as background.
        self._graph.add_grid_tedges(self._nodes, costs - self._costs, self._zeros)
        self._costs = costs.copy()
        energy = self._graph.maxflow()
        return self._graph.get_grid_segments(self._nodes), energy


def min_cut(foreground: Array, background: Array, pairwise: Pairwise) -> tuple[Mask, float]:
    """The labelling of least energy: F (H, W), B (H, W), W >= 0 -> bool mask (H, W) and its energy.

    The capacities are float64, so energies that are whole numbers are added without rounding. Where several labellings
    reach the minimum, the answer is the one with the smallest foreground, which is unique: it depends neither on the
    solver nor on the order of its steps. F and B may be negative but not infinite: give a hard seed a cost above the
    pixel's other terms (see `seed_cost`). ValueError for a non-finite cost or a negative weight.
    """
    graph = pixel_graph((foreground.shape[0], foreground.shape[1]), pairwise)
    mask, energy = Cuts(graph).cut((foreground - background).ravel())
    return mask.reshape(foreground.shape), energy + float(background.sum())


def seed_cost(pairwise: Pairwise, data: float) -> float:
    """A finite cost that no hard seed ever pays: more than all other terms of one pixel, of which `data` is the largest
    data term. Giving any set of wrong seeds their own label then lowers the energy, whatever their number."""
    return 1 + data + 2 * sum(float(weights.max()) for weights in pairwise.values())
