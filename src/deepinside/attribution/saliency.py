"""Image-specific class saliency maps (paper, section 3.1)."""

import torch
from torch import Tensor, nn

from deepinside.attribution.gradient import ScoreGraph, gradients_on


def saliency(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """M_ij = max_ch |dS_c/dI_ch,ij|: how much the class score changes when a pixel does (paper, section 3.1).

    model: images -> class scores before the soft-max, any nn.Module; it is used in eval mode and left as it was.
    images: (N, C, H, W) as the model takes them. classes: (N, K) or (N,) class indices.
    Returns (N, K, H, W), or (N, H, W) for classes (N,); values >= 0, in scores per unit of the input.
    One forward pass, K backward passes towards the picture, none towards the weights. Raises ValueError for shapes or
    indices that do not fit.
    """
    if images.ndim != 4 or classes.ndim not in (1, 2) or len(classes) != len(images):
        shapes = f"{tuple(images.shape)} and {tuple(classes.shape)}"
        raise ValueError(f"expected images (N, C, H, W) and classes (N, K) or (N,), got {shapes}")
    with gradients_on(model) as bare:
        graph = ScoreGraph(bare, images)
        columns = classes.to(images.device).reshape(len(images), -1)
        check_classes(columns, graph.scores.shape[1])
        maps = max_over_channels(graph.gradients(columns))
    return maps[:, 0] if classes.ndim == 1 else maps


def max_over_channels(gradients: Tensor) -> Tensor:
    """(..., C, H, W) -> (..., H, W): max_ch |w_ch| (paper, section 3.1)."""
    return gradients.abs().amax(-3)


def check_classes(classes: Tensor, num_classes: int) -> None:
    if classes.dtype != torch.int64 or (
        classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes
    ):
        raise ValueError(f"class indices must be int64 in 0..{num_classes - 1}")
