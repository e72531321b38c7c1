from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from deepinside.attribution.crops import CropSaliency, ten_crops
from deepinside.attribution.inner_layer import InnerGraph
from deepinside.boxes import iou, mask_to_box, whole_box
from deepinside.errors import UserError
from deepinside.localisation import evidence as evidence_module
from deepinside.localisation.evidence import _large_parts, colour_odds, evidence, evidence_boxes, mass_box
from deepinside.localisation.locate import locate
from deepinside.localisation.looks import SIZES, look_around
from deepinside.localisation.presets import PRESETS, Evidence, Preset, find_preset
from deepinside.localisation.segment import cut_seeds, object_box, segment

NUMBERS = Evidence()


def bump(height: int, width: int, y: float, x: float, sigma: float) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.asarray(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)))


def test_evidence_by_hand() -> None:
    raw = np.random.default_rng(0).random((6, 8))
    found = evidence(raw, np.ones((6, 8)), replace(NUMBERS, blur=0.0))
    prior = np.empty((6, 8))
    for y, x in np.ndindex(6, 8):
        r2 = ((y + 0.5) / 6 - 0.5) ** 2 + ((x + 0.5) / 8 - 0.5) ** 2
        prior[y, x] = 0.6 + 0.4 * np.exp(-10 * r2)
    expected = prior * raw**2.25
    assert found == pytest.approx(expected / expected.mean())
    assert evidence(np.ones((6, 8)), np.ones((6, 8)), replace(NUMBERS, rim=1.0)) == pytest.approx(np.ones((6, 8)))


def test_weights_of_the_preset_are_those_that_its_results_were_measured_with() -> None:
    assert (NUMBERS.confidence, NUMBERS.mass_share, NUMBERS.calibration) == (0.2, 0.25, 1.1)
    assert (NUMBERS.spacing, NUMBERS.further_levels) == (0.1875, (2.5, 5.0, 1.5))


def test_uncovered_cells_are_neutral() -> None:
    weight = np.ones((6, 8))
    weight[:, :3] = 0
    raw = np.random.default_rng(0).random((6, 8)) * weight
    found = evidence(raw, weight, NUMBERS)
    assert (found[:, :3] == 1).all()
    assert found[:, 3:].mean() == pytest.approx(1)


def test_a_flat_map_stays_flat_up_to_the_edge_of_the_coverage() -> None:
    weight = np.ones((12, 16))
    weight[:, :5] = 0
    assert evidence(weight, weight, replace(NUMBERS, rim=1.0)) == pytest.approx(np.ones((12, 16)))


def test_the_blur_is_in_cells_of_a_grid_of_that_short_side() -> None:
    raw = np.random.default_rng(0).random((8, 32))
    found = evidence(raw, np.ones((8, 32)), replace(NUMBERS, grid=16, blur=2.0, rim=1.0, power=1.0))
    expected = gaussian_filter(raw, 1.0)
    assert found == pytest.approx(expected / expected.mean())


def test_mass_box_of_a_flat_map_leaves_out_its_share_on_each_side() -> None:
    assert mass_box(np.ones((20, 40)), NUMBERS).tolist() == pytest.approx([2, 1, 38, 19])
    inside = np.zeros((20, 40))
    inside[5:15, 10:30] = 3.0
    assert mass_box(inside, replace(NUMBERS, mass_tail=0.1)).tolist() == pytest.approx([12, 6, 28, 14])


def test_colour_odds_by_hand() -> None:
    image = np.zeros((4, 5, 3))
    image[:, 3:] = 0.9
    found = np.zeros((4, 5))
    found[:, 3:] = 2.0
    odds = colour_odds(image, found, np.ones((4, 5), dtype=bool), replace(NUMBERS, foreground_samples=0.7))
    assert (odds[:, 3:] > 3).all()
    assert (odds[:, :3] < -3).all()
    assert np.abs(odds).max() <= NUMBERS.colour_clip
    same = colour_odds(np.full((4, 5, 3), 0.4), found, np.ones((4, 5), dtype=bool), NUMBERS)
    assert same == pytest.approx(np.zeros((4, 5)))


