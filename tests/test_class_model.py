"""Class models: the closed form of a linear score, every part on its own, early stop, independence of the batch."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torchvision import models as zoo

from deepinside.class_model import (
    PRESETS,
    Fourier,
    Numbers,
    Pixels,
    Transform,
    blur,
    class_model_picture,
    class_score,
    compose,
    jitter,
    log_posterior,
    optimise_class_models,
    posterior,
    preset,
    scale_and_rotate,
    squared_norm,
    total_variation,
)

MEAN = (0.5, 0.4, 0.3)


class Linear(nn.Module):
    """S_c = <w_c, 255 (picture - MEAN)>, so the score is linear in I."""

    def __init__(self, classes: int = 4, side: int = 6) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(classes, 3, side, side, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", 255 * (images - images.new_tensor(MEAN).view(3, 1, 1)), self.weight)


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6 * 36, 5))


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("parameterisation", "lr", "steps"),
    [(Pixels(), 0.2, 400), (Fourier(0.5, decorrelate=False), 0.2, 800)],
)
def test_linear_score_has_its_closed_form(parameterisation: Pixels | Fourier, lr: float, steps: int) -> None:
    """argmax <w, I> - lam ||I||^2 = w / (2 lam), in float64, by plain gradient ascent, whatever the parameters are."""
    model, lam, classes = Linear().double(), 0.05, torch.tensor([2, 0])
    found = optimise_class_models(
        model,
        classes,
        (6, 6),
        MEAN,
        parameterisation=parameterisation,
        regulariser=squared_norm(lam),
        steps=steps,
        optimiser=partial(SGD, lr=lr / (2 * lam)),
    )
    torch.testing.assert_close(found.images, model.weight.detach()[classes] / (2 * lam), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.norm, found.images.flatten(1).norm(dim=1))
    torch.testing.assert_close(found.score, 2 * lam * found.norm**2)


def test_closed_form_whatever_the_normalisation() -> None:
    """The same net behind two normalisations: lambda is one of grey levels, so the class models agree."""

    class Normalised(nn.Module):
        def __init__(self, std: float) -> None:
            super().__init__()
            self.std, self.inner = std, nn.Parameter(Linear().weight.detach().double() * std * 255)

        def forward(self, images: Tensor) -> Tensor:
            inputs = (images - images.new_tensor(MEAN).view(3, 1, 1)) / self.std
            return torch.einsum("nchw,kchw->nk", inputs, self.inner)

    for std in (1 / 255, 0.225, 1.0):
        found = optimise_class_models(
            Normalised(std),
            torch.tensor([1]),
            (6, 6),
            MEAN,
            regulariser=squared_norm(0.05),
            steps=400,
            optimiser=partial(SGD, lr=2.0),
        )
        torch.testing.assert_close(found.images[0], Linear().weight[1].detach().double() / 0.1, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "regulariser", [squared_norm(0.3), total_variation(0.7), squared_norm(0.2) + total_variation(1)]
)
def test_penalties_have_their_own_gradient(regulariser) -> None:  # type: ignore[no-untyped-def]
    images = (3 * drawn(2, 3, 5, 7)).requires_grad_()
    values = regulariser.value(images)
    assert values.shape == (2,)
    expected = torch.autograd.grad(values.sum(), images)[0]
    torch.testing.assert_close(regulariser.gradient(images.detach()), expected, rtol=0, atol=1e-12)


def test_penalties_by_hand() -> None:
    images = torch.zeros(1, 3, 4, 4)
    images[0, 0, :, 2:] = 5.0  # one edge, 4 pixels long
    assert float(squared_norm(0.1).value(images)) == pytest.approx(0.1 * 8 * 25)
    assert float(total_variation(2.0, smooth=1e-6).value(images)) == pytest.approx(2 * 4 * 5, rel=1e-4)
    assert float(total_variation(2.0).value(torch.zeros(1, 3, 4, 4))) == 0


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5)])
@pytest.mark.parametrize("decorrelate", [True, False])
def test_fourier_goes_both_ways(size: tuple[int, int], decorrelate: bool) -> None:
    images, way = drawn(2, 3, *size), Fourier(1.3, decorrelate)
    torch.testing.assert_close(way.decode(way.encode(images), size), images, rtol=0, atol=1e-12)


def test_white_spectra_give_natural_pictures() -> None:
    """One grey level RMS, power that falls with frequency, and channels that go together."""
    parameters = drawn(40, 3, 32, 17, 2) / 2**0.5
    images = Fourier().decode(parameters, (32, 32))
    assert float(images.square().mean().sqrt()) == pytest.approx(1.0, abs=0.1)
    power = torch.fft.rfft2(images).abs().square().mean((0, 1))
    assert float(power[0, 2] / power[0, 8]) == pytest.approx(16, rel=0.3)
    red, green, blue = images.unbind(1)
    assert float(torch.corrcoef(torch.stack([red.flatten(), green.flatten()]))[0, 1]) > 0.7
    assert float(torch.corrcoef(torch.stack([red.flatten(), blue.flatten()]))[0, 1]) > 0.5


def test_coarse_structure_moves_most_on_oblong_pictures_too() -> None:
    """By 1 / f: a wave as long as the longer side twice as much as one of half the length, the mean as much as it."""
    norms = []
    for column in (0, 1, 2):
        spectrum = torch.zeros(1, 3, 8, 9, 2)
        spectrum[..., 0, column, 0] = 1.0
        norms.append(float(Fourier(1.0, decorrelate=False).decode(spectrum, (8, 16)).norm()))
    assert norms[1] / norms[2] == pytest.approx(2, rel=1e-5)
    assert norms[1] / norms[0] == pytest.approx(2**0.5, rel=1e-5)  # columns but the first have a twin


def test_transforms() -> None:
    generator, images = torch.Generator().manual_seed(0), drawn(2, 3, 9, 9)
    rolled = jitter(3)(images, generator)
    torch.testing.assert_close(rolled.sum((2, 3)), images.sum((2, 3)))
    assert not torch.equal(rolled, images)
    torch.testing.assert_close(scale_and_rotate(0.0, 0.0)(images, generator), images)
    spot = torch.zeros(1, 3, 21, 21)
    spot[..., 10, 10] = 1
    blurred = blur(1.5)(spot, generator)
    assert float(blurred[0, 0].sum()) == pytest.approx(1.0, abs=1e-5)
    offsets = torch.arange(21.0) - 10
    assert float((blurred[0, 0].sum(0) * offsets**2).sum()) == pytest.approx(1.5**2, rel=0.05)
    torch.testing.assert_close(compose()(images, generator), images)
    torch.testing.assert_close(blur(0.0)(images, generator), images)


def test_jitter_reaches_as_far_both_ways() -> None:
    spot, jittered = torch.zeros(1, 1, 5, 5), jitter(1)
    spot[..., 2, 2] = 1
    found = {tuple(jittered(spot, torch.Generator().manual_seed(seed)).nonzero()[0, 2:].tolist()) for seed in range(60)}
    assert found == {(y, x) for y in (1, 2, 3) for x in (1, 2, 3)}


def test_outside_the_picture_lies_the_mean_colour() -> None:
    turned = scale_and_rotate(0.0, 40.0)(torch.ones(1, 3, 20, 20), torch.Generator().manual_seed(0))
    assert (turned[..., 0, 0] == 0).all()
    assert (turned[..., 10, 10] == 1).all()


def test_rotation_turns_by_as_many_degrees_on_oblong_pictures() -> None:
    """A blob 8 pixels to the right of the centre comes to lie on a circle of 8 pixels; a zoom moves it outwards."""
    y, x = torch.meshgrid(torch.arange(31.0) - 15, torch.arange(45.0) - 22, indexing="ij")
    blob = torch.exp(-((x - 8) ** 2 + y**2) / 8)[None, None]
    for seed in range(4):
        u, v = (2 * torch.rand(2, generator=torch.Generator().manual_seed(seed)) - 1).tolist()
        moved = scale_and_rotate(0.2, 40.0)(blob, torch.Generator().manual_seed(seed))[0, 0]
        cx, cy = (moved * x).sum() / moved.sum(), (moved * y).sum() / moved.sum()
        assert float(torch.hypot(cx, cy)) == pytest.approx(8 * (1 + 0.2 * u), abs=0.05)
        assert float(torch.atan2(cy, cx).rad2deg().abs()) == pytest.approx(abs(40 * v), abs=0.5)


def test_traces_start_at_the_zero_image_and_rise() -> None:
    model = Linear()
    found = optimise_class_models(model, torch.tensor([1]), (6, 6), MEAN, regulariser=squared_norm(0.01), steps=50)
    assert found.scores.shape == found.posteriors.shape == found.squared_norms.shape == (50, 1)
    assert abs(float(found.scores[0, 0])) < 1e-3
    assert float(found.squared_norms[0, 0]) == 0.0
    penalised = found.scores - 0.01 * found.squared_norms
    assert float(penalised[-1, 0]) > 10 * abs(float(penalised[0, 0])) + 1
    torch.testing.assert_close(found.score, class_score(model(picture(found.images)), torch.tensor([1])).detach())


def picture(images: Tensor) -> Tensor:
    return images.new_tensor(MEAN).view(3, 1, 1) + images / 255


def test_a_converged_class_stops_alone() -> None:
    """Class 0's score is quickly at its top; class 1 keeps climbing. The first is what it would be by itself."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = Linear(2)

        def forward(self, images: Tensor) -> Tensor:
            scores = self.linear(images)
            return torch.stack([scores[:, 0].clamp(max=50), scores[:, 1]], 1)

    arguments = {"regulariser": squared_norm(0.0), "steps": 80, "ramp": 0.0, "tolerance": 1e-3, "patience": 5}
    both = optimise_class_models(Two(), torch.tensor([0, 1]), (6, 6), MEAN, frames=4, batch=2, **arguments)
    alone = optimise_class_models(Two(), torch.tensor([0]), (6, 6), MEAN, frames=4, batch=2, **arguments)
    assert int(both.steps[1]) == 80
    taken = int(both.steps[0])
    assert 5 < taken < 40
    assert both.scores[:taken, 0].isfinite().all()
    assert both.scores[taken:, 0].isnan().all()
    assert both.scores[:, 1].isfinite().all()
    assert int(alone.steps[0]) == taken
    assert torch.equal(alone.images[0], both.images[0])
    assert torch.equal(alone.frames[0], both.frames[0])
    assert torch.equal(both.frames[:, -1], both.images)
    assert float(both.score[0]) == pytest.approx(50.0)


