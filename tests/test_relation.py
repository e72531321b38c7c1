"""Section 4 as numbers: DeconvNet and back-prop agree layer by layer but for the rectifiers; the task that shows it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from callbacks import Relation
from callbacks import relation as relation_callback
from callbacks.gathering import spread
from callbacks.relation import MOST_ROWS, TITLES, compare_explicit, explicit, relate, relation_table
from deepinside.attribution.deconvnet import deconvnet
from deepinside.attribution.relation import LayerRelation, relation, relative_difference, summarise
from deepinside.attribution.saliency import saliency
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig, DataConfig, SaliencyConfig, TrainerConfig
from deepinside.data.chosen import ChosenPictures
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes
from deepinside.data.shapes import Shapes
from deepinside.data.transforms import centre_crop
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet, Preprocessing
from deepinside.models.shapes_convnet import shapes_convnet
from deepinside.models.simonyan2013 import simonyan2013
from deepinside.plots import draw_reconstructions, signed_grey
from deepinside.tasks import pictures as tasks
from deepinside.trainer import make_trainer
from deepinside.words import scored

ROOT = Path(__file__).resolve().parent.parent
CLASSES = torch.tensor([1, 3])
SHAPES = Shapes("val", 0, 8)


def lively(net: nn.Module) -> nn.Module:
    """Random weights that keep activity and reconstructions alive, and BatchNorm statistics that matter; float64."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            assert module.running_mean is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.weight, -1, 2)
    return net.double().eval()


def odd_net() -> nn.Module:
    """Everything the explicit pass must place right: gaps, overlaps, ceilings, unequal and even kernels, groups."""
    layers = [
        *(nn.Conv2d(3, 8, 4, stride=3, padding=1, dilation=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
        *(nn.Conv2d(8, 12, (3, 2), stride=(1, 3), padding="valid", groups=4), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 6, 3, padding="same", dilation=2), nn.ReLU6(), nn.MaxPool2d((3, 2), 1, dilation=2)),
        *(nn.LocalResponseNorm(4), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Dropout(), nn.Linear(36, 4)),
    ]
    return nn.Sequential(*layers)


def test_layers_that_no_gradient_reaches_are_left_out_and_scores_without_one_refused() -> None:
    class Aside(nn.Module):
        def __init__(self, cut: bool) -> None:
            super().__init__()
            self.stem, self.relu, self.aside = nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)
            self.cut = cut

        def forward(self, images: Tensor) -> Tensor:
            found = self.relu(self.stem(images))
            self.aside(found).relu()
            scores = found.mean((2, 3))
            return scores.detach() if self.cut else scores

    images, classes = torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    assert {row.layer for row in relation(Aside(False), images, classes)} == {"stem", "relu", "Aside"}
    with pytest.raises(ValueError, match="the model's scores have no gradient"):
        relation(Aside(True), images, classes)


def test_constants_and_clamped_pictures_are_no_layers_of_theirs() -> None:
    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.places, self.relu = nn.Conv2d(3, 2, 3), nn.Conv2d(1, 2, 3), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            places = self.places(torch.ones(1, 1, 8, 8))
            return self.relu(self.stem(images.clamp(0, 1)) + places).mean((2, 3))

    rows = relation(Placed(), torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))
    assert [row.layer for row in rows if row.kind == "ReLU"] == ["relu"]
    assert [row.layer for row in rows if row.kind == "convolution"] == ["stem"]