def test_colours_of_uncovered_cells_do_not_count() -> None:
    generator = np.random.default_rng(0)
    image, found = generator.random((12, 20, 3)), generator.random((12, 20))
    found[:6, :8], found[6:, :8] = 9.0, 0.0  # they would be the samples of both
    inside = np.ones((12, 20), dtype=bool)
    inside[:, :8] = False
    odds, alone = (
        colour_odds(image, found, inside, NUMBERS),
        colour_odds(image[:, 8:], found[:, 8:], inside[:, 8:], NUMBERS),
    )
    assert odds[:, 8:] == pytest.approx(alone)


def test_parts_touch_at_corners_too_and_no_part_at_all_is_everything() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    assert _large_parts(mask, 1.0).all()
    mask[0, 0] = mask[1, 1] = mask[2, 2] = mask[4, 4] = mask[4, 5] = True
    assert np.argwhere(_large_parts(mask, 1.0)).tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize("size", [(180, 240), (50, 70)])
def test_finds_a_blob_and_keeps_a_second_one_of_half_its_area(size: tuple[int, int]) -> None:
    height, width = size
    blob = bump(height, width, 0.5 * height, 0.35 * width, 0.12 * height)
    grey = torch.full((3, *size), 0.5)
    mask, box = object_box(grey, torch.from_numpy(blob), "best")
    centre = (box[:2] + box[2:]) / 2
    assert centre.tolist() == pytest.approx([0.35 * width, 0.5 * height], abs=0.03 * height)
    assert mask[int(0.5 * height), int(0.35 * width)]
    both = blob + bump(height, width, 0.5 * height, 0.8 * width, 0.10 * height)
    numbers = {"power": 1.0, "mass_share": 0.0}
    two = object_box(grey, torch.from_numpy(both), "best", **numbers)
    one = object_box(grey, torch.from_numpy(both), "best", components=1.0, **numbers)
    assert two[1][2] > 0.75 * width > 0.6 * width > one[1][2]
    assert (two[0] | one[0]).equal(two[0])


def speckled() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """A picture (120, 160, 3), two maps of it with two bumps each, nearly alike, and what is covered of it."""
    pixels = np.random.default_rng(0).random((12, 16, 3)).repeat(10, 0).repeat(10, 1)
    maps = [
        bump(120, 160, *first, 20) + 0.9 * bump(120, 160, *second, 18)
        for first, second in (((60, 50), (40, 120)), ((70, 110), (80, 20)))
    ]
    covered = np.ones((120, 160), dtype=bool)
    covered[:, 150:] = False
    return pixels, np.stack(maps), covered


def test_the_box_is_the_mean_of_the_outline_and_the_mass_box() -> None:
    outline, mass, box = (evidence_boxes(*speckled(), replace(NUMBERS, mass_share=share))[1] for share in (0, 1, 0.25))
    assert (outline - mass).abs().min() > 0.01
    torch.testing.assert_close(box, 0.75 * outline + 0.25 * mass)


def test_a_further_box_is_round_the_largest_part_at_its_level() -> None:
    pixels, maps, covered = speckled()
    masks, boxes = evidence_boxes(pixels, maps, covered, NUMBERS, [4, 3])
    plain = evidence_boxes(pixels, maps, covered, NUMBERS)
    alone = [
        evidence_boxes(pixels, maps, covered, replace(NUMBERS, level=level, components=1.0, mass_share=0.0))[1]
        for level in NUMBERS.further_levels
    ]
    first, second = (torch.stack([boxes[k] for boxes in (plain[1], *alone)]) for k in (0, 1))
    assert len(first.unique(dim=0)) == len(second.unique(dim=0)) == 4
    assert torch.equal(boxes, torch.cat([first, second[:3]]))
    assert torch.equal(masks, plain[0])
    constant = evidence_boxes(pixels, np.ones_like(maps), covered, NUMBERS, [2, 1])[1]
    assert torch.equal(constant, whole_box((120, 160)).expand(3, 4))
    for counts in ([0, 1], [1, 5]):
        with pytest.raises(ValueError, match=r"each map has 1 to 4 boxes, not \["):
            evidence_boxes(pixels, maps, covered, NUMBERS, counts)