def test_what_is_said_of_a_class_that_stopped_is_of_its_own_picture() -> None:
    """Its slot goes on climbing beside the other class, towards 50."""

    class Two(Linear):
        def forward(self, images: Tensor) -> Tensor:
            scores = super().forward(images)
            return torch.stack([50 * (scores[:, 0] / 50).tanh(), scores[:, 1]], 1)

    model, classes = Two(2), torch.tensor([0, 1])
    arguments = {"regulariser": squared_norm(0.0), "steps": 80, "ramp": 0.0, "tolerance": 0.02, "patience": 2}
    found = optimise_class_models(model, classes, (6, 6), MEAN, **arguments)
    assert found.steps[0] < 40
    torch.testing.assert_close(found.score, class_score(model(picture(found.images)), classes).detach())
    assert float(found.score[0]) < 50


def test_a_class_stops_after_as_many_steps_without_a_rise_as_it_has_patience() -> None:
    find = partial(optimise_class_models, Linear(), torch.tensor([1]), (6, 6), MEAN, steps=20, tolerance=0.1, ramp=0.0)
    assert int(find(patience=7, optimiser=partial(SGD, lr=0.0)).steps[0]) == 7
    assert int(find(patience=1, optimiser=partial(SGD, lr=0.0), octaves=2).steps[0]) >= 10  # the coarse one is no end


