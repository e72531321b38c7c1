"""Methods, scores, reductions and strategies of `saliency`: each against what is known of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision import models as zoo

from deepinside import crop_saliency, deconvnet, locate, optimise_class_models, relu_coverage, saliency
from deepinside.attribution import route
from deepinside.attribution.context import bare_module, gradients_on
from deepinside.attribution.crops import Crop
from deepinside.attribution.inner_layer import InnerGraph
from deepinside.attribution.methods import METHODS, integrated_gradients, smoothgrad
from deepinside.attribution.randomisation import layers_in_use
from deepinside.attribution.relation import relation
from deepinside.attribution.saliency import REDUCTIONS
from deepinside.attribution.scores import SCORES, Score, check_classes, check_scores, evaluate
from deepinside.config import DataConfig, ModelConfig
from deepinside.data.ilsvrc import ILSVRC
from deepinside.errors import UserError
from deepinside.models.build import build_convnet

from .flops import FlopCounter


def net(classes: int = 5) -> nn.Sequential:
    torch.manual_seed(0)
    features = (nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    return nn.Sequential(*features, nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 16, classes)).double().eval()


def pictures(count: int, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


IMAGES, CLASSES = pictures(3), torch.tensor([[0, 1], [4, 2], [3, 3]])


def signed(method: str = "gradient", **options: object) -> Tensor:
    return saliency(net(), IMAGES, CLASSES, method, reduction="none", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", SCORES)
def test_gradcheck(score: str) -> None:
    """What the graph's gradient says is what finite differences say, in float64."""
    with gradients_on(net()) as bare:
        column = torch.tensor([1, 4])

        def value(images: Tensor) -> Tensor:
            return SCORES[score](bare(images), column)

        assert torch.autograd.gradcheck(value, pictures(2).requires_grad_(), atol=1e-7)
        images = pictures(2).requires_grad_()
        (expected,) = torch.autograd.grad(value(images).sum(), images)
    found = saliency(net(), pictures(2), column, score=score, reduction="none")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_gpu_is_asked_for_the_same_bits_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/test_gpu.py looks whether it gives them. What a person has set is put back."""
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "benchmark", True)
    monkeypatch.setattr(cudnn, "deterministic", False)
    torch.use_deterministic_algorithms(True)
    try:
        with gradients_on(net()):
            assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
            assert torch.is_deterministic_algorithms_warn_only_enabled()  # a look does not end a training
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)
    monkeypatch.setattr(torch.backends, "flags_frozen", lambda: True)
    with gradients_on(net()):
        assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


@pytest.mark.parametrize("strategy", route.STRATEGIES)
@pytest.mark.parametrize("method", METHODS)
def test_strategies_agree(method: str, strategy: str) -> None:
    torch.testing.assert_close(signed(method, strategy=strategy), signed(method), rtol=0, atol=1e-12)


def test_reductions() -> None:
    w = signed()
    expected = {"max": w.abs().amax(2), "l1": w.abs().sum(2), "l2": w.norm(dim=2), "sum": w.sum(2), "none": w}
    assert expected.keys() == REDUCTIONS.keys()
    for name, maps in expected.items():
        found = saliency(net(), IMAGES, CLASSES, reduction=name)
        torch.testing.assert_close(found, maps, rtol=0, atol=1e-12)
    assert saliency(net(), IMAGES, CLASSES[:, 0], reduction="none").shape == (3, 3, 16, 16)


def test_a_callable_score() -> None:
    """Twice the score's square root has the gradient w / sqrt(S)."""

    def root(scores: Tensor, classes: Tensor) -> Tensor:
        return 2 * (scores.gather(1, classes[:, None])[:, 0] + 10).sqrt()

    scores = net()(IMAGES).gather(1, CLASSES)
    expected = signed() / (scores + 10).sqrt()[..., None, None, None].detach()
    torch.testing.assert_close(signed(score=root), expected, rtol=0, atol=1e-12)


def test_gradient_times_input_of_a_linear_net_is_its_score() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4, bias=False)).double()
    images, classes = pictures(2, 8), torch.tensor([[0, 3], [1, 2]])
    parts = saliency(linear, images, classes, "gradient_x_input", reduction="sum")
    torch.testing.assert_close(parts.sum((-1, -2)), linear(images).gather(1, classes).detach(), rtol=0, atol=1e-12)


