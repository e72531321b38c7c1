"""Drawing: sizes, colours where they belong, captions that fit, degenerate maps."""

import numpy as np
import torch
from PIL import Image

from deepinside.plots import (
    GUESS_COLOUR,
    TILE,
    TRUTH_COLOUR,
    Explanation,
    draw_boxes,
    draw_explanation,
    draw_traces,
    heat,
    sheet,
    to_tensorboard,
)


def explanation(**changes: object) -> Explanation:
    frame = torch.full((3, 60, 90), 128, dtype=torch.uint8)
    mask = torch.zeros(60, 90, dtype=torch.bool)
    mask[20:40, 30:60] = True
    boxes = {"guess": torch.tensor([[30.0, 20.0, 60.0, 40.0]]), "truth": torch.tensor([[0.0, 0.0, 90.0, 60.0]])}
    values = {"frame": frame, "saliency": torch.rand(60, 90), "caption": "goose", "mask": mask, **boxes, **changes}
    return Explanation(**values)  # type: ignore[arg-type]


def test_four_tiles_with_a_mask_three_without() -> None:
    width = 90 * TILE // 60
    assert draw_explanation(explanation()).width == 4 * width + 24
    assert draw_explanation(explanation(mask=None)).width == 3 * width + 16


def test_boxes_are_drawn_in_their_colours_at_their_place() -> None:
    panel = draw_explanation(explanation())
    left, zoom = 3 * (90 * TILE // 60 + 8), TILE / 60
    assert panel.getpixel((left + int(45 * zoom), 18 + int(20 * zoom) + 1)) == GUESS_COLOUR
    assert panel.getpixel((left + int(45 * zoom), 18 + 1)) == TRUTH_COLOUR


def test_heat_runs_from_dark_to_bright() -> None:
    warm = heat(torch.linspace(0, 1, 100).reshape(10, 10)).astype(int).sum(-1)
    assert warm[0, 0] < 30
    assert warm[-1, -1] > 600
    assert (warm.reshape(-1)[1:] >= warm.reshape(-1)[:-1] - 3).all()


def test_a_map_of_zeros_is_dark_and_a_single_pixel_shows() -> None:
    assert heat(torch.zeros(10, 10)).max() < 10
    spot = torch.zeros(40, 40)
    spot[3, 5] = 1.0
    assert heat(spot)[3, 5].astype(int).sum() > 600


def test_long_captions_are_cut() -> None:
    short, long = draw_explanation(explanation()), draw_explanation(explanation(caption="goose " * 200))
    assert short.size == long.size


def test_sheet_holds_all_and_goes_to_tensorboard() -> None:
    tiles = [Image.new("RGB", (10 + i, 20), (i, 0, 0)) for i in range(5)]
    overview = sheet(tiles, 2)
    assert overview.size == (12 + 13 + 3 * 8, 3 * 28 + 8)
    assert overview.getpixel((8, 8 + 2 * 28)) == (4, 0, 0)
    assert to_tensorboard(overview).shape == (3, overview.height, overview.width)


def test_very_long_pictures_stay_on_the_sheet() -> None:
    panel = draw_explanation(Explanation(torch.zeros(3, 4, 400, dtype=torch.uint8), torch.rand(4, 400), "long"))
    assert panel.width == 3 * 3 * TILE + 16


def test_boxes_thinner_than_a_pixel_of_the_tile_are_drawn() -> None:
    pixels = np.zeros((300, 2000, 3), dtype=np.uint8)
    thin = torch.tensor([[4.0, 4.0, 5.0, 5.0], [1999.0, 0.0, 2000.0, 300.0]])
    drawn = np.asarray(draw_boxes(pixels, thin, None))
    assert drawn[:3, :3].any()
    assert drawn[10, -3:].any()
    assert not drawn[10, 10:-10].any()


def test_names_that_the_font_lacks_are_no_warning() -> None:
    assert draw_traces([("\u65e5\u672c", torch.rand(3, 5))]).width == 1200
