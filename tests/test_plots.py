"""Drawing: sizes, colours where they belong, captions that fit, degenerate maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.plots import (
    GUESS_COLOUR,
    TILE,
    TRUTH_COLOUR,
    Explanation,
    draw_boxes,
    draw_class_model,
    draw_explanation,
    draw_strip,
    draw_traces,
    heat,
)
from deepinside.tiles import letter_sizes, sheet
from deepinside.words import hundredths, scored


def explanation(**changes: object) -> Explanation:
    frame = torch.full((3, 60, 90), 128, dtype=torch.uint8)
    mask = torch.zeros(60, 90, dtype=torch.bool)
    mask[20:40, 30:60] = True
    boxes = {"guess": torch.tensor([[30.0, 20.0, 60.0, 40.0]]), "truth": torch.tensor([[0.0, 0.0, 90.0, 60.0]])}
    values = {"frame": frame, "saliency": torch.rand(60, 90), "caption": "goose", "mask": mask, **boxes, **changes}
    return Explanation(**values)  # type: ignore[arg-type]


def test_what_no_crop_saw_is_grey_and_not_black() -> None:
    """Black would say that nothing there matters."""
    covered = torch.ones(60, 60, dtype=torch.bool)
    covered[:, 30:] = False
    blank = Explanation(torch.zeros(3, 60, 60, dtype=torch.uint8), torch.zeros(60, 60), "goose")
    plain = np.asarray(draw_explanation(blank))
    seen = np.asarray(draw_explanation(replace(blank, coverage=covered)))
    whole = np.asarray(draw_explanation(replace(blank, coverage=torch.ones_like(covered))))
    assert np.array_equal(plain, whole)
    grey = (seen == 128).all(-1) & ~(plain == 128).all(-1)
    assert 0.9 < grey.sum() / (TILE * TILE / 2) < 1.2
    assert np.median(np.nonzero(grey)[1]) > TILE * 1.7, "the right half of the second tile"


def test_four_tiles_with_a_mask_three_without() -> None:
    width = 90 * TILE // 60
    assert draw_explanation(explanation()).width == 4 * width + 24
    assert draw_explanation(explanation(mask=None)).width == 3 * width + 16


def test_boxes_are_drawn_in_their_colours_at_their_place() -> None:
    panel = draw_explanation(explanation())
    left, zoom = 3 * (90 * TILE // 60 + 8), TILE / 60
    top = letter_sizes(4 * 90 * TILE // 60)[0] + 7
    assert panel.getpixel((left + int(45 * zoom), top + int(20 * zoom) + 1)) == GUESS_COLOUR
    assert panel.getpixel((left + int(45 * zoom), top + 1)) == TRUTH_COLOUR


def test_words_of_a_panel_grow_with_it() -> None:
    """Wide panels are shown smaller: their words stay legible."""
    narrow, wide = letter_sizes(4 * TILE), letter_sizes(4 * TILE * 4 // 3)
    for sizes, width in ((narrow, 4 * TILE), (wide, 4 * TILE * 4 // 3)):
        assert min(sizes) * 560 / width >= 8  # pixels, two of them beside each other in the report
    assert letter_sizes(100_000)[0] < letter_sizes(100_000)[1] < 30


def test_titles_are_whole_above_narrow_pictures() -> None:
    """A column of a tall picture is as wide as its title."""
    titles = ("picture", "epoch 1", "epoch 2")
    strip, wide = (
        draw_strip([(title, np.zeros((112, width, 3), dtype=np.uint8)) for title in titles], "goose")
        for width in (10, 112)
    )
    ink = [(np.asarray(one.crop((0, 0, one.width, 18))) < 200).sum() for one in (strip, wide)]
    assert ink[0] == pytest.approx(ink[1], rel=0.05)


def test_a_class_model_tells_all_its_numbers_below_a_long_name() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    tiles = [draw_class_model(image, f"{name}\nS = 123.4   P = 0.99") for name in ("goose", "coonhound " * 9)]
    assert tiles[0].size == tiles[1].size == (TILE, TILE + 4 + 2 * 18)
    numbers = [np.asarray(tile.crop((0, TILE + 21, TILE, tile.height))) for tile in tiles]
    assert (numbers[0] == numbers[1]).all()
    assert tiles[0].info["caption"] == "goose, S = 123.4   P = 0.99"


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


def test_sheet_holds_all() -> None:
    tiles = [Image.new("RGB", (10 + i, 20), (i, 0, 0)) for i in range(5)]
    overview = sheet(tiles, 2)
    assert overview.size == (12 + 13 + 3 * 8, 3 * 28 + 8)
    assert overview.getpixel((8, 8 + 2 * 28)) == (4, 0, 0)


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


def test_captions_tell_no_score_of_minus_zero() -> None:
    assert scored(-0.02, 0.5) == "S = 0.0   P = 0.50"
    assert scored(-12.34, 0.999) == "S = -12.3   P = 1.00"


def test_a_box_that_is_wrong_does_not_look_right() -> None:
    assert [hundredths(iou) for iou in (0.4999, 0.5, 0.29, 1.0)] == ["0.49", "0.50", "0.29", "1.00"]


def test_traces_of_long_names_leave_room_for_the_panels() -> None:
    short, long = (np.asarray(draw_traces([(name, torch.zeros(3, 5))])) for name in ("a" * 24, "a" * 300))
    assert (short[:, :300] != long[:, :300]).mean() < 0.05


def test_names_that_the_font_lacks_are_no_warning() -> None:
    assert draw_traces([("\u65e5\u672c", torch.rand(3, 5))]).width == 1200


def test_a_caption_wider_than_its_strip_takes_two_lines() -> None:
    tile = np.zeros((64, 64, 3), np.uint8)
    one, four = (draw_strip([("epoch 1", tile)] * n, "cassette player   S = 21.3   P = 1.00") for n in (1, 4))
    assert one.info["caption"] == "cassette player, S = 21.3   P = 1.00"
    assert four.info["caption"] == "cassette player   S = 21.3   P = 1.00"