def test_integrated_gradients_are_complete() -> None:
    """They add up to S_c(I) - S_c(I'); on a smooth net the midpoint rule's error falls with the square of the steps."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 36, 5)).double()
    images, baseline = 10 * pictures(2, 8), pictures(1, 8).flip(-1)
    difference = (model(images) - model(baseline)).gather(1, CLASSES[:2]).detach()
    errors = []
    for steps in (16, 64):
        options = {"steps": steps, "baseline": baseline, "reduction": "none"}
        parts = saliency(model, images, CLASSES[:2], "integrated_gradients", **options)  # type: ignore[arg-type]
        errors.append(float((parts.sum((2, 3, 4)) - difference).abs().max()))
    assert errors[1] < 1e-4 * float(difference.abs().max())
    assert 12 < errors[0] / errors[1] < 20


def test_smoothgrad_of_a_linear_net_is_its_gradient() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)).double()
    images, classes = pictures(2, 8), torch.tensor([[0, 3], [1, 2]])
    smooth, plain = (saliency(linear, images, classes, m, reduction="none") for m in ("smoothgrad", "gradient"))
    torch.testing.assert_close(smooth, plain, rtol=0, atol=1e-12)


def test_smoothgrad_is_the_mean_of_gradients_at_noisy_pictures() -> None:
    generator = torch.Generator().manual_seed(7)
    draws = [torch.randn(3, 16, 16, generator=generator).double() for _ in range(4)]
    sigma = (0.2 * (IMAGES.flatten(1).amax(1) - IMAGES.flatten(1).amin(1))).view(3, 1, 1, 1)
    expected = sum(saliency(net(), IMAGES + sigma * draw, CLASSES, reduction="none") for draw in draws) / 4
    found = signed("smoothgrad", samples=4, noise=0.2, seed=7)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    options = {"reduction": "none", "samples": 4, "noise": 0.2, "seed": 7}
    alone = saliency(net(), IMAGES[1:2], CLASSES[1:2], "smoothgrad", **options)  # type: ignore[arg-type]
    torch.testing.assert_close(found[1:2], alone, rtol=0, atol=1e-14)  # the same draws for every picture


@pytest.mark.parametrize("method", METHODS)
def test_small_memory_changes_nothing_but_the_chunks(method: str) -> None:
    sizes = []
    model = net()
    model[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    images, classes = pictures(9), torch.arange(18).view(9, 2) % 5
    baseline = {"baseline": pictures(9).flip(-1)} if method == "integrated_gradients" else {}
    whole = saliency(net(), images, classes, method, **baseline)
    parts = saliency(model, images, classes, method, memory=1, strategy="loop", **baseline)
    assert sizes[-1] == 1
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


def test_out_of_memory_halves_the_chunk_and_goes_on() -> None:
    class Small(nn.Module):
        """A device that holds three pictures."""

        def __init__(self) -> None:
            super().__init__()
            self.net, self.seen = net(), []

        def forward(self, images: Tensor) -> Tensor:
            self.seen.append(len(images))
            if len(images) > 3:
                raise torch.OutOfMemoryError("out of memory")
            scores: Tensor = self.net(images)
            return scores

    model, images, classes = Small(), pictures(7), torch.arange(14).view(7, 2) % 5
    found, expected = (saliency(m, images, classes, strategy="loop") for m in (model, net()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert model.seen[-5:] == [7, 3, 3, 1] or model.seen[-4:] == [7, 3, 3, 1]


def test_one_picture_too_large_is_told() -> None:
    class Full(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        saliency(Full(), pictures(4), torch.zeros(4, dtype=torch.int64))


def test_what_a_net_raises_is_raised_at_once() -> None:
    class Broken(nn.Module):
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            raise RuntimeError("broken")

    model = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        saliency(model, pictures(1), torch.zeros(1, dtype=torch.int64))
    assert model.calls == 1, "another memory layout would be no cure"


def test_a_whole_number_among_the_weights_is_no_precision() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps, self.net = nn.Parameter(torch.tensor(7), requires_grad=False), net()

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.net(images)
            return scores

    assert torch.equal(saliency(Counted(), IMAGES, CLASSES), saliency(net(), IMAGES, CLASSES))


def test_a_large_job_finds_the_fastest_way_on_its_own_pictures() -> None:
    """No picture is passed twice but by `repeated`, and the process remembers what won."""
    model, images, classes = net(), pictures(22), torch.arange(44).view(22, 2) % 5
    expected = saliency(model, images, classes, strategy="loop")
    assert model not in route._fastest
    sizes: list[int] = []
    model[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    torch.testing.assert_close(saliency(model, images, classes), expected, rtol=0, atol=1e-12)
    assert sizes[:3] == [4, 4, 4], "loop, loop, batched"
    (winner,) = route._fastest[model].values()
    assert winner in route.STRATEGIES
    sizes.clear()
    route._fastest[model] = {key: "repeated" for key in route._fastest[model]}
    torch.testing.assert_close(saliency(model, images, classes), expected, rtol=0, atol=1e-12)
    assert sizes == [8] * 5 + [4], "four pictures of two classes at a time"


def test_a_strategy_that_cannot_be_taken_loses() -> None:
    class NoVectorising(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            if grads[0].ndim == 2 and torch._C._functorch.is_legacy_batchedtensor(grads[0]):
                raise RuntimeError("Batching rule not implemented")
            return 2 * grads[0]

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = NoVectorising.apply(self.net(images))
            return scores

    for count in (3, 20):
        images, classes = pictures(count), torch.arange(2 * count).view(count, 2) % 5
        model = Odd()
        torch.testing.assert_close(saliency(model, images, classes), 2 * saliency(net(), images, classes))
        assert "batched" not in route._fastest[model].values()
        assert count > 3 or set(route._fastest[model].values()) == {"loop"}


def test_full_layers_on_few_convolutions_are_read_once_for_all_classes() -> None:
    with torch.device("meta"):
        names = ("alexnet", "vgg16", "squeezenet1_1", "resnet18", "vit_b_16")
        assert [route._usual_winner(zoo.get_model(name)) for name in names] == ["batched"] + ["loop"] * 4


@pytest.mark.parametrize("pictures_", [2, 7])
def test_a_budget_holds_for_few_pictures_too(pictures_: int) -> None:
    model, sizes = net(), []
    model[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    saliency(model, pictures(pictures_), torch.zeros(pictures_, dtype=torch.int64), memory=1)
    assert sizes == [1] * (pictures_ + 1), "one to learn what a picture keeps"


class Views(nn.Module):
    """Takes views over pictures and channels that only the plain layout allows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.full = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5)

    def forward(self, images: Tensor) -> Tensor:
        h = self.conv(images).relu()
        scores: Tensor = self.full((2 * h.view(len(images) * 4, 1, 6, 6)).view(len(images), -1))
        return scores


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_net_with_views_takes_the_other_layout(count: int) -> None:
    model, images = Views(), torch.rand(count, 3, 8, 8)
    classes = torch.arange(count) % 5
    maps = saliency(model, images, classes)
    leaf = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf).gather(1, classes[:, None]).sum(), leaf)
    torch.testing.assert_close(maps, expected.abs().amax(1), rtol=1e-5, atol=1e-6)
    crops = [Crop(0, 0, 8, False), Crop(0, 0, 8, True)]
    assert crop_saliency(model, images[0], crops, lambda scores: scores[0].topk(2).indices).maps.shape == (2, 8, 8)
    optimise_class_models(model, torch.tensor([0, 1]), (8, 8), (0.5, 0.5, 0.5), steps=2)


