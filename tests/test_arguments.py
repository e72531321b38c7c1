"""What the notebook's functions are given: bad arguments are one line, and torch's global defaults change nothing."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepinside import (
    class_model_picture,
    crop_saliency,
    deconvnet,
    dense_crops,
    locate,
    object_box,
    optimise_class_models,
    saliency,
    segment,
    ten_crops,
)
from deepinside.attribution.crops import Crop
from deepinside.boxes import centre_box, scale_boxes, whole_box
from deepinside.class_model import preset
from deepinside.metrics.localisation import score_guesses, score_picture
from deepinside.metrics.max_box import centre_hits, threshold_hits

MEAN = (0.4, 0.5, 0.6)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(45, 6)),
    ).eval()


class Dictionary(nn.Module):
    """Gives its scores as other projects' nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, images: Tensor) -> Any:
        return {"logits": self.net(images)}


images, classes = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.tensor([[0, 1]] * 3)
picture, crops = images[0], ten_crops(32, 32, 24)
maps = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(2))
box = torch.tensor([[0.0, 0.0, 300.0, 300.0]])
ask = partial(saliency, net(), images, classes)
cut = partial(object_box, picture, maps)
find = partial(locate, net(), picture, crops)
grow = partial(optimise_class_models, net(), torch.tensor([0, 1]), (8, 8), MEAN, steps=1)
first = partial(torch.tensor, [0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ask(None), "method 'None' is unknown"),
        (lambda: ask(reduction=None), "reduction 'None' is unknown"),
        (lambda: ask(strategy=None), "strategy 'None' is unknown"),
        (lambda: ask("smoothgrad", noise=math.nan), "noise must be finite and >= 0, not nan"),
        (lambda: ask("smoothgrad", noise=math.inf), "noise must be finite and >= 0, not inf"),
        (lambda: ask("smoothgrad", noise=-0.1), "noise must be finite and >= 0, not -0.1"),
        (lambda: ask("smoothgrad", seed=1.5), "seed must be a whole number, not 1.5"),
        (lambda: ask("gradient_x_input", baseline=math.nan), "baseline must be a number, or finite"),
        (
            lambda: ask("integrated_gradients", baseline=torch.zeros(2, 1, 1)),
            r"broadcast .* not \(2, 1, 1\)",
        ),
        (lambda: ask("integrated_gradients", baseline=None), "baseline must be .* not NoneType"),
        (lambda: cut(None), "no localisation preset 'None'"),
        (lambda: cut(coverage=np.ones((32, 32), bool)), r"coverage must be bool \(32, 32\)"),
        (lambda: cut(components=2.5), "components must be a finite whole number, not 2.5"),
        (lambda: cut(components=True), "components must be a finite whole number, not True"),
        (lambda: cut("best", bins=7.5), "bins must be a finite whole number, not 7.5"),
        (lambda: cut(strength="a"), "strength must be a finite number, not 'a'"),
        (lambda: cut(foreground_samples=None), "foreground_samples must be a finite number, not None"),
        (lambda: cut(blur=math.inf), "blur must be a finite number, not inf"),
        (lambda: cut("best", further_levels=(2.5, "x", 1.5)), "further_levels must be a finite number, not 'x'"),
        (lambda: cut("best", uniform_weight=1.0001), r"uniform_weight must be in \(0, 1\), not 1.0001"),
        (lambda: cut("best", uniform_weight=0.0), r"uniform_weight must be in \(0, 1\), not 0.0"),
        (lambda: crop_saliency(net(), picture, crops, lambda _: first(), size=0), "size must be a whole number"),
        (lambda: crop_saliency(net(), picture, crops, lambda _: first(), size="32"), "size must be a whole number"),
        (lambda: crop_saliency(net(), picture, [Crop(0, 0, 0, False)], lambda _: first()), "crop of side 0 at row 0"),
        (
            lambda: crop_saliency(net(), picture, [Crop(0, 9, 24, False)], lambda _: first()),
            "side 24 at row 0, column 9",
        ),
        (lambda: crop_saliency(net(), picture, None, lambda _: first()), "crops must be Crops, at least one"),
        (lambda: dense_crops(100, 100, 20, 21), "stride must be at least 1 pixel and at most the windows' side, 20"),
        (lambda: find(guesses=2.5), "guesses must be a whole number >= 0, not 2.5"),
        (lambda: find(blur="a"), "blur must be a finite number, not 'a'"),
        (lambda: find(preset=None), "no localisation preset 'None'"),
        (lambda: locate(net(), picture, None), "crops must be Crops"),
        (lambda: locate(net(), picture, None, preset="best"), "crops must be Crops"),
        (lambda: locate(Dictionary(), picture, crops), r"must give class scores \(.*, classes\), it gave dict"),
        (lambda: locate(Dictionary(), picture, crops, preset="best"), r"class scores \(10, classes\), it gave dict"),
        (lambda: locate(nn.Conv2d(3, 4, 3), picture, crops, preset="best"), r"it gave \(10, 4, 22, 22\)"),
        (lambda: optimise_class_models(net(), first(), (True, 8), MEAN), "size must be .H, W., two whole numbers"),
        (lambda: optimise_class_models(net(), torch.tensor([True]), (8, 8), MEAN), r"int64 .*torch.bool \(1,\)"),
        (lambda: optimise_class_models(net(), first(), (8, 8), "abc"), "mean must be the 3 channel means"),
        (lambda: optimise_class_models(net(), first(), (8, 8), torch.zeros(3, 8, 8)), r"means, .* not \(3, 8, 8\)"),
        (lambda: grow(frames=2.5), "frames must be a whole number >= 0, got 2.5"),
        (lambda: grow(frames=None), "frames must be a whole number >= 0, got None"),
        (lambda: grow(ramp=None), "ramp is a share of the steps"),
        (lambda: grow(tolerance=None), "tolerance must be >= 0, got None"),
        (lambda: grow(seed=1.5), "seed must be a whole number, got 1.5"),
        (lambda: grow(start=np.zeros((2, 3, 8, 8))), r"start must be \(2, 3, h, w\), got ndarray"),
        (lambda: grow(start=torch.full((2, 3, 8, 8), torch.nan)), "start must be finite"),
        (lambda: preset("paper", foo=1), "no number foo; its numbers are parameterisation, decay"),
        (lambda: preset("paper", lam=math.nan), "lam must be a finite number, not nan"),
        (lambda: preset("paper", objective="foo"), "score 'foo' is unknown"),
        (lambda: class_model_picture(np.zeros((3, 8, 8)), MEAN), "image must be one finite picture"),
        (lambda: class_model_picture(torch.zeros(3, 0, 8), MEAN), "image must be one finite picture"),
        (lambda: class_model_picture(picture, (0.5, 0.5)), r"mean must be \(3,\) or the image's \(3, 32, 32\)"),
        (lambda: class_model_picture(picture, torch.full((3, 32, 32), 128.0)), r"in \[0, 1\]"),
        (lambda: class_model_picture(picture, torch.zeros(3, 8, 8)), r"not \(3, 8, 8\)"),
        (lambda: score_guesses(1, first(), box.half(), box), "boxes must be float32 or float64"),
        (lambda: scale_boxes(box.long(), (40, 50), (60, 75)), "boxes must be floating, not torch.int64"),
        (lambda: score_guesses(1, [1], box, box), "classes must be a tensor of class indices, not list"),
    ],
)
def test_a_bad_argument_is_one_line(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        call()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
@pytest.mark.parametrize("memory", [None, 1])
def test_baselines_of_all_kinds_are_the_same(method: str, memory: int | None) -> None:
    """In chunks (memory=1), too: of an array every chunk once saw all pictures."""
    base = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    expected = ask(method, baseline=base)
    for given in (base.numpy(), base.double(), base.clone().requires_grad_()):
        found = ask(method, baseline=given, memory=memory)
        assert not found.requires_grad
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)
    colour = ask(method, baseline=[[[0.1]], [[0.2]], [[0.3]]], memory=memory)
    torch.testing.assert_close(colour, ask(method, baseline=torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)))


