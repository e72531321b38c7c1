"""The last step of back-prop to the picture, a strided convolution's transpose, as one sub-pixel convolution."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from deepinside.attribution.activations import checkpointed


class SubPixelInputLayer(TorchFunctionMode):
    """While it is entered, strided convolutions of pictures on a CPU get a faster, equal back-prop to the picture.

    dS/dI of a convolution with stride s and kernel k is a transposed convolution. Its s x s output phases are
    convolutions of stride 1 with kernels of ceil(k/s), computed together as one convolution with s*s times the
    channels, whose output a pixel shuffle interleaves (Shi et al. 2016): equal to rounding, two to four times as fast
    as the library's for pictures' three channels. Convolutions of more than four channels, on other devices, with
    dilation, groups or unequal strides are left alone, and so are those in checkpoints, which run again without it.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d:
            call = _Call(*args, **kwargs)
            if call.suits() and not checkpointed():
                return _SubPixelConvolution.apply(call.input, call.weight, call.bias, call.stride[0], call.padding)
        return func(*args, **kwargs)


class _Call:
    """The arguments of conv2d, however they were given."""

    def __init__(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> None:
        self.input, self.weight, self.bias, self.groups = input, weight, bias, groups
        self.stride, self.padding, self.dilation = _pair(stride), _pair(padding), _pair(dilation)

    def suits(self) -> bool:
        kernel = self.weight.shape[-2:]
        plain = self.dilation == (1, 1) and self.groups == 1 and self.weight.shape[1] <= 4 and self.input.ndim == 4
        strided = self.stride[0] == self.stride[1] > 1 and kernel[0] == kernel[1]
        frozen = self.input.requires_grad and not self.weight.requires_grad and self.input.device.type == "cpu"
        return plain and strided and frozen and not torch.is_autocast_enabled("cpu")


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, str):  # 'valid'; torch refuses 'same' with a stride
        return 0, 0
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    return pair if len(pair) == 2 else (pair[0], pair[0])


class _SubPixelConvolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: tuple[int, int]) -> Tensor:
        return F.conv2d(input, weight, bias, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        image, weight, _, ctx.stride, ctx.padding = inputs
        ctx.size = image.shape[-2:]
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return transposed_convolution(grads[0], weight, ctx.stride, ctx.padding, ctx.size), None, None, None, None


def transposed_convolution(grad: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], size: Any) -> Tensor:
    """dS/dI (N, I, H, W) of a convolution with weight (O, I, k, k) from dS/dY (N, O, h, w); size: (H, W).

    Pixel s*q + r of the padded picture is reached through the kernel's taps r + s*t from the outputs q - t: one
    stride-1 convolution a phase r, here all phases at once.
    """
    channels, inputs, kernel, _ = weight.shape
    taps = -(-kernel // stride)
    full = F.pad(weight, (0, stride * taps - kernel) * 2).view(channels, inputs, taps, stride, taps, stride)
    phases = full.flip(2, 4).permute(1, 3, 5, 0, 2, 4).reshape(inputs * stride**2, channels, taps, taps)
    top, left = padding
    padded = F.pixel_shuffle(F.conv2d(grad, phases, padding=taps - 1), stride)
    # To the picture's own frame: cropped where negative, zeros for rows and columns that no output saw.
    right, bottom = size[1] + left - padded.shape[-1], size[0] + top - padded.shape[-2]
    return F.pad(padded, (-left, right, -top, bottom))