class Normalised(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.net((images - 0.4) / 0.25)
        return out


def small_vgg11() -> nn.Module:
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"])
    head = [nn.Linear(512 * 4, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(True), nn.Linear(64, 10)]
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(2), nn.Flatten(1), *head)


def small_alexnet() -> nn.Module:
    net = torchvision.models.alexnet(num_classes=10)
    return nn.Sequential(net.features, net.avgpool, nn.Flatten(), nn.Linear(9216, 64), nn.ReLU(), nn.Linear(64, 10))


PLAIN = {
    "shapes_convnet": (shapes_convnet, 64),
    "simonyan2013": (lambda: nn.Sequential(*list(simonyan2013(10))[:10], nn.Flatten(), nn.Linear(43264, 10)), 224),
    "alexnet": (small_alexnet, 80),
    "vgg11": (small_vgg11, 48),
    "odd": (odd_net, 61),
    "odd, normalised": (lambda: Normalised(odd_net()), 60),
}


@pytest.mark.parametrize("name", PLAIN)
def test_the_explicit_pass_is_the_rule_based_one(name: str) -> None:
    build, side = PLAIN[name]
    net = lively(build(10) if build is shapes_convnet else build())  # type: ignore[operator]
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    explicit = deconvnet(net, images, CLASSES)
    by_rule = saliency(net, images, CLASSES, "deconvnet", reduction="none", strategy="loop")
    plain = saliency(net, images, CLASSES, reduction="none", strategy="loop")
    largest = by_rule.abs().amax((1, 2, 3), keepdim=True)
    assert float(((explicit - by_rule).abs() / largest).max()) < 1e-9
    assert float(((plain - by_rule).abs() / largest).max()) > 0.1


def test_the_explicit_pass_uses_no_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("autograd was called")

    net, images = lively(odd_net()), torch.rand(2, 3, 61, 61, dtype=torch.float64)
    monkeypatch.setattr(torch.autograd, "grad", refuse)
    monkeypatch.setattr(torch.autograd, "backward", refuse)
    reconstruction = deconvnet(net, images, CLASSES)
    assert reconstruction.grad_fn is None
    assert reconstruction.abs().max() > 0


def test_unpooling_by_hand() -> None:
    """Overlapping windows: the 9 is the maximum of both, so both of their values come back to it."""
    net = nn.Sequential(nn.MaxPool2d((1, 3), stride=2), nn.Flatten(), nn.Linear(2, 1, bias=False))
    net[2].weight.data.copy_(torch.tensor([[2.0, 5.0]]))
    images = torch.tensor([1.0, 2, 9, 3, 4]).view(1, 1, 1, 5)
    assert deconvnet(net, images, torch.tensor([0])).flatten().tolist() == [0, 0, 7, 0, 0]


def test_strided_convolution_by_hand() -> None:
    """Kernel (1, -2), stride 3 on 6 pixels: two windows, a pixel between them and one behind that none sees."""
    net = nn.Sequential(nn.Conv2d(1, 1, (1, 2), stride=(1, 3), bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1))
    net[0].weight.data.copy_(torch.tensor([1.0, -2.0]).view(1, 1, 1, 2))
    net[3].weight.data.copy_(torch.tensor([[3.0, -4.0]]))
    images = torch.ones(1, 1, 1, 6)  # activity -1: the gate is shut, and the DeconvNet does not mind
    assert deconvnet(net, images, torch.tensor([0])).flatten().tolist() == [3, -6, 0, 0, 0, 0]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_the_odd_column_of_same_padding_lies_behind() -> None:
    """Kernel (1, -2) on 3 pixels and a zero: y = (x0 - 2 x1, x1 - 2 x2, x2), of which 3, 5 and 7 come back."""
    net = nn.Sequential(nn.Conv2d(1, 1, (1, 2), padding="same", bias=False), nn.Flatten(), nn.Linear(3, 1))
    net[0].weight.data.copy_(torch.tensor([1.0, -2.0]).view(1, 1, 1, 2))
    net[2].weight.data.copy_(torch.tensor([[3.0, 5, 7]]))
    assert deconvnet(net, torch.ones(1, 1, 1, 3), torch.tensor([0])).flatten().tolist() == [3, -1, -3]


class TwoPaths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.side, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head((F.relu(self.conv(images)) + self.side(images)).amax((2, 3)))
        return out


class Detached(nn.Linear):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.detach().flatten(1))


def test_nets_that_are_no_chain_are_refused_by_the_explicit_pass() -> None:
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(UserError, match="no layer between the pictures and the scores"):
        deconvnet(Detached(3 * 32 * 32, 2), images, torch.tensor([0]))
    with pytest.raises(UserError, match=r"needs a chain of layers, and TwoPaths \(amax\) is no layer it knows"):
        deconvnet(TwoPaths(), images, torch.tensor([0]))
    with pytest.raises(UserError, match=r"layer4\.1 \(add\) joins or branches; saliency.*takes any net"):
        deconvnet(torchvision.models.resnet18(num_classes=10), images, torch.tensor([0]))
    batch = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(UserError, match="no running statistics"):
        deconvnet(batch, images[..., :2, :2], torch.tensor([0]))
    with pytest.raises(ValueError, match="class indices"):
        deconvnet(odd_net(), torch.rand(1, 3, 61, 61), torch.tensor([4]))


