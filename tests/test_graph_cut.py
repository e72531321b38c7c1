import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from deepinside import saliency
from deepinside.config import DataConfig, ModelConfig
from deepinside.data.decode import decode
from deepinside.data.transforms import resize_whole
from deepinside.localisation import segment
from deepinside.localisation.coarse_to_fine import CoarseToFine, _sets, join_strongest
from deepinside.localisation.graph import OFFSETS, Array, Graph, Pairwise, pixel_graph
from deepinside.localisation.graph_cut import Cuts, contrast_weights, min_cut, seed_cost
from deepinside.models.build import build_convnet


def energy(mask: NDArray[np.bool_], foreground: Array, background: Array, pairwise: Pairwise) -> float:
    """E(m) as the module's docstring writes it, pair by pair."""
    height, width = mask.shape
    total = float(foreground[mask].sum() + background[~mask].sum())
    for (dy, dx), weights in pairwise.items():
        for y, x in itertools.product(range(height), range(width)):
            if 0 <= y + dy < height and 0 <= x + dx < width and mask[y, x] != mask[y + dy, x + dx]:
                total += weights[y, x]
    return total


def random_problem(seed: int, neighbours: int, shape: tuple[int, int] = (3, 3)) -> tuple[Array, Array, Pairwise]:
    generator = np.random.default_rng(seed)
    unary = generator.uniform(-2, 5, (2, *shape))
    return unary[0], unary[1], {offset: generator.uniform(0, 2, shape) for offset in OFFSETS[neighbours]}


def whole_numbers(foreground: Array, background: Array, pairwise: Pairwise) -> tuple[Array, Array, Pairwise]:
    return np.rint(2 * foreground), np.rint(2 * background), {o: np.rint(2 * w) for o, w in pairwise.items()}


LABELLINGS = [np.array(bits, dtype=bool).reshape(3, 3) for bits in itertools.product([False, True], repeat=9)]


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("seed", range(8))
def test_no_labelling_has_less_energy(seed: int, neighbours: int) -> None:
    problem = random_problem(seed, neighbours)
    mask, least = min_cut(*problem)
    assert least == pytest.approx(min(energy(labelling, *problem) for labelling in LABELLINGS), abs=1e-9)
    assert energy(mask, *problem) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("seed", range(8))
def test_whole_numbers_are_exact_and_ties_give_the_smallest_foreground(seed: int, neighbours: int) -> None:
    problem = whole_numbers(*random_problem(seed, neighbours))
    energies = np.array([energy(labelling, *problem) for labelling in LABELLINGS])
    mask, least = min_cut(*problem)
    assert least == energies.min()
    best = [labelling for labelling, value in zip(LABELLINGS, energies, strict=True) if value == least]
    assert mask.tolist() == np.logical_and.reduce(best).tolist()


def test_the_problems_of_the_tie_test_have_ties() -> None:
    ties = 0
    for seed, neighbours in itertools.product(range(8), [4, 8]):
        problem = whole_numbers(*random_problem(seed, neighbours))
        energies = [energy(labelling, *problem) for labelling in LABELLINGS]
        ties += energies.count(min(energies)) > 1
    assert ties >= 3


@pytest.mark.parametrize("neighbours", [4, 8])
def test_a_second_solver_agrees(neighbours: int) -> None:
    height, width = 40, 50
    generator = np.random.default_rng(1)
    blob = gaussian_filter(generator.standard_normal((height, width)), 3)
    image = (blob > 0.03)[..., None] * [0.6, 0.3, 0.1] + generator.normal(0.2, 0.05, (height, width, 3))
    pairwise = {o: np.rint(w) for o, w in contrast_weights(image, 60, 2, neighbours).items()}
    unary = np.rint(100 * np.abs(generator.standard_normal((2, height, width))))
    mask, least = min_cut(unary[0], unary[1], pairwise)

    edges = []
    for (dy, dx), weights in pairwise.items():
        for y, x in itertools.product(range(height - dy), range(max(0, -dx), width - max(0, dx))):
            edges.append((y * width + x, (y + dy) * width + x + dx, weights[y, x]))
    foreground, value = by_scipy(unary.reshape(2, -1), *(np.array(column) for column in zip(*edges, strict=True)))
    assert least == value
    assert set(np.flatnonzero(mask)) == foreground
    assert 0 < mask.sum() < mask.size