def test_the_seed_tells_what_transforms_draw() -> None:
    find = partial(optimise_class_models, small_net(), torch.tensor([1]), (8, 8), MEAN, steps=4, transform=jitter(3))
    assert torch.equal(find(seed=1).images, find(seed=1).images)
    assert not torch.equal(find(seed=1).images, find(seed=2).images)


def test_the_penalty_is_whole_before_anything_stops() -> None:
    found = optimise_class_models(
        Linear(), torch.tensor([1]), (6, 6), MEAN, regulariser=squared_norm(1.0), steps=60, tolerance=0.5, patience=1
    )
    assert int(found.steps[0]) >= 30


@pytest.mark.parametrize("name", ["paper", "fourier", "natural"])
def test_a_class_does_not_depend_on_its_batch(name: str) -> None:
    """To the last bit: alone, first, last, in several batches; in another order."""
    model = small_net()
    find = partial(optimise_class_models, model, size=(8, 8), mean=MEAN, batch=2, **preset(name, steps=12, jitter=2))
    alone = find(classes=torch.tensor([3]))
    for company in ([0, 3, 4], [3, 1], [4, 2, 1, 0, 3]):
        together = find(classes=torch.tensor(company))
        assert torch.equal(together.images[company.index(3)], alone.images[0])
        assert torch.equal(together.scores[:, company.index(3)], alone.scores[:, 0])


