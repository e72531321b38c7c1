import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow, minimum_spanning_tree

from deepinside import saliency
from deepinside.config import DataConfig, ModelConfig
from deepinside.data.decode import decode
from deepinside.data.transforms import resize_whole
from deepinside.localisation import grid_flow, max_flow, segment
from deepinside.localisation.graph import OFFSETS, Array, Graph, Mask, Pairwise, pixel_graph
from deepinside.localisation.graph_cut import Cuts, contrast_weights, min_cut, seed_cost
from deepinside.localisation.grid_flow import GridCuts
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
    foreground, background, pairwise = problem
    assert (GridCuts((3, 3), pairwise).cut((foreground - background).ravel()) == mask.ravel()).all()


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
    assert set(np.flatnonzero(GridCuts((height, width), pairwise).cut((unary[0] - unary[1]).ravel()))) == foreground
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
    cuts: list[tuple[Graph, Array, Mask]] = []

    class Recorded(GridCuts):
        def __init__(self, shape: tuple[int, int], pairwise: Pairwise) -> None:
            super().__init__(shape, pairwise)
            self.graph = pixel_graph(shape, pairwise)

        def cut(self, costs: Array) -> Mask:
            cuts.append((self.graph, costs, super().cut(costs)))
            return cuts[-1][2]

    monkeypatch.setattr(grid_flow, "GridCuts", Recorded)
    weights = str(shared / "weights" / "squeezenet1_1.pth")
    convnet = build_convnet(ModelConfig("squeezenet1_1", weights=weights), DataConfig("ilsvrc"))
    for file in sorted((shared / "ilsvrc_mini").rglob("*.JPEG"))[::100]:
        frame = resize_whole(decode(file), 96)
        scores = convnet(frame[None] / 255)
        (map_,) = saliency(convnet, frame[None] / 255, scores.argmax(1))
        segment.object_box(frame, map_, preset)
    assert len(cuts) == 3
    for graph, costs, mask in cuts:
        unary = np.stack([np.maximum(costs, 0), np.maximum(-costs, 0)])
        foreground, value = by_scipy(unary, graph.first, graph.second, graph.weights)
        assert set(np.flatnonzero(mask)) == foreground
        by_maxflow, least = Cuts(graph).cut(costs)
        assert (by_maxflow == mask).all()
        assert least == value - unary[1].sum()
        assert 0 < mask.sum() < mask.size


@pytest.mark.parametrize("neighbours", [4, 8])
def test_later_cuts_of_one_grid_are_those_of_a_fresh_one(neighbours: int) -> None:
    generator = np.random.default_rng(5)
    image = gaussian_filter(generator.random((30, 40, 3)), (2, 2, 0))
    pairwise = {o: np.rint(w) for o, w in contrast_weights(image, 60, 2, neighbours).items()}
    cuts, ours = Cuts(pixel_graph((30, 40), pairwise)), GridCuts((30, 40), pairwise)
    sizes = set()
    for _ in range(6):
        unary = np.rint(
            40 * generator.standard_normal((2, 30, 40)) + 40 * gaussian_filter(generator.random((30, 40)), 2)
        )
        mask, energy = cuts.cut((unary[0] - unary[1]).ravel())
        fresh, least = min_cut(unary[0], unary[1], pairwise)
        assert (mask == fresh.ravel()).all()
        assert (ours.cut((unary[0] - unary[1]).ravel()) == mask).all()
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


# --- our own flow ---------------------------------------------------------------------------------------------------


def picture_problem(seed: int, neighbours: int, shape: tuple[int, int] = (60, 80)) -> tuple[Array, Pairwise]:
    """Costs F - B (n,) that are noisy for a blob, with seeds, and the weights of a picture of it: whole numbers."""
    generator = np.random.default_rng(seed)
    blob = gaussian_filter(generator.standard_normal(shape), 10) > 0.01
    image = blob[..., None] * [0.6, 0.3, 0.1] + generator.normal(0.2, 0.05, (*shape, 3))
    pairwise = {o: np.rint(w) for o, w in contrast_weights(image, 7500, 0.5, neighbours).items()}
    costs = np.rint(np.where(blob, -50, 50) + 150 * generator.standard_normal(shape))
    seeds = generator.random(shape)
    fixed = seed_cost(pairwise, np.abs(costs).max())
    costs[seeds > 0.99], costs[seeds < 0.01] = -fixed, fixed
    return costs.ravel(), pairwise


