from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.transforms.v2 import Normalize

from deepinside.attribution.context import gradients_on
from deepinside.attribution.inner_layer import InnerGraph, channel_axis
from deepinside.errors import UserError
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.models.simonyan2013 import simonyan2013


def small_net() -> nn.Sequential:
    """Strides 2, 4, 8, 16, and a linear head on the mean of the last map."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 4), (4, 5), (5, 6), (6, 7)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 3)).double()


@pytest.mark.parametrize(
    ("name", "layers", "side"),
    [
        ("alexnet", ["features.4", "features.11"], 224),  # the rectified conv2 and conv5
        ("vgg16", ["features.22", "features.29"], 224),  # relu4_3, relu5_3
        ("resnet18", ["layer2", "layer3"], 224),
        ("resnet50", ["layer2", "layer3"], 224),  # not the branch of layer3.0 that is still at stride 8
        ("mobilenet_v2", ["features.6", "features.13"], 224),
        ("squeezenet1_1", ["features.7", "features.11"], 256),  # not [12]: nothing but its mean comes after it
        ("densenet121", ["features.transition2.conv", "features.transition3.conv"], 96),
        ("simonyan2013", ["norm2", "relu5"], 224),
        ("shapes_convnet", ["relu5", "pool5"], 64),
    ],
)
def test_the_layers_follow_from_the_architecture(name: str, layers: list[str], side: int) -> None:
    own = {"simonyan2013": simonyan2013, "shapes_convnet": shapes_convnet}
    net = own[name](10) if name in own else get_model(name, weights=None)
    for wrapped, prefix in ((net, ""), (nn.Sequential(OrderedDict(net=net)), "net.")):
        with torch.device("cpu"), gradients_on(wrapped) as bare:
            graph = InnerGraph(bare, torch.rand(1, 3, side, side))
        assert graph.layers == [prefix + layer for layer in layers]
        assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


def test_a_wide_head_on_the_mean_of_a_map_does_not_look_at_places() -> None:
    plain = small_net()
    wide = nn.Sequential(*plain[:-1], nn.Linear(7, 20), nn.ReLU(), nn.Linear(20, 3)).double()
    for net in (plain, wide):
        with gradients_on(net) as bare:
            assert InnerGraph(bare, torch.rand(1, 3, 48, 64, dtype=torch.float64)).layers == ["5"]


def test_windows_of_pictures_are_no_maps_of_them() -> None:
    images = torch.zeros(2, 3, 64, 64)
    assert channel_axis(torch.zeros(2, 5, 8, 8, requires_grad=True), images) == 1
    assert channel_axis(torch.zeros(8, 5, 4, 4, requires_grad=True), images) is None


@pytest.mark.parametrize(
    ("shape", "size", "axis"),
    [
        ((96, 58, 77), (232, 309), 1),
        ((58, 77, 96), (232, 309), 3),  # read the other way its strides would be 3.0 and 3.2
        ((77, 58, 96), (309, 232), 3),
        ((96, 96, 96), (384, 384), 1),
        ((60, 14, 15), (224, 224), 1),
        ((14, 14, 15), (224, 224), 1),  # it might be either
        ((14, 14, 192), (224, 224), 3),
        ((24, 32, 43), (256, 341), 1),  # stride 8 of MobileNetV3; read the other way its strides are even closer
        ((96, 128, 171), (256, 341), 1),
        ((15, 45, 384), (232, 700), 3),
        ((14, 30, 60), (224, 224), None),
        ((0, 7, 7), (224, 224), 1),
    ],
)
def test_which_axis_the_channels_are(shape: tuple[int, ...], size: tuple[int, int], axis: int | None) -> None:
    assert channel_axis(torch.zeros(1, *shape, requires_grad=True), torch.zeros(1, 3, *size)) == axis
    assert channel_axis(torch.zeros(1, *shape), torch.zeros(1, 3, *size)) is None  # no gradient comes through


@pytest.mark.parametrize("size", [(224, 224), (232, 309), (309, 232)])
def test_maps_with_the_channels_last(size: tuple[int, int]) -> None:
    """Swin's: at 232x309 its first one, 58x77 with 96 channels, passes for a map of 77 rows and 96 columns."""
    net = get_model("swin_t", weights=None, num_classes=4)
    with gradients_on(net) as bare:
        graph = InnerGraph(bare, torch.rand(1, 3, *size))
        maps = graph.maps(torch.tensor([1, 0]))
    assert graph.layers == ["features.3", "features.5"]
    cells = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16)]
    assert [tuple(one.shape) for one in maps] == [(1, 2, *both) for both in cells]
    (first, _), score = graph._activations, graph._scores[0, 0]
    by_hand = torch.autograd.grad(score, first.values)[0].square().sum(3).sqrt()
    assert maps[0][:, 1] == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("name", "side", "layers"),
    [("vit_b_16", 224, ["conv_proj"]), ("resnet18", 32, ["relu"]), ("resnet18", 64, ["relu", "layer1"])],
)
def test_a_normalised_picture_is_no_activation(name: str, side: int, layers: list[str]) -> None:
    net = get_model(name, weights=None, num_classes=4).eval()
    normalised = nn.Sequential(Normalize([0.5] * 3, [0.2] * 3), net)
    for model, prefix in ((net, ""), (normalised, "1.")):
        with gradients_on(model) as bare:
            graph = InnerGraph(bare, torch.rand(1, 3, side, side), (side / 28, side / 14))
        assert graph.layers == [prefix + layer for layer in layers]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_weights_outside_the_modules_watched_begin_too() -> None:
    """The net's own, and those of scripted parts, which take no hooks."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.relu, self.full = nn.Parameter(torch.rand(4, 3, 3, 3)), nn.ReLU(), nn.Linear(4 * 64, 2)

        def forward(self, images: Tensor) -> Tensor:
            found = self.relu(nn.functional.conv2d(images, self.weight, stride=4, padding=1))
            scores: Tensor = self.full(found.flatten(1))
            return scores

    scripted = torch.jit.script(nn.Conv2d(3, 4, 3, 4, 1))
    for net, layer in ((Own(), "relu"), (nn.Sequential(scripted, nn.ReLU(), nn.Flatten(), nn.Linear(256, 2)), "1")):
        with gradients_on(net) as bare:
            assert InnerGraph(bare, torch.rand(1, 3, 32, 32), (4,)).layers == [layer]


@pytest.mark.parametrize(
    ("strides", "depths"), [((2,), [2]), ((4,), [4]), ((8,), [6]), ((4, 8), [4, 6]), ((8, 16), [6]), ((1, 0.5), [2])]
)
def test_the_maps_are_the_gradients_there_by_hand(strides: tuple[int, ...], depths: list[int]) -> None:
    """Stride 16 is that of the last convolution's own output: no other one follows on it."""
    net, images = small_net(), torch.rand(2, 3, 48, 64, dtype=torch.float64)
    with gradients_on(net) as bare:
        graph = InnerGraph(bare, images, strides)
        layers = graph.maps(torch.tensor([2, 0]))
    assert len(layers) == len(depths)
    for maps, depth in zip(layers, depths, strict=True):
        inner = net[:depth](images).detach().requires_grad_()
        scores = net[depth:](inner)
        assert graph.scores == pytest.approx(scores.detach())
        for k, label in enumerate((2, 0)):
            expected = torch.autograd.grad(scores[:, label].sum(), inner, retain_graph=True)[0].square().sum(1).sqrt()
            assert maps[:, k] == pytest.approx(expected)
            assert expected.any()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_one_relu_for_all_layers_counts_where_it_is_used() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.convolutions = nn.ModuleList(nn.Conv2d(3, 3, 3, 2, 1) for _ in range(4))
            self.last = nn.Conv2d(3, 3, 3, 1, 1)
            self.inner: list[Tensor] = []

        def forward(self, images: Tensor) -> Tensor:
            self.inner = []
            for convolution in self.convolutions:
                images = self.relu(convolution(images))
                self.inner.append(images)
            return self.relu(self.last(images)).mean((2, 3))

    net = Shared()
    with gradients_on(net) as bare:
        graph = InnerGraph(bare, torch.rand(1, 3, 64, 64), (4, 16))
    assert graph.layers == ["relu", "relu"]
    assert graph._activations[0].values is net.inner[1]
    assert graph._activations[1].values is net.inner[3]


