"""Exact minimisation of a two-label energy on the pixel grid by a maximum flow (the only importer of maxflow).

E(m) = sum_p [ m_p F_p + (1 - m_p) B_p ] + sum_{pq} W_pq [m_p != m_q],   m_p = 1 for foreground.
Boykov & Jolly, "Interactive graph cuts for optimal boundary & region segmentation of objects", ICCV 2001.
"""

import math

import maxflow
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Offset = tuple[int, int]
Pairwise = dict[Offset, Array]
"""{(dy, dx): (H, W)}: entry [y, x] is the weight between the pixels (y, x) and (y + dy, x + dx), both directions. Each
pair is kept once; an entry whose second pixel lies outside the picture is not used."""

OFFSETS: dict[int, tuple[Offset, ...]] = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}


def contrast_weights(image: Array, strength: float, beta_factor: float, neighbours: int) -> Pairwise:
    """W_pq = strength / |p - q| exp(-beta ||I_p - I_q||^2), beta = 1 / (beta_factor mean ||I_p - I_q||^2).

    image (H, W, channels) in any unit, as beta takes it out; neighbours 4 or 8; the mean is over all pairs. In a
    picture of one colour every weight is strength / |p - q|. Boykov & Jolly 2001, with GrabCut's rule for beta.
    """
    height, width = image.shape[:2]
    steps: Pairwise = {}
    inside = {}
    for dy, dx in OFFSETS[neighbours]:
        here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
        there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
        steps[dy, dx] = np.square(image[there] - image[here]).sum(axis=2)
        inside[dy, dx] = here
    mean = sum(step.sum() for step in steps.values()) / max(1, sum(step.size for step in steps.values()))
    beta = 1 / (beta_factor * mean) if mean > 0 else 0.0
    weights: Pairwise = {}
    for offset, step in steps.items():
        weights[offset] = np.zeros((height, width))
        weights[offset][inside[offset]] = strength / math.hypot(*offset) * np.exp(-beta * step)
    return weights


def min_cut(foreground: Array, background: Array, pairwise: Pairwise) -> tuple[NDArray[np.bool_], float]:
    """The labelling of least energy: F (H, W), B (H, W), W >= 0 -> bool mask (H, W) and its energy.

    The capacities are float64, so energies that are whole numbers are added without rounding. Where several labellings
    reach the minimum, the answer is the one with the smallest foreground, which is unique: it depends neither on the
    solver nor on the order of its steps. F and B may be negative but not infinite: give a hard seed a cost above the
    pixel's other terms (see `seed_cost`). ValueError for a non-finite cost or a negative weight.
    """
    if not (np.isfinite(foreground).all() and np.isfinite(background).all()):
        raise ValueError("the costs of a label must be finite")
    if not all((weights >= 0).all() for weights in pairwise.values()):
        raise ValueError("the weights between neighbours must be >= 0")
    graph = maxflow.GraphFloat(foreground.size, len(pairwise) * foreground.size)
    nodes = graph.add_grid_nodes(foreground.shape)
    for (dy, dx), weights in pairwise.items():
        structure = np.zeros((3, 3))
        structure[1 + dy, 1 + dx] = 1
        graph.add_grid_edges(nodes, weights=weights, structure=structure, symmetric=True)
    # The sink stands for foreground: pixels that no saturated edge ties to it then count as background.
    graph.add_grid_tedges(nodes, foreground, background)
    energy = graph.maxflow()
    return graph.get_grid_segments(nodes), energy


def seed_cost(pairwise: Pairwise, data: float) -> float:
    """A finite cost that no hard seed ever pays: more than all other terms of one pixel, of which `data` is the largest
    data term. Giving any set of wrong seeds their own label then lowers the energy, whatever their number."""
    return 1 + data + 2 * sum(float(weights.max()) for weights in pairwise.values())
