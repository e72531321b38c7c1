"""The engine: exact where the answer is known, and invisible where it was used."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepinside import crop_saliency, saliency, ten_crops
from deepinside.attribution.context import gradients_on
from deepinside.attribution.crops import CROPS, Crop, dense_crops, one_crop, square_ten_crops
from deepinside.attribution.gradient import ScoreGraph
from deepinside.attribution.methods import METHODS
from deepinside.errors import UserError


class Linear(nn.Module):
    """S_c(I) = <w_c, I>"""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(classes, 3, side, side, generator=generator, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", images, self.weight)


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
    ).double()


def pictures(count: int, side: int = 8) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_saliency_of_a_linear_scorer_is_its_weight() -> None:
    model, classes = Linear(4, 8), torch.tensor([[0, 3], [2, 2]])
    maps = saliency(model, pictures(2), classes)
    torch.testing.assert_close(maps, model.weight.detach().abs().amax(1)[classes], rtol=0, atol=1e-12)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_scores_of_low_precision_are_gone_on_with_in_full(autocast: torch.dtype | None) -> None:
    """P_c is 1 / (1 + exp(-d)) of float32's d, whatever the net computes in."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    net, images = (net, torch.rand(1, 3, 2, 2)) if autocast else (net.bfloat16(), torch.rand(1, 3, 2, 2).bfloat16())
    with gradients_on(net) as bare:
        graph = ScoreGraph(bare, images, autocast=autocast)
        chances: list[Tensor] = []

        def chance(scores: Tensor, classes: Tensor) -> Tensor:
            chances.append(scores.detach())
            return scores.softmax(1)[:, 1]

        found = graph.gradients(torch.tensor([[1]]), chance)
    assert graph.scores.dtype == chances[0].dtype == torch.float32
    assert found.dtype == images.dtype


def test_saliency_equals_central_differences() -> None:
    model, images = small_net().eval(), pictures(1)
    step, expected = 1e-6, torch.zeros(3, 8, 8, dtype=torch.float64)
    for place in torch.cartesian_prod(torch.arange(3), torch.arange(8), torch.arange(8)).tolist():
        shifted = images.repeat(2, 1, 1, 1)
        shifted[0][tuple(place)] += step
        shifted[1][tuple(place)] -= step
        up, down = model(shifted)[:, 3].tolist()
        expected[tuple(place)] = (up - down) / (2 * step)
    torch.testing.assert_close(saliency(model, images, torch.tensor([3]))[0], expected.abs().amax(0), rtol=0, atol=1e-7)


def test_one_class_each_and_many_classes_agree() -> None:
    images = pictures(3)
    many = saliency(small_net(), images, torch.tensor([[0, 1, 2, 3, 4]] * 3))
    for k in range(5):
        assert torch.equal(saliency(small_net(), images, torch.full((3,), k)), many[:, k])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_work_where_lightning_turns_them_off(context: type) -> None:
    model = small_net()
    expected = saliency(model, pictures(2), torch.tensor([1, 2]))
    with context():
        found = saliency(model, pictures(2), torch.tensor([1, 2]))
        assert not torch.is_grad_enabled()
    assert torch.equal(found, expected)


def test_the_model_is_left_as_it_was() -> None:
    model = small_net()
    model.train()
    model[2].eval()
    model[0].weight.requires_grad_(False)
    model[6].weight.grad = torch.ones_like(model[6].weight)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    generator_state = torch.get_rng_state()
    saliency(model, pictures(2), torch.tensor([0, 1]))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(generator_state, torch.get_rng_state())
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert model[0].bias.grad is None
    assert torch.equal(model[6].weight.grad, torch.ones_like(model[6].weight))


def test_modes_are_restored_after_an_exception() -> None:
    model = small_net().train()
    with pytest.raises(ValueError, match="class indices"):
        saliency(model, pictures(2), torch.tensor([0, 5]))
    assert all(m.training for m in model.modules())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize("inside", [False, True])
