"""The drawn shapes: reproducible to the bit, exactly boxed, and not to be had by a trivial box."""

import hashlib
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from deepinside.config import DataConfig
from deepinside.data.shapes import SHAPES, SIDE, Shapes, draw_shapes
from deepinside.data.source import open_split
from deepinside.errors import UserError
from deepinside.models.shapes_convnet import shapes_convnet


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return draw_shapes(1, range(2000))


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]


def test_bits_are_pinned() -> None:
    images, _, boxes, masks = draw_shapes(7, [*range(10), 2**40])
    assert digest(images) == "d4f8996dd6140a28"
    assert digest(boxes) == "b22f870915f72a04"
    assert digest(masks) == "472dddf0aecfa04c"


def test_types_and_labels(drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    images, labels, boxes, masks = drawn
    assert (images.dtype, images.shape) == (torch.uint8, (2000, 3, SIDE, SIDE))
    assert (boxes.dtype, boxes.shape) == (torch.float32, (2000, 4))
    assert (masks.dtype, masks.shape) == (torch.bool, (2000, SIDE, SIDE))
    assert labels.tolist() == [i % len(SHAPES) for i in range(2000)]


def test_a_picture_does_not_depend_on_its_company(drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    chosen = [1999, 3, 3, 420, 57, 77, 21]
    for whole, part in zip(drawn, draw_shapes(1, chosen), strict=True):
        assert torch.equal(whole[chosen], part)


def test_no_two_pictures_are_alike(drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    others = draw_shapes(2, range(500))[0]
    assert len({image.numpy().tobytes() for image in (*drawn[0], *others)}) == 2500


def test_boxes_enclose_the_masks_and_are_half_open(drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    for box, mask in zip(*drawn[2:], strict=True):
        rows, columns = torch.where(mask)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == [float(edge) for edge in edges]


def test_objects_lie_wholly_in_the_picture(drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    """At most a corner or the tip of an arc reaches the outermost pixels."""
    border = torch.ones(SIDE, SIDE, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert (drawn[3] & border).sum((1, 2)).max() <= 4


def test_masks_are_where_the_object_is() -> None:
    """The object's colour is at least 0.45 from its background's: the outline shows as a jump of the pixels."""
    images, _, _, masks = draw_shapes(3, range(400))
    right = (images[..., 1:].float() - images[..., :-1].float()).square().sum(1).sqrt()
    outline = masks[..., 1:] ^ masks[..., :-1]
    assert right[outline].mean() > 3 * right[~outline].mean()


def test_disc_is_round() -> None:
    _, labels, boxes, masks = draw_shapes(5, range(1000))
    disc = labels == SHAPES.index("disc")
    width, height = (boxes[disc, 2:] - boxes[disc, :2]).unbind(1)
    assert (width - height).abs().max() <= 1
    area = masks[disc].sum((1, 2)) / (width * height)
    assert area.mean() == pytest.approx(torch.pi / 4, abs=0.01)


def test_no_trivial_box_does(drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    boxes = drawn[2]
    side = SIDE * torch.arange(0.3, 1.001, 0.01)[:, None]
    low, high = (SIDE - side) / 2, (SIDE + side) / 2
    shared = (torch.minimum(high[..., None], boxes[:, 2:]) - torch.maximum(low[..., None], boxes[:, :2])).clamp(min=0)
    both = shared.prod(2)
    iou = both / (side * side + (boxes[:, 2:] - boxes[:, :2]).prod(1) - both)
    right = (iou >= 0.5).float().mean(1)
    assert right[-1] < 0.10
    assert right.max() < 0.55


def test_data_set_reads_pictures() -> None:
    val = Shapes("val", 0, 23)
    images, labels, boxes, _ = draw_shapes(1, range(23))
    picture = val.read(12)
    assert len(val) == 23
    assert val.classes.names == SHAPES
    assert torch.equal(picture.image, images[12])
    assert torch.equal(picture.boxes, boxes[12:13])
    assert (picture.label, picture.name, picture.index) == (int(labels[12]), "shape_val_000012", 12)


def test_the_configuration_says_how_many_are_drawn() -> None:
    data = DataConfig(shapes_train=5, shapes_val=3)
    assert [len(open_split(data, split, 0)) for split in ("train", "val")] == [5, 3]
    assert [len(open_split(replace(data, limit=4), split, 0)) for split in ("train", "val")] == [4, 3]


def test_all_that_are_drawn_are_told() -> None:
    told: list[int] = []
    Shapes("val", 0, 23, told.append)
    assert sum(told) == 23


def test_splits_and_seeds_share_no_picture() -> None:
    sets = [Shapes(split, seed, 30) for split in ("train", "val") for seed in (0, 1)]
    assert len({image.numpy().tobytes() for s in sets for image in s.images}) == 120


def test_runs_of_several_seeds_are_measured_on_the_same_shapes() -> None:
    data = DataConfig(shapes_train=4, shapes_val=4)
    (train, val), (other_train, other_val) = (
        [open_split(data, split, seed).read(2).image for split in ("train", "val")] for seed in (0, 3)
    )
    assert torch.equal(val, other_val)
    assert not torch.equal(train, other_train)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test", 0, 5), "shapes have no split 'test'; valid: train, val"),
        (("val", -1, 5), "seed .* not -1"),
        (("val", 2**62, 5), "seed"),
        (("val", 0, 0), "at least 1 picture, not 0"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Shapes(*arguments)


def test_indices_are_checked() -> None:
    with pytest.raises(ValueError, match="indices"):
        draw_shapes(0, [-1])


def test_convnet_starts_undecided() -> None:
    """Output variance kept by the Kaiming weights, classes undecided by the small last layer."""
    torch.manual_seed(0)
    net = shapes_convnet()
    scores = net(torch.randn(8, 3, 64, 64))
    assert sum(p.numel() for p in net.parameters()) == 203_018
    assert scores.shape == (8, 10)
    assert 0.01 < net[:-1](torch.randn(8, 3, 64, 64)).std() < 5
    assert scores.abs().max() < 1
    assert shapes_convnet(3)(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