def test_batch_independence_on_squeezenet(shared: Path) -> None:
    """Trained weights, max-pools that tie on the zero image, a ReLU behind the last layer."""
    net = zoo.squeezenet1_1()
    net.load_state_dict(torch.load(shared / "weights" / "squeezenet1_1.pth", weights_only=True))
    find = partial(optimise_class_models, net, size=(64, 64), mean=(0.485, 0.456, 0.406), steps=8, batch=4)
    many = torch.arange(90, 107)
    together, alone = find(classes=many), find(classes=torch.tensor([99]))
    assert torch.equal(together.images[9], alone.images[0])
    assert float(alone.norm[0]) > 0


def test_octaves_go_from_coarse_to_fine() -> None:
    """After the first of two octaves of four steps the picture is one of 4x4 values; after the second it is not."""

    def detail(images: Tensor) -> float:
        images = images.view(1, 3, 8, 8)
        coarse = torch.nn.functional.avg_pool2d(images, 2)
        fine = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        return float((images - fine).square().sum() / images.square().sum())

    found = optimise_class_models(Linear(side=8), torch.tensor([0]), (8, 8), MEAN, steps=8, octaves=2, frames=9)
    plain = optimise_class_models(Linear(side=8), torch.tensor([0]), (8, 8), MEAN, steps=8, frames=9)
    assert found.scores.shape == (8, 1)
    assert detail(found.frames[0, 4]) < 0.5 * detail(plain.frames[0, 4])
    assert detail(found.images) > detail(found.frames[0, 4])


def test_frames_run_from_the_zero_image_to_the_result() -> None:
    told: list[tuple[int, int]] = []
    found = optimise_class_models(
        small_net(),
        torch.tensor([0, 1, 2]),
        (8, 8),
        MEAN,
        steps=10,
        frames=4,
        batch=2,
        on_step=lambda *now: told.append(now),
    )
    assert found.frames.shape == (3, 4, 3, 8, 8)
    assert float(found.frames[:, 0].abs().max()) == 0.0
    assert torch.equal(found.frames[:, -1], found.images)
    norms = found.frames.flatten(2).norm(dim=2)
    assert (norms.diff(dim=1)[:, :2] > 0).all()
    assert sum(classes * steps for classes, steps in told) == 30


def test_a_start_that_is_shrunk_is_averaged() -> None:
    """Every fourth column is 40: shrunk to a quarter, all are 10."""
    start = torch.zeros(1, 3, 24, 24)
    start[..., ::4] = 40
    found = optimise_class_models(Linear(), torch.tensor([1]), (6, 6), MEAN, start=start, steps=1, frames=2)
    torch.testing.assert_close(found.frames[0, 0, ..., 1:-1], torch.full((3, 6, 4), 10.0))


