"""Where inside a net a class score is decided: the gradient at an inner layer instead of at the picture.

Deep layers know the class but not the place, the picture the place but too many details; in between lies a layer whose
gradient covers the whole object. Which one that is follows from the architecture alone: see `InnerGraph`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.errors import UserError


class InnerGraph:
    """One forward pass whose graph is kept from A on, the last activation map at a stride of about `stride`.

    A is the output of the module that, in the order of the forward pass, is the last to finish with a map (N, c, h, w)
    of round(log2(H / h)) <= log2(stride): for stride 8 at 224x224 the last one of 28 rows, or of 27 where strides were
    not padded. Modules inside a block whose own output is smaller do not count, since branches pass them by. That is
    relu4_3 of VGG-16, the rectified conv2 of AlexNet, layer2 of ResNets, features[7] of SqueezeNet 1.1.
    images: (N, C, H, W); to be used within `gradients_on`, with the model that it gives. scores: (N, classes), before
    the soft-max. UserError where the net has no such map (vision transformers).
    """

    def __init__(self, bare: nn.Module, images: Tensor, stride: int = 8, channels_last: bool = False) -> None:
        names = {module: name for name, module in bare.named_modules() if name}
        maps: list[tuple[str, Tensor]] = []
        deeper: list[str] = []
        limit = stride * math.sqrt(2)  # half-way, in octaves, to the next stride

        def keep(module: nn.Module, _: Any, output: Any) -> None:
            if not _is_map(output, images):
                return
            if images.shape[-2] / output.shape[-2] < limit:
                maps.append((names[module], output))
            elif not isinstance(module, nn.Sequential):
                deeper.append(names[module] + ".")

        hooks = [module.register_forward_hook(keep) for module in names]
        try:
            layout = torch.channels_last if channels_last else torch.contiguous_format
            self._scores: Tensor = bare(images.detach().clone(memory_format=layout).requires_grad_())
        finally:
            for hook in hooks:
                hook.remove()
        if not maps:
            raise UserError(
                f"{type(bare).__name__} has no activation map of stride {stride} or less to take a gradient"
            )
        outside = [kept for kept in maps if not kept[0].startswith(tuple(deeper))]
        self.layer, self._activation = (outside or maps)[-1]
        self.scores = self._scores.detach()

    def maps(self, classes: Tensor) -> Tensor:
        """G_ij = sum_k |dS_c/dA_kij|: classes (K,), the same for every picture -> (N, K, h, w), values >= 0.

        Back-prop alone: no activation is multiplied in, and no parameter's gradient is computed. One backward pass from
        the scores to A for each class.
        """
        columns = self._scores[:, classes.clone()].sum(0)
        grads = [torch.autograd.grad(score, self._activation, retain_graph=True)[0] for score in columns]
        return torch.stack([grad.abs().sum(1) for grad in grads], 1)


def _is_map(output: Any, images: Tensor) -> bool:
    """(N, c, h, w), with about the same stride both ways: not the (N, h, w, c) of some transformers."""
    if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != len(images) or not output.requires_grad:
        return False
    rows, columns = (images.shape[axis] / max(1, output.shape[axis]) for axis in (-2, -1))
    return 2 / 3 < rows / columns < 3 / 2
