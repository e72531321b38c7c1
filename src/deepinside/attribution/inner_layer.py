"""Where inside a net a class score is decided: the gradient at inner layers instead of at the picture.

Deep layers know the class but not the place, the picture the place but too many details; in between lie layers whose
gradient covers the whole object. Which ones these are follows from the architecture alone: see `InnerGraph`.
"""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.attribution.scores import check_dependence, check_scores
from deepinside.errors import UserError


class InnerGraph:
    """One forward pass whose graph is kept from the last activation map at each of `strides`.

    A is the output of the module that, in the order of the forward pass, is the last to finish with a map (N, c, h, w)
    or (N, h, w, c) of round(log2(H / h)) <= log2(stride), for stride 8 at 224x224 the last one of 28 rows, or of 27
    where strides were not padded; and on which the net goes on to look at several places at once, by a convolution or a
    full layer: behind the last of these the gradient hardly depends on the place. Modules inside a block do not count
    where the block's own output is smaller, or the block looks on, since branches pass them by. Nor does what comes
    before the first weights: it is the picture, normalised. For strides 8 and 16 A is relu4_3 and relu5_3 of VGG-16,
    the rectified conv2 and conv5 of AlexNet, layer2 and layer3 of ResNets, features[7] and [11] of SqueezeNet 1.1.
    Where all maps are smaller the largest ones count; one that is the last at several strides comes once: ViT has but
    its patches.
    images: (N, C, H, W); to be used within `gradients_on`, with the model that it gives. layers: names, the shallowest
    first. scores: (N, classes), before the soft-max. UserError where the net has no map, ValueError where its output is
    not (N, classes) or has no gradient.
    """

    def __init__(
        self, bare: nn.Module, images: Tensor, strides: Sequence[float] = (8, 16), channels_last: bool = False
    ) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        leaf = images.detach().clone(memory_format=layout).requires_grad_()
        with _Record(bare, images) as record:
            self._scores: Tensor = bare(leaf.clone())  # nets may change their input in place
        check_scores(self._scores, len(images))
        check_dependence(self._scores)
        chosen = {id(kept.values): kept for stride in strides for kept in record.last(stride)}
        if not chosen:
            raise UserError(f"{type(bare).__name__} has no activation map to take a gradient at")
        self.layers = [kept.layer for kept in chosen.values()]  # one module may come twice, with two maps
        self._activations = list(chosen.values())
        self.scores = self._scores.detach()

    def maps(self, classes: Tensor) -> list[Tensor]:
        """G_ij = ||dS_c/dA_ij||_2 over A's channels: classes (K,), the same for every picture -> for each layer
        (N, K, h, w), values >= 0.

        Back-prop alone: no activation is multiplied in, and no parameter's gradient is computed. One backward pass from
        the scores to the shallowest layer for each class.
        """
        columns = self._scores[:, classes.clone()].sum(0)
        inner = [kept.values for kept in self._activations]
        grads = [torch.autograd.grad(score, inner, retain_graph=True) for score in columns]
        layers = zip(self._activations, zip(*grads, strict=True), strict=True)
        return [torch.stack([grad.norm(dim=kept.channels) for grad in layer], 1) for kept, layer in layers]


@dataclass(frozen=True)
class _Map:
    """An activation map: the module that finished with it, and which of its axes the channels are."""

    layer: str
    values: Tensor
    channels: int
    stride: float  # rows of the picture over its own


class _Record:
    """What a forward pass leaves behind: the maps in the order in which they are finished, and which module was the
    last to look at several places of a map at once. Scripted modules, which take no hooks, are passed over."""

    def __init__(self, bare: nn.Module, images: Tensor) -> None:
        self._images = images
        scripted = torch.jit.ScriptModule
        self._names = {m: name for name, m in bare.named_modules() if name and not isinstance(m, scripted)}
        self._maps: list[_Map] = []
        self._blocks: list[tuple[str, float]] = []  # names of what ends in a map, but for Sequentials; its stride
        self._last = ""
        self._before_last = 0  # maps that were finished by then
        self._full = False
        # What only normalises gives the picture, no activation. Of weights outside the modules watched nothing tells.
        watched = {id(p) for module in self._names for p in module.parameters(recurse=False)}
        self._begun = not watched or any(id(p) not in watched for p in bare.parameters())

    def __enter__(self) -> "_Record":
        with ExitStack() as stack:  # should one module refuse, the others lose theirs again
            for module in self._names:
                stack.callback(module.register_forward_hook(self._keep).remove)
                stack.callback(module.register_forward_pre_hook(self._note).remove)
            self._hooks = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    def last(self, stride: float) -> list[_Map]:
        """It, if there is one."""
        if not self._maps:
            return []
        finest = min(kept.stride for kept in self._maps)
        limit = max(stride, finest) * math.sqrt(2)  # half-way, in octaves, to the next stride
        inside = [name + "." for name, own in self._blocks if own >= limit]
        around = [name + "." for name, _ in self._blocks if self._last.startswith(name + ".")]
        shallow = [(n, kept.layer) for n, kept in enumerate(self._maps) if kept.stride < limit]
        outside = [(n, name) for n, name in shallow if not name.startswith(tuple(inside))]
        followed = [(n, name) for n, name in outside if n < self._before_last and not name.startswith(tuple(around))]
        return [self._maps[n] for n, _ in (followed or outside or shallow)[-1:]]

    def _keep(self, module: nn.Module, _: Any, output: Any) -> None:
        channels = channel_axis(output, self._images) if self._begun else None
        if channels is not None:
            rows = output.shape[2 if channels == 1 else 1]
            kept = _Map(self._names[module], output, channels, float(self._images.shape[-2] / rows))
            self._maps.append(kept)
            if not isinstance(module, nn.Sequential):
                self._blocks.append((kept.layer, kept.stride))

    def _note(self, module: nn.Module, _: Any) -> None:
        self._begun = self._begun or next(module.parameters(recurse=False), None) is not None
        if isinstance(module, nn.Linear) and self._maps and not self._full:
            self._full = True  # later ones see no map
            last = self._maps[-1]
            several = module.in_features > last.values.shape[last.channels]
        else:
            several = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
        if several:
            self._last, self._before_last = self._names[module], len(self._maps)


def channel_axis(output: Any, images: Tensor) -> int | None:
    """Where a module's output has its channels: 1 in a map (N, c, h, w), 3 in a map (N, h, w, c), as some transformers
    have it; None where it is no map of images (N, C, H, W).

    A map has about the same stride both ways. The channels come last only where that reading is right but for rounding,
    and the other one is not: a map of 24 x 32 x 43 of a picture of 256 x 341 has rows and columns both ways.
    """
    if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != len(images) or not output.requires_grad:
        return None
    shape = images.shape[-1] / images.shape[-2]
    off = {axis: abs(w - shape * h) for axis, (h, w) in ((1, output.shape[2:]), (3, output.shape[1:3]))}  # columns
    rounding = 1 + max(1.0, shape)
    if off[3] <= rounding and off[1] > 2 * rounding:
        return 3
    rows, columns = (images.shape[axis] / max(1, output.shape[axis]) for axis in (-2, -1))
    return 1 if 2 / 3 < rows / columns < 3 / 2 else None