def test_model_is_left_as_it_was_under_inference_mode() -> None:
    model = small_net().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.inference_mode():
        optimise_class_models(model, torch.tensor([1]), (8, 8), MEAN, **preset("natural", steps=3))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_a_net_of_half_precision_is_climbed_in_single() -> None:
    classes = torch.tensor([1, 2])
    find = partial(optimise_class_models, classes=classes, size=(8, 8), mean=MEAN, steps=20)
    half, single = find(small_net().half()), find(small_net().half().float())
    assert half.images.dtype == half.score.dtype == torch.float32
    torch.testing.assert_close(half.norm, single.norm, rtol=0.02, atol=0)
    torch.testing.assert_close(half.score, single.score, rtol=0.02, atol=0.01)


def test_a_class_shut_at_the_zero_image_is_found_all_the_same() -> None:
    """A ReLU behind the last layer, as SqueezeNet has: its bias keeps class 1, not class 0, shut at the zero image."""
    model = nn.Sequential(Linear(2), nn.ReLU())
    linear = model[0].forward
    model[0].forward = lambda images: linear(images) - torch.tensor([-1.0, 5.0])
    find = partial(optimise_class_models, model, size=(6, 6), mean=MEAN, regulariser=squared_norm(1e-3), steps=20)
    found, alone = find(classes=torch.tensor([0, 1])), find(classes=torch.tensor([1]))
    assert float(found.squared_norms[0, 0]) == 0.0
    assert float(found.squared_norms[0, 1]) > 0.0
    assert float(found.score[1]) > 10.0
    torch.testing.assert_close(found.images[1], alone.images[0], rtol=1e-5, atol=1e-5)


def test_shut_classes_start_from_noise_of_their_own() -> None:
    model = nn.Sequential(Linear(2), nn.ReLU())
    linear = model[0].forward
    model[0].forward = lambda images: linear(images) - 5.0
    find = partial(optimise_class_models, model, size=(6, 6), mean=MEAN, steps=1, optimiser=partial(SGD, lr=0.0))
    first, second = find(classes=torch.tensor([0, 1])).images
    assert first.any()
    assert second.any()
    assert not torch.equal(first, second)


def test_objectives_differ_as_they_should() -> None:
    """The class score takes no notice of the other classes; the posterior also lowers them."""
    scores, classes = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([1])
    assert float(class_score(scores, classes)) == 2.0
    torch.testing.assert_close(log_posterior(scores, classes), 2.0 - torch.logsumexp(scores, 1))
    torch.testing.assert_close(posterior(scores, classes), log_posterior(scores, classes).exp())
    model = Linear()
    find = partial(optimise_class_models, model, classes, (6, 6), MEAN, steps=1, optimiser=partial(SGD, lr=1.0))
    weight = model.weight.detach()
    torch.testing.assert_close(find(objective="score").images[0], weight[1])
    torch.testing.assert_close(find(objective=class_score).images[0], weight[1])
    torch.testing.assert_close(find(objective="log_softmax").images[0], weight[1] - weight.mean(0))
    torch.testing.assert_close(find(objective="softmax").images[0], (weight[1] - weight.mean(0)) / 4)


def test_presets() -> None:
    assert set(PRESETS) == {"paper", "fourier", "natural"}
    plain = PRESETS["paper"]
    assert (plain.jitter, plain.tv, plain.blur, plain.scale, plain.rotate, plain.octaves) == (0, 0, 0, 0, 0, 1)
    assert plain.objective == "score"
    both = {"ramp": 0.5, "tolerance": 0.01, "patience": 30, "optimiser": "adam"}
    assert plain == Numbers(**both, parameterisation="pixels", lam=1e-5, lr=1.0, steps=200)
    coarse = {"parameterisation": "fourier", "lam": 1e-7, "lr": 7.0, "steps": 150}
    assert PRESETS["fourier"] == Numbers(**both, **coarse, decay=1.6)
    beyond = {"parameterisation": "fourier", "lam": 1e-6, "tv": 1e-4, "jitter": 8, "scale": 0.2, "rotate": 10.0}
    assert PRESETS["natural"] == Numbers(**both, **beyond, decay=1.0, lr=3.0, steps=160)
    assert preset("paper")["transform"] is None
    assert preset("paper", steps=7)["steps"] == 7
    for wrong in (
        {"name": "papre"},
        {"name": "paper", "optimiser": "lbfgs"},
        {"name": "paper", "parameterisation": "x"},
    ):
        with pytest.raises(ValueError, match="is unknown; it is one of"):
            preset(**wrong)