def test_nets_whose_pictures_mix_are_refused() -> None:
    mixing = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    with pytest.raises(UserError, match="1 normalises by the batch"):
        saliency(mixing, torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))


def test_random_numbers_a_model_draws_are_not_missed() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, images: Tensor) -> Tensor:
            return F.dropout(self.net(images))

    model = Dropping()
    state = torch.get_rng_state()
    saliency(model, IMAGES, CLASSES)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_nearly_the_same_map(dtype: torch.dtype) -> None:
    model, images = net().float(), pictures(4).float()
    classes = torch.tensor([0, 1, 2, 3])
    full, low = saliency(model, images, classes), saliency(model, images, classes, autocast=dtype)
    assert low.dtype == torch.float32
    assert not torch.equal(full, low)
    both = torch.stack([full.flatten(), low.flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.9


def test_an_outer_autocast_does_not_reach_the_gradient() -> None:
    model, images, classes = net().float(), pictures(2).float(), torch.tensor([0, 1])
    expected = saliency(model, images, classes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(saliency(model, images, classes), expected)


def test_compiled_parts_run_uncompiled() -> None:
    model = net()
    expected = saliency(model, IMAGES, CLASSES)
    runs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        runs.append(1)
        return graph.forward

    parts = nn.Sequential(torch.compile(model[:4], backend=backend), *model[4:])
    for wrapped in (parts, torch.compile(parts, backend=backend), nn.DataParallel(parts).cpu()):
        torch.testing.assert_close(saliency(wrapped, IMAGES, CLASSES), expected, rtol=0, atol=1e-12)
    assert runs == []
    assert bare_module(nn.DataParallel(torch.compile(model, backend=backend))) is model
    parallel = nn.parallel.DistributedDataParallel.__new__(
        nn.parallel.DistributedDataParallel
    )  # needs no process group
    nn.Module.__init__(parallel)
    parallel.module = model
    assert bare_module(parallel) is model


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pixel_that_is_no_number_is_refused(value: float) -> None:
    images = IMAGES.clone()
    images[1, 0, 3, 3] = value
    with pytest.raises(ValueError, match="images must be finite"):
        saliency(net(), images, CLASSES)


def test_scores_and_classes_are_checked_by_number_and_type() -> None:
    scores = torch.rand(3, 5, requires_grad=True)
    with pytest.raises(ValueError, match=r"must be int64 in 0\.\.4"):
        check_classes(torch.zeros(3, dtype=torch.int32), 5)
    with pytest.raises(ValueError, match=r"must give class scores \(2, classes\), it gave \(3, 5\)"):
        check_scores(scores, 2)
    with pytest.raises(ValueError, match=r"one number a picture, \(3,\), it gave \(5,\)"):
        evaluate(lambda given, _: given.sum(0), scores, torch.zeros(3, dtype=torch.int64))


def test_smoothgrads_noise_goes_with_the_range_of_each_picture() -> None:
    """The mean of 25 noisy pictures, where the gradient is the picture itself: off by 0.15 / 5 of the range."""
    calls: list[Tensor] = []

    def itself(images: Tensor) -> Tensor:
        calls.append(images)
        return images[:, None]

    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = smoothgrad(itself, images)[:, 0] - images
    assert len(calls) == 25
    assert float(noise.std()) == pytest.approx(0.03, rel=0.05)
    integrated_gradients(itself, images)
    assert len(calls) == 25 + 32
    wider = smoothgrad(itself, 3 + 2 * images)[:, 0] - (3 + 2 * images)
    torch.testing.assert_close(wider, 2 * noise)


class Prepares(nn.Module):
    """Changes the pictures that it is given, as many nets do with their normalisation."""

    def __init__(self, rest: nn.Module) -> None:
        super().__init__()
        self.rest = rest

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.rest(images.sub_(0.5).div_(0.25))
        return scores


def test_nets_may_change_their_input_in_place() -> None:
    images, one = IMAGES.clone(), CLASSES[:, 0]
    expected = saliency(net(), (IMAGES - 0.5) / 0.25, CLASSES) / 0.25
    prepares = Prepares(net())
    torch.testing.assert_close(saliency(prepares, images, CLASSES), expected, rtol=0, atol=1e-12)
    crops = [Crop(0, 0, 16, mirrored) for mirrored in (False, True)]
    for strategy in ("loop", "repeated"):
        found, plain = (
            crop_saliency(model, picture, crops, lambda scores: CLASSES[0], strategy=strategy).maps
            for model, picture in ((prepares, images[0]), (net(), (IMAGES[0] - 0.5) / 0.25))
        )
        torch.testing.assert_close(found, plain / 0.25, rtol=0, atol=1e-12)
    guided = saliency(net(), (IMAGES - 0.5) / 0.25, CLASSES, "guided") / 0.25
    torch.testing.assert_close(saliency(prepares, images, CLASSES, "guided"), guided, rtol=0, atol=1e-12)
    assert [row.kind for row in relation(prepares, images, one)].count("ReLU") == 1
    assert relu_coverage(prepares, images).rules_apply
    assert layers_in_use(prepares, images) == ["rest.0", "rest.1", "rest.6"]
    optimise_class_models(prepares, one, (16, 16), (0.5, 0.5, 0.5), steps=2)
    with gradients_on(prepares) as bare:
        inner = InnerGraph(bare, images).maps(CLASSES[0])[0]
    with gradients_on(net()) as bare:
        torch.testing.assert_close(inner, InnerGraph(bare, (IMAGES - 0.5) / 0.25).maps(CLASSES[0])[0])
    assert torch.equal(images, IMAGES)


class Merges(nn.Linear):
    """As LoRA's layers do, it folds what it learns into its weights when it goes into eval mode."""

    merged = False

    def train(self, mode: bool = True) -> "Merges":
        super().train(mode)
        self.merged = not mode
        return self


def test_what_a_layers_own_train_does_is_not_done() -> None:
    merges = Merges(128, 5, dtype=torch.float64)
    model = nn.Sequential(*net()[:-1], merges).train()
    model[1].eval()  # frozen statistics
    saliency(model, IMAGES, CLASSES)
    assert not merges.merged
    assert [module.training for module in model] == [True, False, *[True] * 5]


def test_checkpoints_around_the_first_layer() -> None:
    plain = net()

    class Checkpointed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = plain[4:](checkpoint(plain[:4], images, use_reentrant=False))
            return scores

    found = saliency(Checkpointed(), IMAGES, CLASSES)
    torch.testing.assert_close(found, saliency(plain, IMAGES, CLASSES), rtol=0, atol=1e-12)


def test_no_classes_and_no_pictures() -> None:
    assert saliency(net(), IMAGES, CLASSES[:, :0]).shape == (3, 0, 16, 16)
    assert saliency(net(), IMAGES[:0], CLASSES[:0]).shape == (0, 2, 16, 16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "guidde"}, "did you mean 'guided'"),
        ({"reduction": "l3"}, "reduction 'l3' is unknown"),
        ({"strategy": "fast"}, "strategy 'fast' is unknown"),
        ({"score": "logit"}, "score 'logit' is unknown"),
        ({"autocast": "bf16"}, r"autocast must be torch\.bfloat16, torch\.float16 or None, not 'bf16'"),
        ({"samples": 3}, "method 'gradient' does not take samples; it has no options"),
        (
            {"method": "smoothgrad", "steps": 3},
            "'smoothgrad' does not take steps; its options are samples, noise, seed",
        ),
    ],
)
def test_unknown_names_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        saliency(net(), IMAGES, CLASSES, **options)  # type: ignore[arg-type]


