"""MaxBoxAcc, the pointing game and the saliency's mass, on maps small enough to score by hand."""

import math

import pytest
import torch

from deepinside.boxes import centre_box
from deepinside.metrics import MaxBoxAccuracy, centre_hits, threshold_hits
from deepinside.metrics.pointing import highest_point, pixel_cover, points_at, saliency_mass

TRUTH = torch.tensor([[10.0, 10.0, 20.0, 20.0], [30.0, 30.0, 36.0, 40.0]])


def test_thresholds_by_hand() -> None:
    """A bright core in the first box, all of the box at half height, the picture at a tenth."""
    saliency = torch.full((40, 40), 0.1)
    saliency[10:20, 10:20] = 0.5
    saliency[10:15, 10:18] = 1.0
    saliency[0, 0] = 0.0  # the map's minimum: nothing is above threshold 0 here
    hits = threshold_hits(saliency, TRUTH)
    # The whole picture (0.06 IoU) up to 0.1, the box itself up to 0.5, then 40 of its 100 pixels (IoU 0.4).
    for row, expected in zip(hits, ((0.1, 0.5), (0.1, 1.0), (0.1, 0.5), (0.1, 0.5)), strict=True):
        right = [t for t in range(100) if row[t]]
        assert right == list(range(min(right), max(right) + 1))
        assert min(right) / 100 == pytest.approx(expected[0], abs=0.011)
        assert max(right) / 100 == pytest.approx(expected[1], abs=0.011)


def test_v2_takes_any_component_v1_the_largest() -> None:
    saliency = torch.zeros(40, 40)
    saliency[30:40, 30:36] = 1.0  # the second true box exactly: 60 pixels
    saliency[0:9, 0:9] = 1.0  # 81 pixels of nothing
    v1, *v2 = threshold_hits(saliency, TRUTH)
    assert not v1.any()
    assert all(row.all() for row in v2)
    saliency[0:9, 0:9] = 0.0
    assert threshold_hits(saliency, TRUTH)[0].all()


def test_thresholds_are_whole_levels_of_256_rounded_down() -> None:
    """At 0.50 of 255 the level is 127, at 0.51 it is 130."""
    saliency = torch.zeros(40, 40)
    saliency[10:20, 10:20], saliency[0, 0] = 128.5 / 255, 1.0
    assert threshold_hits(saliency, TRUTH)[0].nonzero()[:, 0].tolist() == list(range(51))


def test_maps_are_stretched_to_the_unit_range() -> None:
    saliency = torch.zeros(40, 40)
    saliency[10:20, 10:20], saliency[10:15, 10:18] = 0.5, 1.0
    assert torch.equal(threshold_hits(1 + saliency, TRUTH), threshold_hits(saliency, TRUTH))


def test_an_iou_of_exactly_one_half_is_a_hit() -> None:
    half = torch.zeros(40, 40)
    half[10:20, 10:15] = 1.0
    assert threshold_hits(half, TRUTH)[:, 50].tolist() == [True, True, True, False]
    assert centre_hits(torch.tensor([[25.0, 25.0, 75.0, 50.0]]), (100, 100))[:, 49].tolist() == [
        True,
        True,
        True,
        False,
    ]


def test_components_touch_at_corners() -> None:
    """8-connected, as contours are: two squares that meet at a corner are one box."""
    saliency = torch.zeros(40, 40)
    saliency[10:15, 10:15] = saliency[15:20, 15:20] = 1.0
    assert threshold_hits(saliency, TRUTH)[:, 50].tolist() == [True] * 4


def test_a_constant_map_has_no_boxes() -> None:
    assert not threshold_hits(torch.full((40, 40), 0.3), TRUTH).any()
    assert not threshold_hits(torch.zeros(40, 40), TRUTH).any()


def test_centred_boxes_of_every_size() -> None:
    truth = centre_box((50, 80), 0.6)[None]
    hits = centre_hits(truth, (50, 80))
    # IoU of centred boxes f and 0.6: (f / 0.6)^2 below, its inverse above.
    fractions = torch.arange(1, 101) / 100
    overlap = torch.minimum(fractions / 0.6, 0.6 / fractions) ** 2
    assert hits[0].tolist() == hits[2].tolist() == (overlap >= 0.5).tolist()
    assert hits[1].tolist() == (overlap >= 0.3).tolist()
    assert hits[3].tolist() == (overlap >= 0.7).tolist()


def test_the_best_threshold_is_the_sets_not_the_pictures() -> None:
    """Two pictures, right at threshold 20 and at threshold 80: each is right somewhere, half of them anywhere."""
    metric = MaxBoxAccuracy()
    for threshold in (20, 80):
        hits = torch.zeros(2, 4, 100, dtype=torch.bool)
        hits[0, :2, threshold] = True
        hits[1, 1:3, 40] = True
        metric.update(hits)
    found = metric.compute()
    assert found["method"] == {"max_box_acc": 0.5, "max_box_acc_v2": pytest.approx(0.5 / 3)}
    assert found["centre_box"] == {"max_box_acc": 0.0, "max_box_acc_v2": pytest.approx(2 / 3)}


def test_no_pictures_no_figure() -> None:
    with pytest.warns(UserWarning, match="before the"):
        assert math.isnan(MaxBoxAccuracy().compute()["method"]["max_box_acc"])


def test_highest_point_is_in_original_pixels() -> None:
    saliency = torch.zeros(10, 20)
    saliency[7, 3] = 1.0
    assert highest_point(saliency, (100, 400)) == (70.0, 75.0)


@pytest.mark.parametrize(
    ("point", "hit"),
    [
        ((15.0, 15.0), True),
        ((35.0, 15.0), True),  # 15 to the right
        ((35.5, 15.0), False),
        ((29.0, 32.0), True),  # (9, 12) beyond a corner: 15
        ((29.1, 32.0), False),
        ((50.0, 35.0), True),  # 14 beside the second box
    ],
)
def test_pointing_within_fifteen_pixels(point: tuple[float, float], hit: bool) -> None:
    second = TRUTH if point[0] == 50 else TRUTH[:1]
    assert points_at(point, second) is hit


def test_mass_counts_parts_of_pixels_and_overlaps_once() -> None:
    cover = pixel_cover(torch.tensor([[0.5, 0.0, 2.0, 1.0], [1.0, 0.0, 2.0, 2.0]]), (2, 3))
    assert cover.tolist() == [[0.5, 1, 0], [0, 1, 0]]
    assert pixel_cover(torch.tensor([[2.0, 2.0, 3.0, 3.0]]), (5, 6)).sum() == 1  # nothing beyond its corners
    assert saliency_mass(torch.tensor([[4.0, 1, 1], [2, 0, 0]]), cover) == pytest.approx(3 / 8)
    assert saliency_mass(torch.zeros(2, 3), cover) == pytest.approx(2.5 / 6)