def test_numbers_become_arguments() -> None:
    images = drawn(1, 3, 9, 9)
    found = preset("paper", lam=0.5, tv=2.0, objective="softmax", tolerance=0.3, patience=7, octaves=3, ramp=0.2)
    expected = squared_norm(0.5).value(images) + total_variation(2.0).value(images)
    torch.testing.assert_close(found["regulariser"].value(images), expected)
    names = ("objective", "tolerance", "patience", "octaves", "ramp")
    assert [found[name] for name in names] == ["softmax", 0.3, 7, 3, 0.2]
    sgd = preset("paper", optimiser="sgd", lr=3.0)["optimiser"]([images])
    assert (sgd.defaults["lr"], sgd.defaults["momentum"]) == (3.0, 0.9)
    assert preset("fourier", decay=0.7)["parameterisation"] == Fourier(0.7)


@pytest.mark.parametrize(
    ("numbers", "alone"),
    [
        ({"rotate": 20.0}, scale_and_rotate(0.0, 20.0)),
        ({"scale": 0.3}, scale_and_rotate(0.3, 0.0)),
        ({"blur": 1.0}, blur(1.0)),
        ({"jitter": 3}, jitter(3)),
        ({"jitter": 3, "scale": 0.3, "blur": 1.0}, compose(blur(1.0), scale_and_rotate(0.3, 0.0), jitter(3))),
    ],
)
def test_numbers_become_transforms(numbers: dict[str, float], alone: Transform) -> None:
    images = drawn(1, 3, 9, 9)
    found, expected = (
        transform(images, torch.Generator().manual_seed(1))
        for transform in (preset("paper", **numbers)["transform"], alone)
    )
    assert torch.equal(found, expected)
    assert not torch.equal(found, images)


def test_display_adds_the_mean() -> None:
    image = torch.zeros(3, 4, 4)
    assert class_model_picture(image, MEAN)[:, 0, 0].tolist() == [128, 102, 76]
    image[0, 0, 0] = 5.0
    shown = class_model_picture(image, MEAN, contrast=1.0)
    assert shown.dtype == torch.uint8
    assert int(shown[0, 0, 0]) == 238
    mean = torch.linspace(0, 1, 16).view(1, 4, 4).expand(3, 4, 4)
    shown = class_model_picture(torch.zeros(3, 4, 4), mean)
    torch.testing.assert_close(shown.float() / 255, mean, rtol=0, atol=0.003)


@pytest.mark.parametrize("sign", [1, -1])
def test_display_lets_few_outliers_go_beyond_black_and_white(sign: int) -> None:
    """20 of 4800 values are far above the others."""
    image = torch.full((3, 40, 40), float(sign))
    image[0, 0, :20] *= 1000
    shown = class_model_picture(image, (0.5, 0.5, 0.5))
    assert shown[1].unique().tolist() == [round(127.5 + sign * 110)]
    assert shown[0, 0, :20].unique().tolist() == [255 if sign > 0 else 0]


def test_display_goes_by_values_that_more_than_one_of_200_reach() -> None:
    """40 of 4800 values are far above the others."""
    image = torch.ones(3, 40, 40)
    image[0, 0] = 1000
    shown = class_model_picture(image, (0.5, 0.5, 0.5))
    assert shown[0, 0].unique().tolist() == [round(127.5 + 110)]
    assert shown[1].unique().tolist() == [128]


@pytest.mark.parametrize(
    "image", [torch.rand(2, 3, 4, 4), torch.rand(1, 4, 4), torch.full((3, 4, 4), torch.nan), torch.rand(3, 4, 4) / 0]
)
def test_display_refuses_what_is_no_picture(image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"image must be one finite picture \(3, H, W\), got \("):
        class_model_picture(image, MEAN)


def test_what_is_made_in_inference_mode_blurs_with_a_gradient() -> None:
    """There Lightning evaluates, and so makes the class models of a run's end."""
    with torch.inference_mode():
        soften = blur(0.5)
    leaf = torch.rand(1, 3, 8, 8, requires_grad=True)
    soften(leaf, torch.Generator()).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.mean() == pytest.approx(1.0, abs=0.2)  # borders lose some