@pytest.mark.parametrize(("way", "named"), [("past", "sub"), ("aside", "conv2d")])
def test_a_way_past_or_aside_of_known_layers_is_no_chain(way: str, named: str) -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.aside = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.full = nn.Linear(48, 2)

        def forward(self, images: Tensor) -> Tensor:
            found = self.stem(images)
            if way == "aside":
                self.aside(found)
            scores: Tensor = self.full((found - images if way == "past" else found).flatten(1))
            return scores

    with pytest.raises(UserError, match=rf"needs a chain of layers, and \w+ \({named}\) joins or branches"):
        deconvnet(Forked(), torch.rand(1, 3, 4, 4), torch.tensor([0]))


def by_kind(layers: list[LayerRelation], kind: str) -> list[LayerRelation]:
    return [layer for layer in layers if layer.kind == kind]


def test_all_but_rectifiers_agree() -> None:
    net = lively(odd_net())
    layers = relation(net, torch.rand(2, 3, 61, 61, dtype=torch.float64), CLASSES)
    kinds = [layer.kind for layer in layers]
    assert kinds[:3] == ["convolution", "ReLU", "max-pool"]
    assert [layer.layer for layer in layers] == [str(i) for i in range(14)]
    for kind, count in (("convolution", 3), ("max-pool", 2), ("full layer", 1)):
        same = by_kind(layers, kind)
        assert len(same) == count
        assert all(layer.difference is not None and layer.difference < 1e-12 for layer in same)
        assert all(layer.disagreement is None for layer in same)
    for layer in by_kind(layers, "ReLU"):
        assert layer.difference is not None
        assert layer.difference > 0.1
        assert layer.disagreement is not None
        assert 0.1 < layer.disagreement < 0.9
    for kind in ("batch_norm", "local_response_norm", "dropout", "adaptive_avg_pool2d", "flatten"):
        assert [(layer.difference, layer.rule) for layer in by_kind(layers, kind)] == [(None, "back-prop")]


def test_gates_that_disagree_are_counted_by_hand() -> None:
    """X = (1, -1, 2, 3) and R = (2, 3, -4, 0): of three gates that something arrives at two disagree."""
    net = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 1))
    net[2].weight.data.copy_(torch.tensor([[2.0, 3, -4, 0]]))
    rows = relation(net, torch.tensor([1.0, -1, 2, 3]).view(1, 4, 1, 1), torch.tensor([0]))
    (relu,) = by_kind(rows, "ReLU")
    assert (relu.layer, relu.gates, relu.disagreement) == ("1", 3, pytest.approx(2 / 3))
    assert relu.difference == 1.0  # (2, 3, 0, 0) against (2, 0, -4, 0): 4 off, of 4