def by_scipy(unary: Any, first: Any, second: Any, weights: Any) -> tuple[set[int], int]:
    """F and B (2, n), edges and their weights, all whole -> the smallest foreground of least energy, and that."""
    nodes = np.arange(unary.shape[1])
    source, sink = nodes.size, nodes.size + 1
    tails = np.concatenate([np.full_like(nodes, source), nodes, first, second])
    heads = np.concatenate([nodes, np.full_like(nodes, sink), second, first])
    capacities = np.concatenate([unary[0], unary[1], weights, weights]).astype(np.int32)
    graph = csr_array((capacities, (tails, heads)), shape=(nodes.size + 2, nodes.size + 2))
    flow = maximum_flow(graph, source, sink)
    # The smallest foreground (the sink's side): the pixels from which the sink can still be reached.
    residual = graph - flow.flow
    residual.eliminate_zeros()
    reaches = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
    return set(reaches) - {sink}, flow.flow_value


@pytest.mark.parametrize("preset", ["vgg", "paper"])
def test_a_second_solver_agrees_on_photographs(shared: Path, monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    """With the colours, weights and seeds of a preset, and the maps of a real net."""
    cuts: list[tuple[Graph, Any, Any, float]] = []

    class Recorded(Cuts):
        def __init__(self, graph: Graph) -> None:
            super().__init__(graph)
            self.graph = graph

        def cut(self, costs: Any) -> Any:
            mask, least = super().cut(costs)
            cuts.append((self.graph, costs, mask, least))
            return mask, least

    monkeypatch.setattr(segment, "Cuts", Recorded)
    weights = str(shared / "weights" / "squeezenet1_1.pth")
    convnet = build_convnet(ModelConfig("squeezenet1_1", weights=weights), DataConfig("ilsvrc"))
    for file in sorted((shared / "ilsvrc_mini").rglob("*.JPEG"))[::100]:
        frame = resize_whole(decode(file), 96)
        scores = convnet(frame[None] / 255)
        (map_,) = saliency(convnet, frame[None] / 255, scores.argmax(1))
        segment.object_box(frame, map_, preset)
    assert len(cuts) == 3
    for graph, costs, mask, least in cuts:
        unary = np.stack([np.maximum(costs, 0), np.maximum(-costs, 0)])
        foreground, value = by_scipy(unary, graph.first, graph.second, graph.weights)
        assert set(np.flatnonzero(mask)) == foreground
        assert least == value - unary[1].sum()
        assert 0 < mask.sum() < mask.size


@pytest.mark.parametrize("neighbours", [4, 8])
def test_later_cuts_of_one_grid_are_those_of_a_fresh_one(neighbours: int) -> None:
    generator = np.random.default_rng(5)
    image = gaussian_filter(generator.random((30, 40, 3)), (2, 2, 0))
    pairwise = {o: np.rint(w) for o, w in contrast_weights(image, 60, 2, neighbours).items()}
    cuts = Cuts(pixel_graph((30, 40), pairwise))
    sizes = set()
    for _ in range(6):
        unary = np.rint(
            40 * generator.standard_normal((2, 30, 40)) + 40 * gaussian_filter(generator.random((30, 40)), 2)
        )
        mask, energy = cuts.cut((unary[0] - unary[1]).ravel())
        fresh, least = min_cut(unary[0], unary[1], pairwise)
        assert (mask == fresh.ravel()).all()
        assert energy + unary[1].sum() == least
        sizes.add(int(mask.sum()))
    assert len(sizes) > 3


def test_fractions_below_one_are_not_truncated() -> None:
    row = np.array([[0.4, 0.0, 0.3]])
    mask, least = min_cut(row, row[:, ::-1], {(0, 1): np.full((1, 3), 0.05)})
    assert mask.tolist() == [[False, False, True]]  # as good as [False, True, True], and smaller
    assert least == pytest.approx(0.3 + 0.05 + 0.3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 3000)])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_thin_pictures(shape: tuple[int, int], neighbours: int) -> None:
    foreground, background, _ = random_problem(3, 4, shape)
    image = np.random.default_rng(0).random((*shape, 3))
    pairwise = contrast_weights(image, 1.0, 2.0, neighbours)
    mask, least = min_cut(foreground, background, pairwise)
    assert least == pytest.approx(energy(mask, foreground, background, pairwise))
    alone = min_cut(foreground, background, contrast_weights(image, 0.0, 2.0, neighbours))[0]
    assert (alone == (foreground < background)).all()