def test_the_boxes_of_a_class_share_its_evidence_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Counter[str]()

    def counted(name: str) -> None:
        whole = getattr(evidence_module, name)

        def call(*arguments: object) -> object:
            calls[name] += 1
            return whole(*arguments)

        monkeypatch.setattr(evidence_module, name, call)

    for name in ("evidence", "colour_odds", "contrast_weights", "min_cut"):
        counted(name)
    evidence_boxes(*speckled(), NUMBERS, [4, 3])
    assert calls == {"evidence": 2, "colour_odds": 2, "contrast_weights": 1, "min_cut": 7}


def test_weak_colours_and_contrast_move_the_outline_to_the_edge() -> None:
    image = torch.full((3, 128, 128), 0.3)
    image[:, 32:96, 32:96] = torch.tensor([0.9, 0.5, 0.1])[:, None, None]
    saliency = torch.from_numpy(bump(128, 128, 64, 64, 40))
    truth = torch.zeros(128, 128, dtype=torch.bool)
    truth[32:96, 32:96] = True
    cut, alone = (
        segment(image, saliency, "best", strength=s, colour_weight=c, power=1.0) for s, c in ((0.7, 0.1), (0.0, 0.0))
    )
    score = [float((mask & truth).sum() / (mask | truth).sum()) for mask in (cut, alone)]
    assert score[0] > score[1] + 0.05
    assert score[0] > 0.85


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_map_gives_the_whole_picture(value: float) -> None:
    mask, box = object_box(torch.rand(3, 40, 70), torch.full((40, 70), value), "best")
    assert mask.all()
    assert box.tolist() == whole_box((40, 70)).tolist()


def test_a_picture_smaller_than_the_grid_is_cut_pixel_by_pixel() -> None:
    mask, box = object_box(
        torch.full((3, 20, 30), 0.5), torch.from_numpy(bump(20, 30, 9, 17, 4)), "best", mass_share=0.0
    )
    assert not mask.all()
    assert torch.equal(box, mask_to_box(mask))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 400), (400, 1), (2, 3), (70, 1000)])
@pytest.mark.parametrize("grey", [False, True])
def test_tiny_long_and_grey_pictures(size: tuple[int, int], grey: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    image, saliency = torch.rand(3, *size, generator=generator), torch.rand(size, generator=generator)
    mask, box = object_box(image[:1].expand(3, -1, -1) if grey else image, saliency, "best")
    assert mask.any()
    assert 0 <= box[0] < box[2] <= size[1]
    assert 0 <= box[1] < box[3] <= size[0]


def test_what_lies_outside_the_coverage_does_not_count() -> None:
    generator = torch.Generator().manual_seed(2)
    image, saliency = torch.rand(3, 60, 90, generator=generator), torch.from_numpy(bump(60, 90, 30, 50, 9))
    coverage = torch.zeros(60, 90, dtype=torch.bool)
    coverage[:, 15:75] = True
    expected = object_box(image, saliency, "best", coverage)
    nonsense = torch.where(coverage, saliency, 9 * torch.rand(60, 90, generator=generator).double())
    found = object_box(image, nonsense, "best", coverage)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    mass = object_box(image, 1 + 0.1 * saliency, "best", coverage, mass_share=1.0)[1]
    assert 15 < mass[0] < mass[2] < 75
    constant = torch.where(coverage, 0.3, nonsense)
    assert object_box(image, constant, "best", coverage)[0].all()


@pytest.mark.parametrize(
    "override", [{"rim": 1.5}, {"spacing": 0.4}, {"grid": 0}, {"background_samples": 0.99}, {"mass_tail": 0.5}]
)
def test_bad_numbers_are_refused(override: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(override))):
        find_preset("best", **override)
    with pytest.raises(UserError, match="'best' has no number 'foreground_seeds'"):
        find_preset("best", foreground_seeds=0.9)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"further_levels": (2.5, 0.0, 1.5)}, r"further_levels must be > 0, not \(2\.5, 0\.0, 1\.5\)"),
        ({"gains": (0.7, 0.1)}, r"gains must be one more than further_levels \(2\.5, 5\.0, 1\.5\), not \(0\.7, 0\.1\)"),
        ({"gains": (0.7, 0.1, 0.05, 0.02, 0.01)}, "gains must be one more than further_levels"),
        ({"gains": (0.7, 0.1, 0.1, 0.05)}, "gains must fall and be > 0"),
        ({"gains": (0.7, 0.1, 0.05, 0.0)}, "gains must fall and be > 0"),
    ],
)
def test_bad_further_boxes_are_refused(override: dict[str, tuple[float, ...]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        replace(NUMBERS, **override)


class Reds(nn.Module):
    """Class 0 sees red, class 1 green, by strided smoothing; a pooled head for any size, or a full layer for one."""

    def __init__(self, side: int | None = None) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
        with torch.no_grad():
            self.features[1].weight[:, :, 0, 0] = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0]])
            self.features[1].bias[:] = -0.1
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        if self.side and images.shape[-1] != self.side:
            raise RuntimeError("shapes cannot be multiplied")
        found = self.features(images).square()
        return found.sum((2, 3))