@pytest.mark.parametrize("shape", [(60, 80), (1, 1), (1, 500), (500, 1), (2, 300), (3, 3)])
@pytest.mark.parametrize("neighbours", [4, 8])
def test_our_flow_and_that_of_any_graph_give_the_same_cuts(shape: tuple[int, int], neighbours: int) -> None:
    """Smooth pictures and rough ones, ties, weights of 0, one after the other on one grid."""
    for seed, scale in itertools.product(range(3), (1.0, 0.002, 0.0)):
        costs, pairwise = picture_problem(seed, neighbours, shape)
        pairwise = {offset: np.rint(scale * weights) for offset, weights in pairwise.items()}
        ours, theirs = GridCuts(shape, pairwise), Cuts(pixel_graph(shape, pairwise))
        for one in (costs, -costs, np.rint(costs / 50), 0 * costs, costs[::-1], costs):
            assert (ours.cut(one) == theirs.cut(one)[0]).all()
    assert GridCuts(shape, {}).cut(-np.abs(costs) - 1).all()


def test_the_cuts_of_that_test_are_neither_empty_nor_whole() -> None:
    sizes = set()
    for seed, scale in itertools.product(range(3), (1.0, 0.002)):
        costs, pairwise = picture_problem(seed, 8)
        cuts = GridCuts((60, 80), {offset: np.rint(scale * weights) for offset, weights in pairwise.items()})
        sizes |= {int(cuts.cut(one).sum()) for one in (costs, -costs, np.rint(costs / 50))}
    assert sum(40 < size < 4760 for size in sizes) >= 12


@pytest.mark.parametrize(("scale", "bytes_each"), [(2.0**17, 4), (2.0**18, 8), (2.0**19, 8)])
def test_large_energies_do_not_overflow(scale: float, bytes_each: int) -> None:
    """Weights on both sides of what 32 bits hold twice, and sums of costs that they do not hold."""
    costs, pairwise = picture_problem(1, 8)
    large = {offset: scale * weights for offset, weights in pairwise.items()}
    assert grid_flow._capacities((60, 80), large).itemsize == bytes_each
    assert np.abs(scale * costs).sum() > 2**31
    expected = GridCuts((60, 80), pairwise).cut(costs)
    assert (GridCuts((60, 80), large).cut(scale * costs) == expected).all()


def test_costs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        GridCuts((1, 2), {}).cut(np.array([0.0, np.nan]))


@pytest.mark.parametrize("neighbours", [4, 8])
def test_the_tree_has_the_strongest_edges(neighbours: int) -> None:
    """As heavy as the one that scipy finds; parents come before their children, and all pixels hang together."""
    height, width = 20, 30
    generator = np.random.default_rng(0)
    pairwise = {offset: generator.integers(1, 60000, (height, width)) for offset in OFFSETS[neighbours]}
    capacity, steps = grid_flow._capacities((height, width), pairwise), grid_flow._steps(list(pairwise), width + 2)
    order, towards = grid_flow._spanning_tree(*grid_flow._strongest_first(capacity), steps, len(capacity))
    children = np.flatnonzero(towards != max_flow.TERMINAL)
    parents = (children + steps.astype(np.int64)[towards[children]]).astype(int)
    place = np.argsort(order)
    assert (place[parents] < place[children]).all()
    inside = np.pad(np.ones((height, width), dtype=bool), 1).ravel()
    assert inside[children].all()
    assert inside[parents].all()
    assert len(children) == height * width - 1
    graph = pixel_graph((height, width), pairwise)
    heaviest = minimum_spanning_tree(csr_array((-graph.weights.astype(float), (graph.first, graph.second)), (600, 600)))
    assert capacity[children, towards[children]].sum() == -heaviest.sum()


