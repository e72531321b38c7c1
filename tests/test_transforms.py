"""Training jitter as the literature has it, and evaluation's geometry."""

import copy
import io
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from deepinside.attribution.crops import one_crop, ten_crops
from deepinside.config import DataConfig
from deepinside.data.chosen import ChosenPictures
from deepinside.data.picture import Picture
from deepinside.data.shapes import Shapes
from deepinside.data.transforms import (
    RGB_EIGENVALUES,
    RGB_EIGENVECTORS,
    ColourNoise,
    Contrast,
    centre_crop,
    resize_whole,
    training_transform,
)
from deepinside.data.views import EvaluationView, Shuffled, TrainingView, WholePicture, WholePictures, collate
from deepinside.models.convnet import Preprocessing

NUMBERS = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.2, 0.2), 70, 64)
PLAIN = DataConfig(colour_noise=0.0, erase=0.0)


def picture(height: int = 80, width: int = 100) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_plain_training_view_is_a_crop_of_the_resized_picture_or_its_mirror() -> None:
    torch.manual_seed(0)
    whole = resize_whole(picture(), 70).float() / 255
    for _ in range(5):
        crop = training_transform(PLAIN, NUMBERS)(picture())
        places = [
            (top, left, mirrored)
            for mirrored in (False, True)
            for top in range(whole.shape[1] - 63)
            for left in range(whole.shape[2] - 63)
            if torch.allclose(
                crop.flip(-1) if mirrored else crop, whole[:, top : top + 64, left : left + 64], atol=1e-6
            )
        ]
        assert len(places) == 1


def test_what_is_drawn_is_a_function_of_seed_epoch_and_place() -> None:
    """Three times the same picture; what is drawn later is as if nothing had been."""
    source = ChosenPictures(Shapes("train", 0, 1), [0, 0, 0])
    views = [TrainingView(source, PLAIN, NUMBERS, list(range(10)), seed) for seed in (0, 1)]
    state = torch.get_rng_state()
    drawn = [views[seed][epoch, i]["image"] for seed in (0, 1) for epoch in (0, 1) for i in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert len(torch.stack(drawn).unique(dim=0)) == 12
    assert torch.equal(views[1][1, 2]["image"], drawn[-1])
    assert torch.equal(views[0][2]["image"], drawn[2])  # epoch 0
    order = Shuffled(views[0], 1, 0, seed=0)
    order.set_epoch(3)
    assert sorted(order) == [(3, 0), (3, 1), (3, 2)]


def test_a_picture_of_unknown_class_has_no_label_of_the_nets() -> None:
    class Unlabelled(ChosenPictures):
        def read(self, i: int) -> Picture:
            return replace(super().read(i), label=-1)

    item = EvaluationView(Unlabelled(Shapes("val", 0, 1), [0]), NUMBERS, list(range(10)))[0]
    assert item["label"] == item["picture"].label == -1


def test_half_of_the_training_pictures_are_mirrored() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(100, dtype=torch.uint8).expand(3, 80, 100)
    crops = [training_transform(PLAIN, NUMBERS)(ramp) for _ in range(40)]
    mirrored = sum(bool(crop[0, 0, 0] > crop[0, 0, -1]) for crop in crops)
    assert 10 < mirrored < 30


def test_noise_comes_without_contrast_too() -> None:
    torch.manual_seed(0)
    grey = torch.full((3, 70, 70), 128, dtype=torch.uint8)
    assert training_transform(PLAIN, NUMBERS)(grey).std() == 0
    assert training_transform(replace(PLAIN, noise=0.2), NUMBERS)(grey).std() > 0


def test_zeroed_out_parts_have_the_mean_colour() -> None:
    torch.manual_seed(0)
    transform = training_transform(DataConfig(colour_noise=0.0, erase=1.0), NUMBERS)
    mean = torch.tensor(NUMBERS.mean).view(3, 1, 1)
    shares = [float((transform(picture()) == mean).all(0).float().mean()) for _ in range(20)]
    assert min(shares) > 0.01
    assert max(shares) < 0.22


def test_colour_noise_has_the_published_covariance() -> None:
    """One shift a picture, the same for all pixels, with covariance sigma^2 P diag(lambda^2) P'."""
    torch.manual_seed(0)
    noise = ColourNoise(0.1)
    shifted = noise(torch.zeros(3, 4, 4))
    assert torch.equal(shifted, shifted[:, :1, :1].expand(3, 4, 4))
    draws = torch.stack([noise(torch.zeros(3, 1, 1))[:, 0, 0] for _ in range(4000)]).double()
    vectors, values = torch.tensor(RGB_EIGENVECTORS).double(), torch.tensor(RGB_EIGENVALUES).double()
    expected = 0.01 * vectors @ torch.diag(values**2) @ vectors.T
    torch.testing.assert_close(draws.T.cov(), expected, rtol=0.1, atol=2e-6)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(3).double(), rtol=0, atol=1e-3)