@pytest.mark.parametrize(("head", "layer"), [(nn.Flatten(), "7"), (nn.AdaptiveAvgPool2d(1), "5")])
def test_a_full_layer_on_the_map_looks_at_many_places_too(head: nn.Module, layer: str) -> None:
    inputs = 7 * 16 if isinstance(head, nn.Flatten) else 7
    net = nn.Sequential(*small_net()[:8], head, nn.Flatten(), nn.Linear(inputs, 3).double())
    with gradients_on(net) as bare:
        assert InnerGraph(bare, torch.rand(1, 3, 64, 64, dtype=torch.float64), (16,)).layers == [layer]


def test_a_map_nearer_to_the_next_stride_is_not_one_of_this() -> None:
    """Of 64 rows 8, and then 5: stride 12.8, in octaves nearer to 16 than to 8."""
    net = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 4, 4), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1))
    with gradients_on(nn.Sequential(net, nn.Flatten())) as bare:
        assert InnerGraph(bare, torch.rand(1, 3, 64, 64), (8, 16)).layers == ["0.0", "0.1"]


def test_it_works_under_inference_mode_and_leaves_the_picture_alone() -> None:
    net, images = small_net(), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    with gradients_on(net) as bare:
        (expected,) = InnerGraph(bare, images).maps(torch.tensor([1]))
    with torch.inference_mode():
        label = torch.tensor([1])
        with gradients_on(net) as bare:
            assert torch.equal(InnerGraph(bare, images).maps(label)[0], expected)
    assert not images.requires_grad


def test_a_net_without_such_a_map_is_told_of() -> None:
    class Patches(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :3]

    with (
        gradients_on(Patches()) as bare,
        pytest.raises(UserError, match="Patches has no activation map to take"),
    ):
        InnerGraph(bare, torch.rand(1, 3, 32, 32))


def test_hooks_are_gone_after_an_error() -> None:
    net = simonyan2013(10)
    with gradients_on(net) as bare, pytest.raises(RuntimeError):
        InnerGraph(bare, torch.rand(1, 3, 256, 256))  # its full layers take 224x224 only
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning", "ignore:.*deprecated:DeprecationWarning")
def test_scripted_parts_are_passed_over() -> None:
    part = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), part, nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(784, 5))
    with gradients_on(net) as bare:
        graph = InnerGraph(bare, torch.rand(1, 3, 32, 32), (2,))
        assert graph.layers == ["2"]
    assert all(not module._forward_hooks for module in (net[0], net[2], net[4]))
    whole = torch.jit.script(net)
    with gradients_on(whole) as bare, pytest.raises(UserError, match="has no activation map"):
        InnerGraph(bare, torch.rand(1, 3, 32, 32))
