"""Class activation maps (Zhou et al. 2016) of nets that have them: those whose scores are pooled just before the head.

CAM_c = sum_k w_ck A_k, A the last feature maps; where the head is a 1x1 convolution, its own output, before a ReLU.
"""

from typing import Any

import torch
from torch import Tensor, nn

from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet


@torch.no_grad()
def class_activation_maps(convnet: ConvNet, pictures: Tensor, label: int) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> (N, h, w), signed. UserError that says why the net has none; no name decides: what is
    taken for the pooled maps is averaged and compared with what the head, or the score, was given."""
    head = convnet.net.get_submodule(convnet.head[0].rpartition(".")[0])
    kept: list[Tensor] = []  # feature maps, in the order of the forward pass
    given: list[Tensor] = []  # what the head was given; of a convolution, what it gave

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if module is head:
            given.append((output if isinstance(head, nn.Conv2d) else inputs[0]).detach().clone())
        elif isinstance(output, Tensor) and output.ndim == 4 and output.shape[-2:].numel() > 1:
            kept.append(output.detach().clone())  # a ReLU may follow in place

    hooks = [module.register_forward_hook(keep) for module in convnet.net.modules()]
    try:
        scores = convnet.eval()(pictures)
    finally:
        for hook in hooks:
            hook.remove()
    if isinstance(head, nn.Conv2d):
        maps = given[-1]
        if maps.shape[1] == scores.shape[1] and (_pools(maps, scores) or _pools(maps.relu(), scores)):
            return maps[:, label]
        raise UserError("its convolutional head is not averaged into the scores")
    if isinstance(head, nn.Linear):
        for maps in reversed(kept):
            if maps.shape[1] == head.in_features and _pools(maps, given[-1]):
                return torch.einsum("k,nkhw->nhw", head.weight[label], maps)
        raise UserError("its head is not fed with averaged feature maps")
    raise UserError(f"its head is a {type(head).__name__}")


def _pools(maps: Tensor, pooled: Tensor) -> bool:
    return torch.allclose(maps.mean((2, 3)), pooled.flatten(1), rtol=1e-3, atol=1e-4)