def test_no_classes_are_no_maps() -> None:
    none = torch.empty(0, dtype=torch.int64)
    for method in ("gradient", "gradient_x_input", "smoothgrad"):
        found = crop_saliency(net(), picture, crops, lambda _: none, method)
        assert found.maps.shape == (0, 32, 32)
        assert found.scores.shape == (10, 6)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    size = (np.int64(8), np.int64(8))
    found = optimise_class_models(net(), torch.tensor([0, 1]), size, MEAN, steps=1, seed=np.int64(2))  # type: ignore[arg-type]
    assert torch.equal(found.images, grow(seed=2).images)
    assert torch.equal(ask("smoothgrad", seed=np.int64(2), samples=2), ask("smoothgrad", seed=2, samples=2))


def test_a_start_that_requires_a_gradient_is_a_start() -> None:
    start = torch.rand(2, 3, 8, 8)
    assert torch.equal(grow(start=start.clone().requires_grad_()).images, grow(start=start).images)


def test_true_boxes_may_be_whole_numbers() -> None:
    truth, guess = torch.tensor([[2, 3, 20, 25]]), torch.tensor([[2.0, 3.0, 20.0, 25.0]])
    found, expected = (
        score_picture(1, torch.tensor([1]), guess, guess[0], boxes, (32, 32), maps[0]) for boxes in (truth, guess)
    )
    assert found.rows is not None
    assert expected.rows is not None
    assert torch.equal(found.rows.nan_to_num(-1), expected.rows.nan_to_num(-1))