def test_contrast_weights_by_hand() -> None:
    image = np.array([[0.0, 1.0], [0.0, 3.0]])[..., None]
    # Squared steps: right 1, 9; down 0, 4; diagonals 9 and 1: their mean is 4.
    weights = contrast_weights(image, strength=10, beta_factor=0.5, neighbours=8)
    beta = 1 / (0.5 * 4)
    assert weights[0, 1] == pytest.approx(10 * np.exp(-beta * np.array([[1, np.inf], [9, np.inf]])))
    assert weights[1, 0] == pytest.approx(10 * np.exp(-beta * np.array([[0, 4], [np.inf, np.inf]])))
    assert weights[1, 1][0, 0] == pytest.approx(10 / np.sqrt(2) * np.exp(-beta * 9))
    assert weights[1, -1][0, 1] == pytest.approx(10 / np.sqrt(2) * np.exp(-beta * 1))
    assert set(contrast_weights(image, 10, 0.5, 4)) == {(0, 1), (1, 0)}


def test_contrast_has_no_unit() -> None:
    image = np.random.default_rng(0).random((5, 6, 3))
    for offset, weights in contrast_weights(image, 50, 2, 8).items():
        assert contrast_weights(255 * image, 50, 2, 8)[offset] == pytest.approx(weights)


def test_one_colour_gives_the_full_weight() -> None:
    assert contrast_weights(np.full((3, 4, 3), 0.7), 50, 2, 4)[0, 1][:, :3].tolist() == np.full((3, 3), 50.0).tolist()


@pytest.mark.parametrize("neighbours", [4, 8])
def test_seeds_hold_against_everything_else(neighbours: int) -> None:
    pairwise = {offset: np.full((5, 5), 9.0) for offset in OFFSETS[neighbours]}
    foreground, background = np.full((5, 5), 7.0), np.zeros((5, 5))  # every term speaks for background
    wanted = np.zeros((5, 5), dtype=bool)
    wanted[2, 1:3] = wanted[4, 4] = True
    background[wanted], foreground[wanted] = seed_cost(pairwise, 7.0), 0.0
    assert min_cut(foreground, background, pairwise)[0].tolist() == wanted.tolist()


def test_a_seed_costs_more_than_all_its_other_terms_not_as_much() -> None:
    """One pixel amid eight others that want it the other way: at equal cost it would be theirs."""
    pairwise = {offset: np.full((3, 3), 9.0) for offset in OFFSETS[8]}
    foreground, background = np.full((3, 3), 1e6), np.zeros((3, 3))
    foreground[1, 1], background[1, 1] = 7.0, seed_cost(pairwise, 7.0)
    assert np.argwhere(min_cut(foreground, background, pairwise)[0]).tolist() == [[1, 1]]