def test_a_list_is_a_size() -> None:
    found = optimise_class_models(Linear(), torch.tensor([1]), [6, 6], MEAN, steps=2)  # type: ignore[arg-type]
    assert found.images.shape == (1, 3, 6, 6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": torch.zeros(0, dtype=torch.int64)}, "K >= 1"),
        ({"classes": [0]}, "K >= 1, got list"),
        ({"batch": 0}, "batch must be a whole number, at least 1, got 0"),
        ({"steps": 2.5}, "steps must be a whole number, at least 1, got 2.5"),
        ({"octaves": torch.tensor([2, 2])}, "octaves must be a whole number"),
        ({"batch": torch.tensor(2.5)}, "batch must be a whole number"),
        ({"objective": "sofmax"}, "is unknown"),
    ],
)
def test_mistakes_are_refused(changed: dict, words: str) -> None:  # type: ignore[type-arg]
    arguments = {"classes": torch.tensor([0]), "size": (8, 8), "mean": MEAN} | changed
    with pytest.raises(ValueError, match=words):
        optimise_class_models(small_net(), **arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": torch.tensor([99])}, r"int64 in 0\.\.3"),
        ({"classes": torch.tensor([-1])}, r"int64 in 0\.\.3"),
        ({"size": (6,)}, "size must be"),
        ({"size": (6.0, 6)}, "size must be"),
        ({"size": (0, 6)}, "size must be"),
        ({"size": 6}, "size must be"),
        ({"mean": (0.5,)}, "mean must be"),
        ({"mean": 0.5}, "mean must be"),
        ({"mean": (0.5, 0.5, 127.5)}, "mean must be"),
        ({"ramp": -1.0}, "ramp is a share"),
        ({"ramp": 2.0}, "ramp is a share"),
        ({"ramp": math.nan}, "ramp is a share"),
        ({"tolerance": -0.1}, "tolerance must be"),
        ({"frames": -1}, "frames must be"),
        ({"patience": 0}, "patience must be"),
        ({"steps": 0}, "steps must be"),
        ({"octaves": 0}, "octaves must be"),
        ({"batch": 0}, "batch must be"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(changes: dict[str, object], words: str) -> None:
    arguments = {"classes": torch.tensor([1]), "size": (6, 6), "mean": MEAN, "steps": 2} | changes
    with pytest.raises(ValueError, match=words):
        optimise_class_models(Linear(), **arguments)  # type: ignore[arg-type]


def test_a_net_without_parameters_has_class_models() -> None:
    """S_c is the sum of channel c."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = optimise_class_models(net, torch.tensor([1]), (6, 6), MEAN, steps=5)
    assert (found.images[0, 1] > 1).all()
    assert (found.images[0, [0, 2]] == 0).all()
    assert not found.shut.any()


def test_a_given_start_is_where_the_ascent_begins() -> None:
    """From the optimum of a linear score it goes nowhere; of another size it is resized; batches keep classes apart."""
    model, lam, classes = Linear().double(), 0.05, torch.tensor([2, 0, 1])
    optimum = model.weight.detach()[classes] / (2 * lam)
    find = partial(optimise_class_models, model, classes, (6, 6), MEAN, regulariser=squared_norm(lam), ramp=0.0)
    found = find(start=optimum, steps=3, batch=2, optimiser=partial(SGD, lr=1.0), frames=2)
    torch.testing.assert_close(found.images, optimum)
    torch.testing.assert_close(found.frames[:, 0], optimum)
    torch.testing.assert_close(found.squared_norms[0], optimum.square().flatten(1).sum(1))
    small = find(start=torch.ones(3, 3, 2, 3), steps=1, optimiser=partial(SGD, lr=0.0))
    torch.testing.assert_close(small.images, torch.ones(3, 3, 6, 6).double())
    with pytest.raises(ValueError, match=r"start must be \(3, 3, h, w\)"):
        find(start=torch.ones(2, 3, 6, 6))