def test_gates_are_those_of_before_what_is_changed_in_place_later() -> None:
    class Residual(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.stem, self.in_place = nn.Conv2d(3, 4, 3), in_place

        def forward(self, images: Tensor) -> Tensor:
            found = self.stem(images)
            opened = F.relu(found)
            found = found.sub_(9) if self.in_place else found - 9
            return (opened * opened.new_tensor([2.0, -1, 3, -2]).view(4, 1, 1) + found).mean((2, 3))

    images = torch.rand(2, 3, 8, 8)
    [row], [expected] = (by_kind(relation(Residual(one), images, CLASSES), "ReLU") for one in (True, False))
    assert row == expected
    assert row.disagreement is not None
    assert 0 < row.disagreement < 1


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_branches_and_functional_layers_have_their_table(name: str) -> None:
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    net = lively(torchvision.models.get_model(name, num_classes=10, **options))
    layers = relation(net, torch.rand(2, 3, 64, 64, dtype=torch.float64), CLASSES)
    convolutions = sum(isinstance(m, nn.Conv2d) for m in net.modules())
    assert len(by_kind(layers, "convolution")) == convolutions
    assert len(by_kind(layers, "ReLU")) == {"resnet18": 17, "googlenet": 57}[name]
    assert max(layer.difference or 0 for layer in layers if layer.kind != "ReLU") < 1e-12
    assert min(layer.disagreement or 0 for layer in by_kind(layers, "ReLU")) > 0.05
    assert {"layer1.0.conv1", "conv3.conv"} & {layer.layer for layer in layers}
    assert not any(parameter.grad is not None for parameter in net.parameters())


def test_layers_behind_split_tensors_are_listed() -> None:
    net = lively(torchvision.models.shufflenet_v2_x0_5(num_classes=10))
    layers = relation(net, torch.rand(1, 3, 64, 64, dtype=torch.float64), torch.tensor([1]))
    for kind, module in (("convolution", nn.Conv2d), ("ReLU", nn.ReLU), ("full layer", nn.Linear)):
        named = [name for name, m in net.named_modules() if isinstance(m, module)]
        assert sorted(layer.layer for layer in by_kind(layers, kind)) == sorted(named)
    assert len(by_kind(layers, "convolution")) == 56
    assert max(layer.difference or 0 for layer in layers if layer.kind != "ReLU") < 1e-12


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_layers_that_cannot_be_followed_are_refused() -> None:
    script = torch.jit.trace(nn.Conv2d(4, 4, 1), torch.rand(1, 4, 4, 4))
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), script, nn.Conv2d(4, 2, 4), nn.Flatten())
    with pytest.raises(UserError, match=r"the input of 3 \(conv2d\) comes from code that cannot be followed"):
        relation(net, torch.rand(1, 3, 4, 4), torch.tensor([0]))


