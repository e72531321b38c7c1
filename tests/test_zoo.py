"""Every classification net of torchvision: its files load, the gradient works, the ReLU rules apply or say why not.

Slow.
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from deepinside.attribution.relu_coverage import relu_coverage
from deepinside.attribution.relu_rules import RULES
from deepinside.attribution.saliency import saliency
from deepinside.config import DataConfig, ModelConfig
from deepinside.errors import UserError
from deepinside.models.build import build_convnet

pytestmark = pytest.mark.slow
NAMES = torchvision.models.list_models(module=torchvision.models)


@pytest.fixture(autouse=True)
def no_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a net draws up to 600 million random numbers: here none."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)


def build(name: str) -> tuple[nn.Module, int]:
    """The net with repeated random weights, and the smallest side that it takes, roughly."""
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    side = 80 if name == "inception_v3" else 64
    if name.startswith("vit_"):
        side = options["image_size"] = 28 if name == "vit_h_14" else 32
    if name.startswith("maxvit"):
        side = 224  # its windows of 7x7 must fit into every stage
    net = torchvision.models.get_model(name, num_classes=10, **options).eval()
    noise = torch.randn(2**16 + 1, generator=torch.Generator().manual_seed(0))
    for parameter in net.parameters():
        if parameter.ndim > 1 and parameter.numel() > len(parameter):
            fan_in = parameter.numel() // len(parameter)
            filled = noise.mul(math.sqrt(2 / fan_in)).repeat(-(-parameter.numel() // len(noise)))
            parameter.data.copy_(filled[: parameter.numel()].view_as(parameter))
        elif not (parameter == 1).all():
            parameter.data.zero_()  # biases, which nothing has written yet; scales of 1 stay
    return net, side


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_its_own_weights_loads(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    state = torchvision.models.get_model(name, num_classes=3, **options).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    crop = 224 if name == "vit_h_14" else None  # its published weights are of 518 pixels, this one is not
    convnet = build_convnet(
        ModelConfig(name, str(tmp_path / "weights.pth")), DataConfig(crop=crop), report=lambda _: None
    )
    loaded = convnet.net.state_dict()
    assert all(torch.equal(value.nan_to_num(), state[key].nan_to_num()) for key, value in loaded.items())


def unlike(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def vectorised(net: nn.Module, image: Tensor) -> None:
    """Two pictures and two classes in one vectorised pass back: as one by one, where torch can vectorise the net."""
    images, classes = torch.cat([image, image.flip(3)]), torch.tensor([[1, 3], [2, 0]])
    one_by_one = saliency(net, images, classes, reduction="none", strategy="loop")
    try:
        together = saliency(net, images, classes, reduction="none", strategy="batched")
    except RuntimeError as error:
        if "vmap" not in str(error) and "batching rule" not in str(error):
            raise
        return
    assert float((together - one_by_one).abs().max()) <= 1e-3 * float(one_by_one.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_every_net_of_the_zoo(name: str) -> None:
    net, side = build(name)
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        classes = net(images).argmax(1)  # SqueezeNet's scores are rectified: another class may rest at 0
    plain = saliency(net, images, classes, reduction="none", strategy="loop")
    assert plain.shape == images.shape
    assert plain.isfinite().all()
    assert plain.any()
    vectorised(net, images)
    coverage = relu_coverage(net, images)
    for method in RULES:
        if coverage.rules_apply:
            reconstruction = saliency(net, images, classes, method, reduction="none", strategy="loop")
            assert reconstruction.isfinite().all()
            assert reconstruction.any()
            assert unlike(reconstruction, plain) > 0.01
        else:
            first = coverage.of_kind("smooth")[0]
            with pytest.raises(UserError) as refused:
                saliency(net, images, classes, method, reduction="none", strategy="loop")
            assert f"{first.layer} ({first.function})" in str(refused.value)


def test_the_rules_apply_to_the_rectifier_nets_alone() -> None:
    """By family, so that a new torchvision net of an old family needs no change here."""
    rectified = ("alexnet", "densenet", "googlenet", "inception", "mnasnet", "mobilenet_v2", "regnet", "resn", "vgg")
    rectified += ("shufflenet", "squeezenet", "wide_resnet")
    for name in ("alexnet", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "shufflenet_v2_x0_5"):
        net, side = build(name)
        assert relu_coverage(net, torch.rand(1, 3, side, side)).rules_apply == name.startswith(rectified)