def test_weights_made_under_inference_mode_are_refused_and_left_as_they_were(inside: bool) -> None:
    with torch.inference_mode():
        model = small_net().train()
    with torch.inference_mode(inside), pytest.raises(UserError, match=r"0\.weight was made .* copy\.deepcopy\(model\)"):
        saliency(model, pictures(2), torch.tensor([0, 1]))
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    expected = saliency(small_net(), pictures(2), torch.tensor([0, 1]))
    assert torch.equal(saliency(copy.deepcopy(model), pictures(2), torch.tensor([0, 1])), expected)


def test_modes_are_restored_where_weights_cannot_be_unfrozen(monkeypatch: pytest.MonkeyPatch) -> None:
    def frozen_for_good(parameter: Tensor, requires_grad: bool = True) -> Tensor:
        if requires_grad:
            raise RuntimeError("not allowed")
        return parameter.detach()

    model = small_net().train()
    monkeypatch.setattr(nn.Parameter, "requires_grad_", frozen_for_good)
    with pytest.raises(RuntimeError, match="not allowed"), gradients_on(model):
        assert not model.training
    assert all(module.training for module in model.modules())


def test_compiled_wrapper_gives_the_bare_module() -> None:
    model = small_net()
    with gradients_on(torch.compile(model, backend="eager")) as bare:
        assert bare is model


def test_no_parameter_gradient_is_computed() -> None:
    model, images = small_net().eval(), pictures(1)
    touched = []
    for name, parameter in model.named_parameters():
        parameter.register_hook(lambda _, name=name: touched.append(name))
    with gradients_on(model) as bare:
        ScoreGraph(bare, images).gradients(torch.tensor([[0, 1]]))
    assert touched == []