def test_models_that_give_no_scores_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must give class scores \(3, classes\), it gave \(3, 8, 8, 8\)"):
        saliency(net()[0], IMAGES, CLASSES)
    for explain in (relation, deconvnet):
        with pytest.raises(ValueError, match=r"must give class scores \(3, classes\), it gave \(3, 8, 8, 8\)"):
            explain(net()[:3], IMAGES, CLASSES[:, 0])
    with pytest.raises(ValueError, match="samples and steps"):
        saliency(net(), IMAGES, CLASSES, "smoothgrad", samples=0)


@pytest.mark.parametrize("explain", [saliency, deconvnet, relation, lambda net, images, _: relu_coverage(net, images)])
@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((IMAGES * 255).byte(), "must be floating point, as the model takes them, not torch.uint8"),
        (IMAGES.half(), "the images are torch.float16 on cpu, the model is torch.float64 on cpu"),
        (IMAGES[0], r"expected images \(N, C, H, W\).*, got \(3, 16, 16\)"),
        (IMAGES.numpy(), "images and classes must be tensors|expected images .*, got ndarray"),
    ],
)
def test_every_function_refuses_the_same_pictures(explain: Callable[..., object], images: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        explain(net(), images, CLASSES[:, 0])


@pytest.mark.parametrize("explain", [saliency, deconvnet, relation])
def test_every_function_refuses_a_list_of_classes(explain: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="images and classes must be tensors, not Tensor and list"):
        explain(net(), IMAGES, [0, 1, 2])


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (
            lambda scores, classes: scores.gather(1, classes[:, None]).mean(),
            r"one number a picture, \(3,\), it gave \(\)",
        ),
        (lambda scores, classes: scores.gather(1, classes[:, None]), r"it gave \(3, 1\)"),
        (lambda scores, classes: 1.0, "it gave float"),
        (lambda scores, classes: torch.ones(len(scores)), "the score has no gradient"),
    ],
)
@pytest.mark.parametrize("strategy", ["auto", "batched"])
def test_scores_that_are_not_one_number_a_picture_are_refused(score: Score, words: str, strategy: str) -> None:
    with pytest.raises(ValueError, match=words):
        saliency(net(), IMAGES, CLASSES, score=score, strategy=strategy)