def test_bad_energies_are_refused() -> None:
    ones = np.ones((2, 2))
    with pytest.raises(ValueError, match="finite"):
        min_cut(np.full((2, 2), np.inf), ones, {})
    with pytest.raises(ValueError, match="finite"):
        min_cut(ones, np.full((2, 2), np.nan), {})
    with pytest.raises(ValueError, match=">= 0"):
        min_cut(ones, ones, {(0, 1): -ones})
    with pytest.raises(ValueError, match=">= 0"):
        min_cut(ones, ones, {(0, 1): np.full((2, 2), np.nan)})
    with pytest.raises(ValueError, match="finite"):
        Cuts(Graph(1, np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0))).cut(np.array([np.nan]))


# --- coarse to fine -------------------------------------------------------------------------------------------------


def graph_energy(labels: NDArray[np.bool_], costs: Array, graph: Graph) -> float:
    """sum_p m_p (F_p - B_p) + sum_pq W_pq [m_p != m_q]."""
    return float(costs[labels].sum() + graph.weights[labels[graph.first] != labels[graph.second]].sum())


def picture_problem(seed: int, neighbours: int, shape: tuple[int, int] = (60, 80)) -> tuple[Array, Graph]:
    """Costs F - B (n,) that are noisy for a blob, with seeds, and the graph of a picture of it: whole numbers."""
    generator = np.random.default_rng(seed)
    blob = gaussian_filter(generator.standard_normal(shape), 10) > 0.01
    image = blob[..., None] * [0.6, 0.3, 0.1] + generator.normal(0.2, 0.05, (*shape, 3))
    pairwise = {o: np.rint(w) for o, w in contrast_weights(image, 7500, 0.5, neighbours).items()}
    costs = np.rint(np.where(blob, -50, 50) + 150 * generator.standard_normal(shape))
    seeds = generator.random(shape)
    fixed = seed_cost(pairwise, np.abs(costs).max())
    costs[seeds > 0.99], costs[seeds < 0.01] = -fixed, fixed
    return costs.ravel(), pixel_graph(shape, pairwise)


def test_degrees_by_hand() -> None:
    graph = Graph(4, np.array([0, 1]), np.array([1, 2]), np.array([2.0, 3.0]))
    assert graph.degrees().tolist() == [2, 5, 3, 0]


def test_nodes_join_at_their_strongest_edge() -> None:
    """A path 0 -9- 1 -2- 2 -7- 3 -4- 4, with one more edge 0 -1- 4."""
    graph = Graph(5, np.array([0, 1, 2, 3, 0]), np.array([1, 2, 3, 4, 4]), np.array([9.0, 2.0, 7.0, 4.0, 1.0]))
    parents, coarser = join_strongest(graph)
    assert parents.tolist() == [0, 0, 1, 1, 1]
    assert (coarser.count, coarser.first.tolist(), coarser.second.tolist()) == (2, [0], [1])
    assert coarser.weights.tolist() == [3.0]


def test_a_long_way_of_partners_is_one_node() -> None:
    path = Graph(40, np.arange(39), np.arange(1, 40), np.arange(1.0, 40))
    assert join_strongest(path)[1].count == 1


def test_new_nodes_are_in_the_order_of_their_first_ones() -> None:
    graph = Graph(4, np.array([0, 1, 0]), np.array([3, 2, 1]), np.array([9.0, 7.0, 1.0]))
    assert join_strongest(graph)[0].tolist() == [0, 1, 1, 0]


def test_a_ring_of_partners_ends() -> None:
    """Equal edges can make one: 0, 1 and 2 follow each other, 3 follows 2, and 4 has no edge."""
    found = _sets(np.array([1, 2, 0, 2, 4]))
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    assert found[4] not in found[:4]


@pytest.mark.parametrize("neighbours", [4, 8])
def test_a_cut_of_joined_nodes_has_the_energy_of_the_same_cut_of_pixels(neighbours: int) -> None:
    costs, graph = picture_problem(0, neighbours)
    parents, coarser = join_strongest(graph)
    assert coarser.count < 0.5 * graph.count
    assert len(np.unique(coarser.first * coarser.count + coarser.second)) == len(coarser.first)
    labels = np.random.default_rng(1).random(coarser.count) < 0.5
    sums = np.bincount(parents, costs, coarser.count)
    assert graph_energy(labels, sums, coarser) == graph_energy(labels[parents], costs, graph)