@contextmanager
def other_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("default", [lambda: torch.device("meta"), other_dtype])
def test_answers_do_not_depend_on_torchs_defaults(default: Callable[[], Any]) -> None:
    """`meta` stands for a GPU as the default device: what was made there and is used on the CPU is an error."""
    model, numbers, constant = net(), preset("natural", steps=2), torch.ones(32, 32)
    calls: dict[str, Callable[[], Any]] = {
        "segment": lambda: segment(picture, maps),
        "best": lambda: object_box(picture, maps, "best"),
        "constant": lambda: object_box(picture, constant, "best"),
        "locate": lambda: vars(locate(model, picture, crops, 1)),
        "windows": lambda: vars(locate(model, picture, crops, 1, preset="best", repeat_classes=True)),
        "smoothgrad": lambda: saliency(model, images, classes, "smoothgrad", samples=2),
        "integrated": lambda: saliency(model, images, classes, "integrated_gradients", steps=2),
        "deconvnet": lambda: deconvnet(model, images, classes[:, 0]),
        "class models": lambda: vars(optimise_class_models(model, classes[0], (16, 16), MEAN, **numbers)),
        "blurred": lambda: (
            optimise_class_models(
                model, classes[0], (16, 16), MEAN, **preset("paper", steps=2, blur=1.0, jitter=2)
            ).images
        ),
        "boxes": lambda: [centre_box((30, 40)), whole_box((30, 40))],
        "score": lambda: score_picture(1, classes[0], box.expand(2, 4), box[0], box, (300, 400), maps[0]).rows,
        "thresholds": lambda: [threshold_hits(maps[0], box / 20), centre_hits(box, (300, 400))],
    }
    for name, call in calls.items():
        expected = tensors(call())
        with default():
            found = tensors(call())
        assert len(found) == len(expected) > 0
        for one, other in zip(found, expected, strict=True):
            assert one.device.type == "cpu", name
            assert one.dtype == other.dtype, name
            assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1)), name


def tensors(answer: Any) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer]
    parts = answer.values() if isinstance(answer, dict) else answer
    return [part for part in parts if isinstance(part, Tensor)]