def test_dead_layers_have_no_difference() -> None:
    """The second rectifier's gates are shut, the first one's reconstruction is negative: nothing arrives below it."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    net[0].bias.data.fill_(10)
    net[2].weight.data.abs_().neg_()
    net[2].bias.data.fill_(-1)
    net[5].weight.data.abs_()
    layers = relation(net, torch.rand(1, 3, 1, 1), torch.tensor([0]))
    assert [layer.difference for layer in layers] == [None, 1.0, pytest.approx(0, abs=1e-6), 1.0, None, 0.0]
    assert relative_difference(torch.tensor([1e-30]), torch.tensor([0.0])) == 1
    assert relative_difference(torch.zeros(2), torch.zeros(2)) is None


class Shifted(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.head = function, nn.Sequential(nn.Conv2d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 4))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.function(images))
        return out


OTHER_WAY_ROUND: list[Callable[[Tensor], Tensor]] = [
    lambda x: torch.sub(torch.ones(3, 2, 2), x),
    lambda x: torch.sub(torch.ones(()), other=x),
    lambda x: torch.div(torch.ones(3, 2, 2), x),
    lambda x: torch.div(input=x, other=torch.tensor(2.0)),
    lambda x: torch.div(x, 2, rounding_mode="floor"),
    lambda x: x[:, :1] - torch.ones(3, 1, 1),
    lambda x: x[:, :1] / torch.ones(3, 1, 1),
]


@pytest.mark.parametrize("function", OTHER_WAY_ROUND)
def test_the_explicit_pass_refuses_other_differences_and_quotients(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UserError, match=r"x - c and x / c of one shape|is no layer it knows"):
        deconvnet(Shifted(function), torch.rand(2, 3, 2, 2), CLASSES)


def test_a_grey_picture_minus_a_mean_of_colours_is_refused() -> None:
    net = Shifted(lambda x: x - torch.ones(3, 1, 1))
    with pytest.raises(UserError, match=r"not this sub giving \(2, 3, 2, 2\) from \(2, 1, 2, 2\)"):
        deconvnet(net, torch.rand(2, 1, 2, 2), CLASSES)


@pytest.mark.parametrize("classes", [CLASSES[:, None], CLASSES[:1], CLASSES[0]])
def test_one_class_a_picture_is_asked_for(classes: Tensor) -> None:
    net, images = lively(odd_net()), torch.rand(2, 3, 61, 61, dtype=torch.float64)
    for explain in (relation, deconvnet):
        with pytest.raises(ValueError, match=r"expected images .* got \(2, 3, 61, 61\) and \("):
            explain(net, images, classes)


def test_nets_with_smooth_activations_are_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.GELU(), nn.Linear(4, 2))
    with pytest.raises(UserError, match=r"smooth activations: 2 \(gelu\)"):
        relation(net, torch.rand(1, 3, 2, 2), torch.tensor([0]))


def test_refusals_of_the_tasks_name_their_own_keys(tmp_path: Path) -> None:
    """And the layers as the net's own author does."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    convnet = ConvNet("own", net, Preprocessing((0.5,) * 3, (0.25,) * 3, 9, 8), SHAPES.classes, ())
    rules = r"is defined for rectifiers, and Sequential has smooth activations: 1 \(silu\)"
    config = AnalyseConfig(saliency=SaliencyConfig(method="guided"))
    with pytest.raises(UserError, match=rf"^saliency\.method=guided {rules}; saliency\.method=gradient works on every"):
        tasks.saliency(config, Classifier(convnet), tmp_path / "out")
    with pytest.raises(UserError, match=rf"^DeconvNet {rules}; task=saliency works on every net$"):
        tasks.relation(config, Classifier(convnet), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_several_pictures_become_one_table() -> None:
    one = [LayerRelation("a", "ReLU", "rule", 0.5, 0.25, 4), LayerRelation("b", "flatten", "none")]
    two = [LayerRelation("a", "ReLU", "rule", 2.0, 0.75, 12), LayerRelation("b", "flatten", "none")]
    assert summarise([one, two]) == [LayerRelation("a", "ReLU", "rule", 2.0, 0.625, 16), one[1]]


def test_signed_drawing() -> None:
    drawn = signed_grey(torch.tensor([-2.0, 0.0, 1.0, 2.0]).view(1, 1, 4).expand(3, 1, 4), quantile=1.0)
    assert drawn.shape == (1, 4, 3)
    assert drawn[0, :, 0].tolist() == [0, 128, 191, 255]
    assert (signed_grey(torch.zeros(3, 2, 2)) == 128).all()


def test_the_callback_writes_what_it_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    convnet = ConvNet("shapes", shapes_convnet(10), Preprocessing((0.5,) * 3, (0.25,) * 3, 70, 64), SHAPES.classes, ())
    callback = Relation(tmp_path)
    data = PictureData(DataConfig(batch_size=4, workers=0), convnet, val=ChosenPictures(SHAPES, spread(3, len(SHAPES))))
    settings = TrainerConfig(accelerator="cpu", devices=1, enable_progress_bar=False)
    trainer = make_trainer(settings, tmp_path, [callback], own_samplers=True)
    for _ in range(2):  # what it found before is no part of it
        trainer.predict(Classifier(convnet), data, return_predictions=False)
    written = json.loads((tmp_path / "relation.json").read_text())
    assert written == callback.results
    assert [row["kind"] for row in written["layers"]][:3] == ["convolution", "ReLU", "max-pool"]
    assert written["kinds"]["ReLU"]["layers"] == 6
    assert written["kinds"]["convolution"]["difference"] < 1e-5
    assert written["kinds"]["ReLU"]["disagreement"] > 0.1
    assert written["explicit_deconvnet"] < 1e-4
    assert [row["index"] for row in written["pictures"]] == spread(3, len(SHAPES))
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 3
    with Image.open(tmp_path / "relation.png") as picture:
        assert picture.width > 900
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["relation/reconstructions"]
    text = events.Tensors("relation/table/text_summary")[0].tensor_proto.string_val[0].decode()
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 17 + 5
    assert {len(line) for line in lines} == {5}
    assert ["| all 6", "ReLU"] in [line[:2] for line in lines]
    assert "explicit DeconvNet pass against the ReLU rule: difference" in text
    assert relation_table(callback.results).row_count == 17 + 5
    assert not any(m._forward_hooks or m._backward_hooks for m in convnet.modules())


def tiny() -> ConvNet:
    """Its best-scored class is the last of three."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3)).eval()
    net[3].bias.data = torch.tensor([1.0, 0.0, 2.0])
    names = Classes(("a", "b", "c"), ("ant", "bee", "cat"))
    return ConvNet("tiny", net, Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 20, 16), names, ())


@pytest.mark.parametrize(("label", "shown"), [(0, 0), (1, 1), (-1, 2)])
def test_a_picture_is_looked_at_for_its_own_class_or_the_best(label: int, shown: int) -> None:
    """As its normalised centre crop: the numbers, the layers and the three reconstructions."""
    convnet, frame = tiny(), torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8)
    picture = WholePicture(frame, label, torch.zeros(0, 4), (20, 24), "photo", 7)
    row, layers, panel = relate(convnet, picture)
    crop, classes = centre_crop(frame, 16), torch.tensor([shown])
    image = crop[None].float() / 255
    scores, name = convnet(image)[0].detach(), ("ant", "bee", "cat")[shown]
    posterior = float(scores.softmax(0)[shown])
    assert {key: row[key] for key in ("index", "image", "class_index", "class")} == {
        **{"index": 7, "image": "photo"},
        **{"class_index": shown, "class": name},
    }
    assert (row["score"], row["posterior"]) == pytest.approx((float(scores[shown]), posterior))
    assert row["explicit_deconvnet"] < 1e-4
    assert layers == relation(convnet.net, (image - convnet.mean) / convnet.std, classes)
    maps = {title: saliency(convnet, image, classes, key, reduction="none")[0] for key, title in TITLES.items()}
    photo = "" if label >= 0 else "photo: "
    caption = f"{photo}{name}   {scored(float(scores[shown]), posterior)}"
    assert panel.tobytes() == draw_reconstructions(crop, maps, caption).tobytes()


def test_the_explicit_pass_differs_by_a_share_of_the_reconstruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several pictures the largest; the reason where there is none; of a blank reconstruction the difference."""
    convnet, images, classes = tiny(), torch.rand(1, 3, 16, 16), torch.tensor([1])
    real = saliency(convnet.net, images, classes, "deconvnet", reduction="none")
    monkeypatch.setattr(relation_callback, "deconvnet", lambda *_: 1.25 * real)
    assert compare_explicit(convnet, images, classes) == pytest.approx(0.25)
    convnet.net[3].weight.data.zero_()
    monkeypatch.setattr(relation_callback, "deconvnet", lambda *_: torch.full_like(real, 0.5))
    assert compare_explicit(convnet, images, classes) == 0.5
    assert explicit([{"explicit_deconvnet": value} for value in (0.1, 0.3, 0.2)]) == 0.3
    convnet.net[1] = nn.LeakyReLU()
    monkeypatch.undo()
    assert "is no layer it knows" in str(compare_explicit(convnet, images, classes))


def test_the_table_lists_layers_where_there_are_not_too_many() -> None:
    rows = [LayerRelation("a", "ReLU", "its own", 0.5, 0.25, 4), LayerRelation("b", "flatten", "the same")]
    layers = [{"layer": row.layer, **vars(row)} for row in rows]
    found = {"layers": layers, "kinds": relation_callback.kinds(rows), "explicit_deconvnet": "joins or branches"}
    table = relation_table(found)
    assert [*table.columns[0].cells] == ["a", "b", "all 1", "all 1"]
    assert [*table.columns[3].cells] == ["5.0e-01", ""] * 2
    assert [*table.columns[4].cells] == ["25.0 %", ""] * 2
    assert table.caption == "joins or branches"
    assert relation_table(found | {"layers": layers * MOST_ROWS}).row_count == 2


def test_the_task_on_real_photographs(shared: Path, tmp_path: Path) -> None:
    photos = sorted((shared / "ilsvrc_mini").rglob("*.JPEG"))[:2]
    command = [sys.executable, "analyse.py", "task=relation", "model.name=squeezenet1_1", f"out={tmp_path / 'out'}"]
    command += [f"model.weights={shared / 'weights' / 'squeezenet1_1.pth'}", f"images={photos[0]},{photos[1]}"]
    command += ["trainer.accelerator=cpu", "data.workers=0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "classifier.2" in done.stdout
    told = " ".join(done.stdout.split())
    assert "features.12 (cat) joins or branches; task=saliency saliency.method=deconvnet takes any net" in told
    found = json.loads((tmp_path / "out" / "relation.json").read_text())
    assert len(found["pictures"]) == 2
    with Image.open(next((tmp_path / "out" / "pictures").glob(f"*{photos[0].stem}*.png"))) as panel:
        assert panel.info["Description"].startswith(f"{found['pictures'][0]['image']}: ")
    assert found["kinds"]["ReLU"]["layers"] == 26
    assert found["kinds"]["convolution"]["difference"] < 1e-5
    assert 0.2 < found["kinds"]["ReLU"]["disagreement"] < 0.8