def test_gathering_loses_nothing_and_leaves_little() -> None:
    """Flow out of a pixel is flow into its neighbour, and an arc's flow comes off it and goes onto the way back; what
    is left lies where the arc to the parent is full, or at the root."""
    costs, pairwise = picture_problem(2, 8)
    cuts = GridCuts((60, 80), pairwise)
    network = cuts._network
    before = network.capacity.astype(np.int64)
    network.excess.reshape(62, 82)[1:-1, 1:-1] = costs.reshape(60, 80)
    grid_flow._gather(network, cuts._order, cuts._towards)
    pushed = before - network.capacity
    assert network.excess.sum() == costs.sum()
    assert (network.capacity >= 0).all()
    assert (
        network.excess.reshape(62, 82)[1:-1, 1:-1].ravel() + pushed.sum(axis=1).reshape(62, 82)[1:-1, 1:-1].ravel()
        == costs
    ).all()
    left = np.flatnonzero(network.excess)
    towards = cuts._towards[left]
    for v, d in zip(left[towards != max_flow.TERMINAL], towards[towards != max_flow.TERMINAL], strict=True):
        parent = int(v + network.steps.astype(np.int64)[d])
        assert (network.capacity[v, d] if network.excess[v] > 0 else network.capacity[parent, d ^ 1]) == 0
    assert len(left) < 0.3 * len(costs)


def one_more(x: int) -> int:
    return x + 1


def test_what_cannot_be_kept_is_compiled_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba refuses cache=True where no folder can be written; a full disk it finds at the first call."""

    def refuse(function: Any) -> Any:
        raise RuntimeError("cannot cache function: no locator available")

    def full_disk(function: Any) -> Any:
        def call(x: int) -> int:
            raise OSError(28, "No space left on device")

        return call

    for keep in (refuse, full_disk):

        def njit(function: Any, cache: bool = False, keep: Any = keep) -> Any:
            return keep(function) if cache else lambda x: function(x) + 100

        monkeypatch.setattr(max_flow.numba, "njit", njit)
        compiled = max_flow.compiled(one_more)
        assert (compiled(1), compiled(2)) == (102, 103)


def test_damaged_compiled_code_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(max_flow.numba.config, "CACHE_DIR", str(tmp_path))
    assert max_flow.compiled(one_more)(1) == 2
    kept = [file for file in tmp_path.rglob("*one_more*") if file.is_file()]
    assert {file.suffix for file in kept} == {".nbi", ".nbc"}
    for suffix, size in ((".nbc", 100), (".nbi", 0)):
        for file in kept:
            if file.suffix == suffix:
                file.write_bytes(file.read_bytes()[:size])
        assert max_flow.compiled(one_more)(1) == 2


def test_what_a_compiled_function_raises_is_told() -> None:
    compiled = max_flow.compiled(one_more)
    for _ in range(2):
        with pytest.raises(max_flow.numba.TypingError):
            compiled("one")


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=">= 0"):
        GridCuts((2, 2), {(0, 1): -np.ones((2, 2))})


def test_costs_may_be_written_over_after_a_cut() -> None:
    costs, pairwise = picture_problem(0, 4)
    ours, theirs = GridCuts((60, 80), pairwise), Cuts(pixel_graph((60, 80), pairwise))
    buffer = -costs
    for cut in (ours.cut, lambda one: theirs.cut(one)[0]):
        buffer[:] = -costs
        cut(buffer)
        buffer[:] = costs
        assert (cut(buffer) == GridCuts((60, 80), pairwise).cut(costs)).all()


def test_a_cut_gathers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the answer is the same, later."""
    calls: list[str] = []
    for name in ("_gather", "max_flow"):
        was = getattr(grid_flow, name)
        monkeypatch.setattr(grid_flow, name, lambda *given, was=was, name=name: (calls.append(name), was(*given)))
    costs, pairwise = picture_problem(0, 4)
    GridCuts((60, 80), pairwise).cut(costs)
    assert calls == ["_gather", "max_flow"]