def test_contrast_scales_round_the_mean() -> None:
    torch.manual_seed(0)
    mean = torch.tensor(NUMBERS.mean).view(3, 1, 1)
    image = mean + torch.randn(3, 8, 8)
    factors = []
    for _ in range(50):
        ratio = (Contrast([0.25, 1.2], 0.0, NUMBERS.mean)(image) - mean) / (image - mean)
        factors.append(float(ratio.mean()))
        torch.testing.assert_close(ratio, torch.full_like(ratio, factors[-1]), rtol=1e-2, atol=1e-2)
    assert 0.25 <= min(factors) < 0.35
    assert 1.1 < max(factors) <= 1.2


def test_noise_stays_below_its_sigma() -> None:
    torch.manual_seed(0)
    noisy = Contrast([1.0, 1.0], 0.3, NUMBERS.mean)
    sigmas = [float((noisy(torch.zeros(3, 64, 64))).std()) for _ in range(20)]
    assert max(sigmas) < 0.31
    assert max(sigmas) > 3 * min(sigmas)


@pytest.mark.parametrize(("size", "expected"), [((80, 100), (70, 87)), ((100, 80), (87, 70)), ((70, 90), (70, 90))])
def test_whole_pictures_keep_their_aspect(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert tuple(resize_whole(picture(*size), 70).shape[1:]) == expected


def test_centre_crop_is_central() -> None:
    image = picture(70, 90)
    assert torch.equal(centre_crop(image, 64), image[:, 3:67, 13:77])


@pytest.mark.parametrize("width", [64, 65, 66, 67, 71])
def test_centre_crop_is_the_centre_one_of_ten(width: int) -> None:
    image = torch.rand(3, 67, width)
    [one] = one_crop(67, width, 64)
    assert torch.equal(centre_crop(image, 64), one.take(image))
    assert one == ten_crops(67, width, 64)[4]


def test_the_pictures_of_a_batch_go_to_another_process_as_two_tensors() -> None:
    """Each tensor on its way is an open file: with 128 pictures a batch and eight loading processes, more than the
    1024 that most systems allow. What arrives is the same, each with memory of its own."""
    sent = WholePictures(
        WholePicture(picture(20, 30 + i), i, torch.rand(i, 4), (40, 60 + 2 * i), f"goose{i}", 7 + i) for i in range(3)
    )
    tensors: list[Tensor] = []

    class Counting(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            tensors.extend([obj] if isinstance(obj, Tensor) else [])
            return NotImplemented

    data = io.BytesIO()
    Counting(data).dump(sent)
    assert len(tensors) == 2
    arrived = pickle.loads(data.getvalue())
    for one, other in zip(sent, arrived, strict=True):
        assert torch.equal(one.frame, other.frame)
        assert torch.equal(one.boxes, other.boxes)
        assert replace(one, frame=other.frame, boxes=other.boxes) == other
        assert other.frame.untyped_storage().nbytes() == other.frame.nbytes
    assert copy.copy(sent)[0] is sent[0]
    assert isinstance(copy.copy(sent), WholePictures)
    assert pickle.loads(pickle.dumps(WholePictures())) == WholePictures()
    item = {"image": picture(), "label": 0, "picture": sent[0], "unreadable": None}
    assert isinstance(collate([item])["pictures"], WholePictures)