def test_equal_weights_make_many_small_nodes() -> None:
    graph = pixel_graph((60, 80), contrast_weights(np.full((60, 80, 3), 0.4), 7500, 0.5, 4))
    parents = join_strongest(graph)[0]
    assert np.bincount(parents).max() < 40
    assert np.array_equal(join_strongest(graph)[0], parents)  # chance that is always the same


@pytest.mark.parametrize("neighbours", [4, 8])
def test_without_the_fixed_nodes_energies_differ_by_a_constant(neighbours: int) -> None:
    foreground, background, pairwise = whole_numbers(*random_problem(2, neighbours))
    graph, costs = pixel_graph((3, 3), pairwise), (foreground - background).ravel()
    generator = np.random.default_rng(3)
    free, labels = np.arange(9) % 2 == 0, generator.random(9) < 0.5
    part, rim = graph.part(free, labels)
    offsets = set()
    for bits in itertools.product([False, True], repeat=5):
        labels[free] = bits
        offsets.add(graph_energy(labels, costs, graph) - graph_energy(labels[free], costs[free] + rim, part))
    assert len(offsets) == 1


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("shape", [(7, 9), (1, 12), (12, 1), (1, 1)])
def test_a_grid_answers_as_the_graph_of_its_edges(shape: tuple[int, int], neighbours: int) -> None:
    pairwise = whole_numbers(*random_problem(4, neighbours, shape))[2]
    grid = pixel_graph(shape, pairwise)
    plain = Graph(grid.count, grid.first, grid.second, grid.weights)
    generator = np.random.default_rng(5)
    for share in (0.1, 0.5, 0.9):
        votes = generator.choice(3, grid.count, p=[0.6, 0.1, 0.3]).astype(np.uint8)
        for reach in range(4):
            assert np.array_equal(grid.open_nodes(votes, reach), plain.open_nodes(votes, reach))
        free, labels = generator.random(grid.count) < share, generator.random(grid.count) < 0.5
        free[generator.integers(grid.count)] = True
        (part, rim), (expected, added) = grid.part(free, labels), plain.part(free, labels)
        assert np.array_equal(rim, added)
        assert part.count == expected.count
        for name in ("first", "second", "weights"):
            assert np.array_equal(getattr(part, name), getattr(expected, name))


@pytest.mark.parametrize("neighbours", [4, 8])
def test_coarse_to_fine_comes_near_the_least_energy_and_keeps_decisions(neighbours: int) -> None:
    for seed in range(4):
        costs, graph = picture_problem(seed, neighbours)
        exact, least = Cuts(graph).cut(costs)
        found = CoarseToFine(graph, unit=50).cut(costs)
        decided = np.abs(costs) > graph.degrees()
        assert (found[decided] == (costs[decided] < 0)).all()
        seeds = costs[decided & (costs < 0)].sum()
        assert graph_energy(found, costs, graph) - seeds <= 1.03 * (least - seeds)
        assert (found == exact).mean() > 0.95
        assert 0 < exact.mean() < 1


def test_cuts_coarse_to_fine_do_not_depend_on_those_before() -> None:
    costs, graph = picture_problem(0, 4)
    cuts = CoarseToFine(graph, unit=50)
    first = cuts.cut(costs)
    cuts.cut(-costs[::-1])
    assert (cuts.cut(costs) == first).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 500)])
def test_coarse_to_fine_on_the_smallest_graphs(shape: tuple[int, int]) -> None:
    count = shape[0] * shape[1]
    graph = pixel_graph(shape, {(0, 1): np.ones(shape)})
    for costs in (np.where(np.arange(count) % 2 == 0, -3.0, 3.0), np.full(count, 3.0), np.zeros(count)):
        assert (CoarseToFine(graph, 1.0).cut(costs) == Cuts(graph).cut(costs)[0]).all()
