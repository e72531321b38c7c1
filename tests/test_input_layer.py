"""The sub-pixel form of a strided convolution's back-prop equals the library's."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepinside.attribution.input_layer import SubPixelInputLayer, transposed_convolution


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        (11, 4, (2, 2), (63, 70)),
        (7, 2, (3, 3), (32, 33)),
        (3, 2, (0, 0), (17, 18)),
        (4, 4, (0, 0), (18, 19)),
        (2, 3, (1, 0), (13, 14)),
        (5, 3, (4, 1), (20, 9)),
    ],
)
def test_equals_autograd(kernel: int, stride: int, padding: tuple[int, int], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 3, kernel, kernel, dtype=torch.float64)
    out = F.conv2d(images, weight, stride=stride, padding=padding)
    grad = torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, images, grad)
    found = transposed_convolution(grad, weight, stride, padding, size)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def name_of_gradient(layer: nn.Module, channels: int = 3, frozen: bool = True) -> str:
    layer.requires_grad_(not frozen)
    with SubPixelInputLayer():
        out = layer(torch.rand(1, channels, 24, 24, requires_grad=True))
    return type(out.grad_fn).__name__


def test_only_strided_convolutions_of_pictures_are_taken() -> None:
    assert "SubPixel" in name_of_gradient(nn.Conv2d(3, 4, 5, stride=2, padding=2))
    assert "SubPixel" in name_of_gradient(nn.Conv2d(3, 4, 5, stride=2, padding="valid"))
    others = [
        nn.Conv2d(3, 4, 5),
        nn.Conv2d(3, 4, 5, stride=(2, 3)),
        nn.Conv2d(3, 4, (5, 3), stride=2),
        nn.Conv2d(3, 4, 5, stride=2, dilation=2),
        nn.Conv2d(3, 3, 5, stride=2, groups=3),
    ]
    assert [name_of_gradient(layer) for layer in others] == ["ConvolutionBackward0"] * 5
    assert name_of_gradient(nn.Conv2d(8, 4, 5, stride=2), channels=8) == "ConvolutionBackward0"
    assert name_of_gradient(nn.Conv2d(3, 4, 5, stride=2), frozen=False) == "ConvolutionBackward0"


def test_a_net_is_the_same_with_it() -> None:
    """Values exactly, second derivatives to rounding (it is itself made of differentiable operations)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 7, stride=2, padding=3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 64, 1))
    net = net.double().requires_grad_(False)
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def second_derivative() -> tuple[torch.Tensor, torch.Tensor]:
        score = net(images).sum()
        (first,) = torch.autograd.grad(score, images, create_graph=True)
        return score.detach(), torch.autograd.grad(first.square().sum(), images)[0]

    plain = second_derivative()
    with SubPixelInputLayer():
        quick = second_derivative()
    assert torch.equal(plain[0], quick[0])
    torch.testing.assert_close(plain[1], quick[1], rtol=0, atol=1e-12)