def patch(height: int, width: int) -> tuple[Tensor, Tensor]:
    frame = torch.zeros(3, height, width, dtype=torch.uint8)
    frame[0, 96:160, 128:224] = 255
    return frame, torch.tensor([128.0, 96.0, 224.0, 160.0])


@pytest.mark.parametrize("preset", ["paper", "best"])
def test_a_picture_of_bytes_and_the_same_in_the_unit_range_are_one(preset: str) -> None:
    """Crops may come from a generator."""
    frame, crops = patch(240, 256)[0], ten_crops(240, 256, 224)
    of_bytes = locate(Reds(), frame, crops, 0, preset=preset)
    in_unit = locate(Reds(), frame.double() / 255, (crop for crop in crops), 0, preset=preset)
    assert torch.equal(of_bytes.posteriors, in_unit.posteriors)
    assert torch.equal(of_bytes.boxes, in_unit.boxes)
    assert torch.equal(of_bytes.mask, in_unit.mask)


def test_the_mask_and_the_map_are_the_own_classes_and_hold_no_more_memory_than_their_own() -> None:
    frame, crops = patch(256, 320)[0], ten_crops(256, 320, 224)
    frame[1, 32:64, 32:64] = 255  # something of class 1
    first, own = (locate(Reds(), frame, crops, label, guesses=2) for label in (0, 1))
    assert own.classes.tolist() == [0, 1]
    assert torch.equal(own.mask, object_box(frame, own.saliency)[0])
    assert not torch.equal(own.mask, first.mask)
    assert own.saliency.untyped_storage().nbytes() == 4 * own.saliency.numel()
    assert own.mask.untyped_storage().nbytes() == own.mask.numel()


def test_the_first_class_has_its_own_map_where_it_is_guessed_last() -> None:
    """Red and green exchanged, class 0 sees what class 1 saw."""
    frame, crops = patch(256, 320)[0], ten_crops(256, 320, 224)
    frame[1, 32:64, 32:64] = 255
    exchanged = frame[[1, 0, 2]]
    found, expected = locate(Reds(), exchanged, crops, 0, guesses=2), locate(Reds(), frame, crops, 1, guesses=2)
    assert found.classes.tolist() == [1, 0]
    torch.testing.assert_close(found.saliency, expected.saliency)
    assert torch.equal(found.box, found.boxes[1])
    assert torch.equal(found.mask, object_box(exchanged, found.saliency)[0])