@pytest.mark.parametrize(
    ("images", "classes"),
    [(pictures(2)[0], torch.tensor([0])), (pictures(2), torch.tensor([0])), (pictures(2), torch.tensor([0.0, 1.0]))],
)
def test_shapes_that_do_not_fit_are_refused(images: Tensor, classes: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected images|class indices"):
        saliency(small_net(), images, classes)


def test_ten_crops_are_corners_and_centre_mirrored() -> None:
    crops = ten_crops(256, 341, 224)
    places = [(c.top, c.left) for c in crops]
    assert places == [(0, 0), (0, 117), (32, 0), (32, 117), (16, 58)] * 2
    assert [c.mirrored for c in crops] == [False] * 5 + [True] * 5


def test_crop_maps_return_to_their_place() -> None:
    """A linear scorer's map is |w| in every crop, so the average is a mean of shifted and mirrored |w|."""
    model, image = Linear(3, 6), pictures(1, 8)[0]
    crops = ten_crops(8, 8, 6)
    found = crop_saliency(model, image, crops, lambda scores: torch.tensor([2, 0]))
    weight = model.weight.detach().abs().amax(1)
    total, count = torch.zeros(2, 8, 8, dtype=torch.float64), torch.zeros(8, 8, dtype=torch.float64)
    for crop in crops:
        window = weight[[2, 0]].flip(-1) if crop.mirrored else weight[[2, 0]]
        total[:, crop.top : crop.top + 6, crop.left : crop.left + 6] += window
        count[crop.top : crop.top + 6, crop.left : crop.left + 6] += 1
    torch.testing.assert_close(found.maps, total / count, rtol=0, atol=1e-12)
    assert found.coverage.all()
    assert found.scores.shape == (10, 3)


def test_pixels_no_crop_covers_are_told() -> None:
    found = crop_saliency(Linear(3, 6), pictures(1, 10)[0], one_crop(10, 10, 6), lambda scores: torch.tensor([1]))
    assert found.coverage.sum() == 36
    assert found.coverage[2:8, 2:8].all()
    assert (found.maps[0][~found.coverage] == 0).all()


def test_a_mirrored_picture_has_the_mirrored_map() -> None:
    net, image = small_net(), pictures(1, 10)[0]
    left, right = (
        crop_saliency(net, one, ten_crops(10, 10, 8), lambda scores: torch.tensor([4])).maps
        for one in (image, image.flip(-1))
    )
    torch.testing.assert_close(left, right.flip(-1), rtol=0, atol=1e-10)


def test_crops_larger_than_the_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        crop_saliency(small_net(), pictures(1)[0], ten_crops(8, 8, 12), lambda scores: torch.tensor([0]))


@pytest.mark.parametrize("name", CROPS)
def test_crop_sets_fit_and_are_symmetric(name: str) -> None:
    crops = CROPS[name](40, 61, 24)
    assert all(0 <= c.top <= 40 - 24 and 0 <= c.left <= 61 - 24 and c.side == 24 for c in crops)
    if name != "one":
        assert {(c.top, c.left) for c in crops if c.mirrored} == {(c.top, c.left) for c in crops if not c.mirrored}


def test_square_crops_stay_in_the_central_square_and_dense_ones_cover_all() -> None:
    image = pictures(1, 10)[0].repeat(1, 1, 2)
    square, dense = (
        crop_saliency(Linear(3, 6), image, crops(10, 20, 6), lambda scores: torch.tensor([1])).coverage
        for crops in (square_ten_crops, dense_crops)
    )
    assert square[:, 5:15].all()
    assert not square[:, :5].any()
    assert not square[:, 15:].any()
    assert dense.all()
    assert {c.left for c in dense_crops(10, 20, 6, stride=5)} == {0, 5, 9, 14}
    assert {c.left for c in dense_crops(64, 100, 64)} == {0, 12, 24, 36}, "a quarter of the side, 16, at most"


@pytest.mark.parametrize("method", ["gradient", "gradient_x_input"])
def test_resized_crops_give_the_gradient_of_the_pictures_own_pixels(method: str) -> None:
    """A window of 12 pixels, seen at 6: what comes back is autograd's gradient through the resizing."""
    model, image = small_net_at(6).eval(), pictures(1, 14)[0]
    crop = Crop(1, 2, 12, True)
    found = crop_saliency(
        model, image, [crop, Crop(0, 0, 6, False)], lambda scores: torch.tensor([3]), method, size=6, reduction="none"
    )
    leaf = image.clone().requires_grad_()
    window = F.interpolate(leaf[None, :, 1:13, 2:14].flip(-1), (6, 6), mode="bilinear", antialias=True)
    (large,) = torch.autograd.grad(model(window)[0, 3], leaf)
    (small,) = torch.autograd.grad(model(leaf[None, :, :6, :6])[0, 3], leaf)
    count = torch.zeros(14, 14, dtype=torch.float64)
    count[1:13, 2:14] += 1
    count[:6, :6] += 1
    expected = (large + small) / count.clamp(min=1) * (image if method == "gradient_x_input" else 1)
    torch.testing.assert_close(found.maps[0], expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="several sides"):
        crop_saliency(model, image, [crop, Crop(0, 0, 6, False)], lambda scores: torch.tensor([3]))


def test_crops_that_do_not_fit_the_memory_together_come_in_chunks() -> None:
    class Small(nn.Module):
        """A device that holds four pictures."""

        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, images: Tensor) -> Tensor:
            if len(images) > 4:
                raise torch.OutOfMemoryError("out of memory")
            scores: Tensor = self.net(images)
            return scores

    image, crops = pictures(1, 10)[0], ten_crops(10, 10, 8)
    parts, whole = (crop_saliency(m, image, crops, lambda scores: torch.tensor([4, 1])) for m in (Small(), small_net()))
    torch.testing.assert_close(parts.maps, whole.maps, rtol=0, atol=1e-12)
    torch.testing.assert_close(parts.scores, whole.scores, rtol=0, atol=1e-12)


