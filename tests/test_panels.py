"""What a cut went by: seeds and evidence, found and drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from deepinside.attribution.crops import ten_crops
from deepinside.localisation.evidence import evidence, evidence_map
from deepinside.localisation.locate import locate
from deepinside.localisation.presets import Evidence, Preset
from deepinside.localisation.segment import cut_seeds, segment
from deepinside.plots import (
    BACKGROUND_COLOUR,
    GUESS_COLOUR,
    LINE_COLOUR,
    OBJECT_COLOUR,
    TILE,
    TRUTH_COLOUR,
    Explanation,
    draw_boxes,
    draw_explanation,
)
from deepinside.tiles import letter_sizes

COVERED = torch.ones(10, 10, dtype=torch.bool)


def test_seeds_by_hand() -> None:
    values = torch.arange(100.0).reshape(10, 10)
    numbers = Preset(foreground_seeds=0.95, background_seeds=0.3)
    seeds = cut_seeds(values, COVERED, numbers)
    assert seeds.dtype == torch.int8
    assert (seeds == 1).flatten().nonzero().flatten().tolist() == [95, 96, 97, 98, 99]
    assert (seeds == -1).flatten().nonzero().flatten().tolist() == list(range(30))
    half = COVERED.clone()
    half[:5] = False
    assert (cut_seeds(values, half, numbers)[:5] == 0).all()
    assert (cut_seeds(values, half, numbers) == -1).sum() == 15
    assert not (cut_seeds(torch.ones(10, 10), COVERED, numbers) == 1).any()
    spike = torch.zeros(10, 10)
    spike[5, 5] = 1.0
    blurred = cut_seeds(spike, COVERED, Preset(foreground_seeds=0.95, background_seeds=0.3, blur=1.0))
    assert (blurred == 1).flatten().nonzero().flatten().tolist() == [45, 54, 55, 56, 65]


def test_a_cut_never_takes_a_background_seed() -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(3, 30, 40, generator=generator)
    saliency = torch.from_numpy(gaussian_filter(torch.rand(30, 40, generator=generator).numpy(), 3))
    covered = torch.ones(30, 40, dtype=torch.bool)
    mask, seeds = segment(image, saliency, "paper"), cut_seeds(saliency, covered, Preset())
    assert mask.any()
    assert not (mask & (seeds == -1)).any()


def test_evidence_is_one_where_it_is_neutral() -> None:
    numbers = replace(Evidence(), level=2.0)
    values = torch.rand(20, 30, generator=torch.Generator().manual_seed(4)).double()
    found = evidence_map(values, numbers)
    assert found.numpy() == pytest.approx(evidence(values.numpy(), np.ones((20, 30)), numbers) / 2, rel=1e-5)
    assert (evidence_map(torch.zeros(20, 30), Evidence()) == 1).all()
    assert evidence_map(torch.rand(150, 200), Evidence()).shape == (150, 200)


class Red(nn.Module):
    """Two classes, red and green, averaged over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(8)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(images).square().mean((2, 3))[:, :2]


def test_locate_tells_what_the_cut_went_by() -> None:
    frame = torch.full((3, 80, 96), 20, dtype=torch.uint8)
    frame[0, 24:56, 32:72] = 255
    crops = ten_crops(80, 96, 64)
    seeded = locate(Red(), frame, crops, 0, preset="vgg", guesses=2)
    assert seeded.evidence is None
    assert seeded.seeds is not None
    assert seeded.seeds[24:56, 32:72].max() == 1
    weighed = locate(Red(), frame, crops, 0, preset="best", guesses=2)
    assert weighed.seeds is None
    assert weighed.evidence is not None
    assert weighed.evidence.argmax() // 96 in range(24, 56)
    assert weighed.evidence[40, 52] > 1 > weighed.evidence[75, 5]


def explanation(size: tuple[int, int], **changes: object) -> Explanation:
    frame = torch.full((3, *size), 128, dtype=torch.uint8)
    return Explanation(**{"frame": frame, "saliency": torch.rand(size), "caption": "goose", **changes})  # type: ignore[arg-type]


def third_tile(shown: Explanation) -> Tensor:
    """uint8 (TILE, width, 3), below the title."""
    panel = torch.from_numpy(np.array(draw_explanation(shown)))
    width = round(shown.frame.shape[-1] * TILE / shown.frame.shape[-2])
    top = letter_sizes(3 * width)[0] + 7
    return panel[top : top + TILE, 2 * (width + 8) : 3 * width + 16]


def coloured(tile: Tensor, colour: tuple[int, int, int]) -> Tensor:
    return (tile == torch.tensor(colour, dtype=torch.uint8)).all(-1)


def test_seeds_are_drawn_where_they_are_and_few_ones_still_show() -> None:
    seeds = torch.zeros(60, 60, dtype=torch.int8)
    seeds[:30, :30], seeds[40:, 40:] = 1, -1
    tile = third_tile(explanation((60, 60), seeds=seeds))
    assert coloured(tile, OBJECT_COLOUR).equal((seeds == 1).repeat_interleave(4, 0).repeat_interleave(4, 1))
    assert coloured(tile, BACKGROUND_COLOUR).equal((seeds == -1).repeat_interleave(4, 0).repeat_interleave(4, 1))
    few = torch.zeros(TILE, TILE, dtype=torch.int8)
    few[100, 50] = 1
    spot = coloured(third_tile(explanation((TILE, TILE), seeds=few)), OBJECT_COLOUR)
    assert spot.nonzero().float().mean(0).tolist() == [100, 50]
    assert spot.sum() == 9


def test_the_neutral_line_runs_where_evidence_is_one() -> None:
    values = torch.linspace(0, 2, TILE).expand(TILE, TILE)
    line = coloured(third_tile(explanation((TILE, TILE), evidence=values)), LINE_COLOUR)
    assert line.any(1).all()
    assert set(line.nonzero()[:, 1].tolist()) == {TILE // 2 - 1}
    assert not coloured(third_tile(explanation((60, 60), evidence=torch.zeros(60, 60))), LINE_COLOUR).any()


def test_boxes_of_pictures_too_long_for_a_tile_keep_their_place() -> None:
    long = explanation(
        (20, 200), mask=torch.ones(20, 200, dtype=torch.bool), guess=torch.tensor([[100.0, 0.0, 200.0, 20.0]])
    )
    top = letter_sizes(12 * TILE)[0] + 7
    tile = torch.from_numpy(np.array(draw_explanation(long)))[top : top + TILE, 3 * (3 * TILE + 8) :]
    columns = coloured(tile, GUESS_COLOUR).all(0).nonzero().flatten().tolist()
    assert columns[:5] == [3 * TILE // 2 + i for i in range(5)]
    assert columns[-1] == 3 * TILE - 1


def test_of_two_equal_boxes_both_show() -> None:
    box = torch.tensor([[10.0, 10.0, 40.0, 40.0]])
    tile = torch.from_numpy(np.array(draw_boxes(np.zeros((60, 60, 3), dtype=np.uint8), box, box)))
    assert coloured(tile, TRUTH_COLOUR)[100, 40:43].all()
    assert coloured(tile, GUESS_COLOUR)[100, 43:45].all()