def test_cuts_heed_the_coverage_and_the_seeds_that_are_told_the_blur_too() -> None:
    class Ramp(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images * ramp).sum((2, 3))

    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.1, 1, 224) * (0.5 + torch.rand(224, 224, generator=generator))
    frame = torch.rand(3, 16, 20, generator=generator).repeat_interleave(16, 1).repeat_interleave(16, 2)
    covered = torch.zeros(256, 320, dtype=torch.bool)
    covered[:224, :224] = True
    for blur in (0.0, 3.0):
        found = locate(Ramp(), frame, ten_crops(256, 320, 224)[:1], 0, guesses=1, preset="paper", blur=blur)
        assert found.seeds is not None
        assert not torch.equal(object_box(frame, found.saliency, "paper", blur=blur)[0], found.mask)
        assert torch.equal(object_box(frame, found.saliency, "paper", covered, blur=blur)[0], found.mask)
        assert torch.equal(cut_seeds(found.saliency, covered, Preset(blur=blur)), found.seeds)
        assert not torch.equal(cut_seeds(found.saliency, covered, Preset(blur=3.0 - blur)), found.seeds)


@pytest.mark.parametrize("side", [None, 224])
def test_a_patch_is_found_with_nets_of_any_and_of_one_size(side: int | None) -> None:
    frame, truth = patch(256, 320)
    found = locate(Reds(side), frame, ten_crops(256, 320, 224), 0, preset="best", guesses=2)
    assert found.classes.tolist() == [0, 1]
    assert torch.equal(found.boxes[0], found.box)
    assert iou(found.box[None], truth[None]).item() > 0.5
    assert found.saliency.shape == found.mask.shape == (256, 320)
    assert found.mask[128, 176]


def looked(model: nn.Module, frame: Tensor, label: int = 0, **numbers: float) -> CropSaliency:
    """The maps of class `label` in a picture (3, H, W) in [0, 1]."""
    crops = ten_crops(*frame.shape[1:], 224)
    return look_around(model, frame, crops, lambda scores: torch.tensor([label]), replace(NUMBERS, **numbers))


def test_the_frame_alone_is_the_posterior_times_the_gradients_of_two_layers() -> None:
    frame, model = patch(256, 320)[0].float() / 255, Reds()
    expected = []
    for picture in (frame, frame.flip(-1)):
        planes = []
        for depth in (3, 4):  # strides 8 and 16
            inner = model.features[:depth](picture[None]).detach().requires_grad_()
            score = model.features[depth:](inner).square().sum((2, 3))[0, 0]
            map_ = torch.autograd.grad(score, inner)[0].square().sum(1, keepdim=True).sqrt()
            planes.append(functional.interpolate(map_ / map_.mean(), (32, 40), mode="bilinear"))
        seen = model(picture[None]).softmax(1)[0, 0] ** 2 * (planes[0] + planes[1]) / 2
        expected.append(functional.interpolate(seen, (256, 320), mode="bilinear")[0, 0].detach())
    found = looked(model, frame, spacing=0.0, confidence=2.0).maps[0]
    assert torch.allclose(found, (expected[0] + expected[1].flip(-1)) / 2, atol=1e-4)


@pytest.mark.parametrize(("side", "strides"), [(224, [8, 16]), (64, [64 / 28, 64 / 14])])
def test_the_layers_go_with_the_size_of_the_nets_pictures(
    side: int, strides: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(bare: nn.Module, pictures: Tensor, strides: list[float], channels_last: bool) -> InnerGraph:
        asked.append(strides)
        return InnerGraph(bare, pictures, (8, 16), channels_last)

    asked: list[list[float]] = []
    monkeypatch.setattr("deepinside.localisation.looks.InnerGraph", seen)
    look_around(Reds(), torch.rand(3, 256, 320), ten_crops(256, 320, side), lambda scores: torch.tensor([0]), NUMBERS)
    assert asked
    assert all(one == pytest.approx(strides) for one in asked)


class Unsure(nn.Module):
    """Class 0 is seen where red is, with the same posterior whatever the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 1, 1, bias=False))
        with torch.no_grad():
            self.features[1].weight[:] = 1.0

    def forward(self, images: Tensor) -> Tensor:
        score = self.features(images).sum((2, 3))
        return torch.cat([score, score], 1)


@pytest.mark.parametrize("confidence", [1.0, 0.2])
def test_windows_cover_the_picture_evenly_where_nothing_is_to_be_told(confidence: float) -> None:
    """A linear net's gradient is the same everywhere: then every look is flat, and so is their sum."""
    frame = torch.rand(3, 256, 320, generator=torch.Generator().manual_seed(0))
    found = looked(Unsure(), frame, confidence=confidence).maps[0]
    shares = [(256 * 320) ** 0.5 / round(size * 256) for size in SIZES]
    assert torch.allclose(found, torch.full_like(found, 0.5**confidence * (1 + sum(shares) / 3)))


def test_windows_that_show_another_class_weigh_little() -> None:
    """Green moves the score of class 0 too, but a window with nothing but green is class 1's."""
    model = Reds()
    with torch.no_grad():
        model.features[1].weight[:, :, 0, 0] = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 0.0]])
    frame = torch.zeros(3, 256, 256)
    frame[0, 32:96, 32:96] = 1.0
    frame[1, 160:224, 160:224] = 1.0
    share = []
    for spacing in (0.0, 0.1875):
        map_ = looked(model, frame, spacing=spacing).maps[0]
        share.append(float(map_[160:224, 160:224].sum() / map_[32:96, 32:96].sum()))
    assert share[0] > 0.4
    assert share[1] < 0.5 * share[0]