def test_crops_refuse_what_is_no_picture_or_no_choice() -> None:
    with pytest.raises(ValueError, match="expected one image"):
        crop_saliency(small_net(), pictures(1), one_crop(8, 8, 8), lambda scores: torch.tensor([0]))
    with pytest.raises(ValueError, match=r"expected one image \(3, H, W\), got list"):
        crop_saliency(small_net(), [], one_crop(8, 8, 8), lambda scores: torch.tensor([0]))  # type: ignore[arg-type]
    for wrong in (torch.tensor(0), [0]):
        with pytest.raises(ValueError, match="choose must give"):
            crop_saliency(small_net(), pictures(1)[0], one_crop(8, 8, 8), lambda scores, wrong=wrong: wrong)
    with pytest.raises(ValueError, match=r"choose must be a function, .*, not list"):
        crop_saliency(small_net(), pictures(1)[0], one_crop(8, 8, 8), [0])  # type: ignore[arg-type]
    for crops in ([], "ten"):
        with pytest.raises(ValueError, match="crops must be Crops, at least one"):
            crop_saliency(small_net(), pictures(1)[0], crops, lambda scores: torch.tensor([0]))  # type: ignore[arg-type]


def test_what_is_no_net_is_refused() -> None:
    for wrong, words in ((small_net, "not 'small_net'"), ("resnet18", "not 'resnet18'")):
        with pytest.raises(ValueError, match=f"model must be a torch.nn.Module, {words}"):
            crop_saliency(wrong, pictures(1)[0], one_crop(8, 8, 8), lambda scores: torch.tensor([0]))  # type: ignore[arg-type]


def small_net_at(side: int) -> nn.Sequential:
    torch.manual_seed(1)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8 * side**2, 5))
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("method", METHODS)
def test_crops_take_every_method(method: str) -> None:
    """One crop of the whole picture: the map is `saliency`'s own, chosen from the same forward pass or not."""
    model, image = small_net(), pictures(1)[0]
    found = crop_saliency(model, image, one_crop(8, 8, 8), lambda scores: scores[0].topk(2).indices, method)
    torch.testing.assert_close(found.maps[None], saliency(model, image[None], found.classes[None], method))
    assert found.classes.tolist() == model.eval()(image[None])[0].topk(2).indices.tolist()


def test_a_picture_with_gradients_leaves_none_in_its_map() -> None:
    image = pictures(1, 10)[0].requires_grad_()
    found = crop_saliency(
        small_net_at(8), image, ten_crops(10, 10, 8), lambda scores: torch.tensor([1]), "gradient_x_input"
    )
    assert not found.maps.requires_grad
    assert image.grad is None


def test_classes_are_chosen_in_full_precision() -> None:
    model, image, seen = small_net().float(), pictures(1)[0].float(), []
    crop_saliency(
        model,
        image,
        one_crop(8, 8, 8),
        lambda scores: seen.append(scores) or torch.tensor([0]),  # type: ignore[func-returns-value]
        autocast=torch.bfloat16,
    )
    torch.testing.assert_close(seen[0], model.eval()(image[None]).detach(), rtol=0, atol=1e-6)


def test_many_crops_keep_to_the_memory() -> None:
    """A dense grid: scores and gradients come in chunks, and the maps are the same."""
    model, image, sizes = small_net(), pictures(1, 12)[0], []
    crops = dense_crops(12, 12, 8, stride=2)
    whole = crop_saliency(small_net(), image, crops, lambda scores: torch.tensor([0, 2]))
    model[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    one_by_one = (crop for crop in crops)
    parts = crop_saliency(model, image, one_by_one, lambda scores: torch.tensor([0, 2]), memory=1, strategy="loop")
    assert max(sizes[-len(crops) :]) == 1
    torch.testing.assert_close(parts.maps, whole.maps, rtol=0, atol=1e-12)