class Cut(nn.Module):
    """A net from whose scores no gradient leads back to the pictures."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = net(), how

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.how != "no_grad"):
            scores: Tensor = self.net(images)
        return {"detach": scores.detach(), "no_grad": scores, "constant": torch.zeros_like(scores)}[self.how]


@pytest.mark.parametrize("how", ["detach", "no_grad", "constant"])
def test_scores_without_a_gradient_are_refused(how: str) -> None:
    def choose(scores: Tensor) -> Tensor:
        return CLASSES[0]

    model, one = Cut(how), Crop(0, 0, 16, False)
    for work in (
        *(partial(saliency, model, IMAGES, CLASSES, method) for method in ("gradient", "guided")),
        partial(crop_saliency, model, IMAGES[0], [one], choose),
        partial(optimise_class_models, model, CLASSES[0], (16, 16), (0.5,) * 3, steps=1),
        partial(relation, model, IMAGES, CLASSES[:, 0]),
        *(partial(locate, model, IMAGES[0], [one], preset=preset) for preset in ("paper", "best")),
    ):
        with pytest.raises(ValueError, match=r"scores have no gradient: they do not depend .* \(detach, no_grad\)"):
            work()


@pytest.mark.parametrize("strategy", ["loop", "batched"])
@pytest.mark.parametrize("classes", [1, 3])
def test_k_classes_cost_one_forward_and_k_backward_passes(strategy: str, classes: int) -> None:
    """A convolution's or full layer's way back to its input costs what its way forward costs: (1 + K) F in all."""
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2))
    model = nn.Sequential(*layers, nn.Conv2d(16, 16, 1, groups=4), nn.Flatten(), nn.Linear(16 * 36, 10)).eval()
    images = torch.rand(2, 3, 30, 30)
    with torch.no_grad(), FlopCounter() as forward:
        model(images)
    saliency(model, images, torch.zeros(2, classes, dtype=torch.int64), strategy=strategy)  # the layout is tried
    with FlopCounter() as whole:
        saliency(model, images, torch.arange(2 * classes).view(2, classes), strategy=strategy)
    assert whole.flops == (1 + classes) * forward.flops
    assert whole.weight_gradients == 0


def test_a_strided_first_layer_costs_its_padded_kernel() -> None:
    """AlexNet's first kernel of 11x11 with stride 4 comes back as 16 phases of 3x3, as if it were 12x12."""
    first = nn.Conv2d(3, 8, 11, stride=4, padding=2)
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 10)).eval()
    images = torch.rand(2, 3, 35, 35)
    saliency(model, images, torch.tensor([0, 1]))
    with FlopCounter() as whole:
        saliency(model, images, torch.tensor([0, 1]))
    full, outputs = 2 * 2 * 8 * 64 * 10, 2 * 8 * 64
    backward = 2 * 2 * 8 * 3 * 12**2 * (8 + 2) ** 2  # every phase of (8 + 2)^2 pixels
    assert whole.flops == 2 * full + 2 * outputs * 3 * 11**2 + backward


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "resnet18", "vgg11"])
def test_captum_agrees_picture_by_picture(name: str) -> None:
    torch.manual_seed(0)
    model = zoo.get_model(name, weights=None, num_classes=20).double().eval()
    images, classes = pictures(2, 64), torch.tensor([[3, 0], [19, 7]])
    ours = saliency(model, images, classes)
    for picture in range(2):
        for k in range(2):
            leaf = images[picture : picture + 1].clone().requires_grad_()
            theirs = captum.attr.Saliency(model).attribute(leaf, target=int(classes[picture, k]))
            assert float(theirs.max()) > 0
            torch.testing.assert_close(ours[picture, k], theirs[0].amax(0), rtol=1e-9, atol=1e-9)


def test_maps_of_real_pictures_lie_on_the_object(shared: Path) -> None:
    """The tenth of the pixels with the largest gradients hit the boxes more often than chance has it."""
    convnet = build_convnet(ModelConfig("squeezenet1_1", str(shared / "weights" / "squeezenet1_1.pth")), DataConfig())
    source = ILSVRC(shared / "ilsvrc_mini", "val", 24)
    hits, chances = [], []
    for i in range(len(source)):
        picture = source.read(i)
        image = F.interpolate(picture.image[None].float() / 255, (224, 224), mode="bilinear", antialias=True)
        classes = torch.tensor([convnet.classes.ids.index(source.classes.ids[picture.label])])
        strongest = saliency(convnet, image, classes)[0].flatten().argsort(descending=True)[: 224 * 224 // 10]
        inside = torch.zeros(224, 224)
        height, width = picture.image.shape[-2:]
        for x0, y0, x1, y1 in (picture.boxes * 224 / torch.tensor([width, height] * 2)).round().int().tolist():
            inside[y0:y1, x0:x1] = 1
        hits.append(float(inside.flatten()[strongest].mean()))
        chances.append(float(inside.mean()))
    assert sum(hits) > sum(chances) + 0.15 * len(hits)