def test_a_class_that_no_look_believes_in_still_has_a_map() -> None:
    """Its posterior is below what float32 holds."""
    model, frame = Reds(), patch(256, 320)[0].float() / 255
    with torch.no_grad():
        model.features[1].weight[0] *= 3.0
        model.features[1].weight[1, 0] = 0.2
    scores = model(frame[None])[0]
    assert scores[0] - scores[1] > 110
    assert scores.softmax(0)[1] == 0
    assert looked(model, frame, 1).maps.max() > 0


def test_windows_are_shown_in_the_unit_range() -> None:
    """Bicubic interpolation overshoots at edges."""

    class Watched(Unsure):
        def forward(self, images: Tensor) -> Tensor:
            extremes.append(images.detach().aminmax())
            return super().forward(images)

    extremes: list[tuple[Tensor, Tensor]] = []
    frame = (torch.arange(256 * 320).view(256, 320) // 40 % 2).float().expand(3, -1, -1)
    looked(Watched(), frame)
    assert min(low for low, _ in extremes) == 0
    assert max(high for _, high in extremes) == 1


class Square(Reds):
    error: type[Exception] = AssertionError

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != (224, 224):
            raise self.error("wrong size")
        return super().forward(images)


@pytest.mark.parametrize("error", [AssertionError, ValueError])
def test_a_net_that_refuses_other_sizes_sees_the_frame_as_a_square(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Square, "error", error)
    frame, truth = patch(256, 320)
    found = locate(Square(), frame, ten_crops(256, 320, 224), 0, preset="best", guesses=1)
    assert iou(found.box[None], truth[None]).item() > 0.5


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        UserError("no such map"),
    ],
)
def test_what_else_is_wrong_is_not_taken_for_a_net_of_one_size(error: Exception) -> None:
    class Large(Reds):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] > 224:
                raise error
            return super().forward(images)

    with pytest.raises(type(error)) as raised:
        locate(Large(), patch(256, 320)[0], ten_crops(256, 320, 224), 0, preset="best", guesses=1)
    assert raised.value is error


@pytest.mark.parametrize("size", [(224, 224), (224, 700), (300, 226)])
def test_looks_leave_the_net_as_it_was_and_give_finite_maps(size: tuple[int, int]) -> None:
    model = Reds().train()
    frame = torch.zeros(3, *size)
    frame[0, 96:160, 96:200] = 1.0
    for label in (0, 1):  # nothing of class 1 is in it
        found = looked(model, frame, label)
        assert found.maps.isfinite().all()
        assert (found.maps >= 0).all()
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_class_may_come_several_times_with_a_box_of_its_own_each_time() -> None:
    frame, _ = patch(256, 320)
    crops = ten_crops(256, 320, 224)
    plain = locate(Reds(), frame, crops, preset="best")
    found = locate(Reds(), frame, crops, preset="best", repeat_classes=True)
    assert plain.classes.tolist() == [0, 1]
    assert found.classes.tolist() == [0, 0, 0, 0, 1]
    assert torch.equal(found.boxes[[0, 4]], plain.boxes)
    assert torch.equal(found.posteriors, plain.posteriors[found.classes])
    pixels, maps = frame.permute(1, 2, 0).numpy() / 255, plain.saliency[None].double().numpy()
    expected = evidence_boxes(pixels, maps, np.ones((256, 320), dtype=bool), NUMBERS, [4])[1]
    assert torch.equal(found.boxes[:4], expected)
    assert len(found.boxes[:3].unique(dim=0)) == 3
    assert torch.equal(found.mask, plain.mask)
    assert torch.equal(found.box, plain.box)


def test_calibration_tells_how_sure_the_posteriors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, crops = patch(256, 320)[0], ten_crops(256, 320, 224)
    monkeypatch.setitem(PRESETS, "best", replace(NUMBERS, calibration=0.001, spacing=0))
    found = locate(Reds(), frame, crops, preset="best", repeat_classes=True)
    assert found.classes.tolist() == [0, 1, 0, 1, 0]
    assert torch.equal(found.posteriors, locate(Reds(), frame, crops, preset="best").posteriors[found.classes])


def test_nothing_is_explained_or_cut_that_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(pixels: object, maps: NDArray[np.float64], covered: object, numbers: object, counts: list[int]) -> object:
        asked.append((len(maps), counts))
        return evidence_boxes(pixels, maps, covered, numbers, counts)  # type: ignore[arg-type]

    asked: list[tuple[int, list[int]]] = []
    monkeypatch.setattr("deepinside.localisation.locate.evidence_boxes", seen)
    frame, crops = patch(256, 320)[0], ten_crops(256, 320, 224)
    for label, guesses in ((-1, 3), (0, 3), (1, 3), (1, 5), (1, 0)):
        found = locate(Reds(), frame, crops, label, preset="best", guesses=guesses, repeat_classes=True)
        assert len(found.classes) == len(found.posteriors) == len(found.boxes) == guesses
        known = locate(Reds(), frame, crops, max(0, label), preset="best", guesses=0)
        assert torch.equal(found.box, known.box)
    assert asked[::2] == [(1, [3]), (1, [3]), (2, [3, 1]), (2, [4, 1]), (1, [1])]


def test_what_cannot_be_located_is_refused() -> None:
    frame, crops = patch(256, 320)[0], ten_crops(256, 320, 224)
    with pytest.raises(UserError, match=r"localisation\.repeat_classes: preset 'vgg' has one box a class"):
        locate(Reds(), frame, crops, repeat_classes=True)
    with pytest.raises(ValueError, match="label must be a class index, -1 where it is unknown, not 'dog'"):
        locate(Reds(), frame, crops, "dog")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"model must be a torch\.nn\.Module, not 'Reds'"):
        locate(Reds, frame, crops, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="guesses must be a whole number >= 0, not -1"):
        locate(Reds(), frame, crops, 0, preset="best", guesses=-1)
    with pytest.raises(ValueError, match="guesses=0 finds the box of the picture's own class alone"):
        locate(Reds(), frame, crops, preset="best", guesses=0)
    with pytest.raises(ValueError, match=r"class indices must be int64 in 0\.\.1"):
        locate(Reds(), frame, crops, 7, preset="best", guesses=2)
    for wrong in (frame.float(), torch.full_like(frame, torch.nan, dtype=torch.float32), frame.long() // 255):
        with pytest.raises(ValueError, match=r"frame must be uint8, or finite and in \[0, 1\]"):
            locate(Reds(), wrong, crops)
    with pytest.raises(ValueError, match="frame must be a tensor, not list"):
        locate(Reds(), frame.tolist(), crops)
    for preset in ("paper", "best"):
        with pytest.raises(
            ValueError, match="the crop of side 224 at row 32, column 96 does not fit into a picture of 240x"
        ):
            locate(Reds(), frame[:, :240], [crops[3]], preset=preset)
    with pytest.raises(ValueError, match=r"frame must be \(3, H, W\), not \(1, 3, 256, 320\)"):
        locate(Reds(), frame[None], crops)
    with pytest.raises(UserError, match="blurs its own maps"):
        locate(Reds(), frame, crops, preset="best", blur=1.0)
