"""A classification ConvNet together with what belongs to its weights: normalisation, picture sizes, classes."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.data.picture import Classes


@dataclass(frozen=True)
class Preprocessing:
    """What the weights were trained with: channel `mean` and `std` of RGB in [0, 1], short side `resize`, `crop`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int
    crop: int


class ConvNet(nn.Module):
    """S(I) = net((I - mean) / std): images (N, 3, H, W), RGB in [0, 1] -> class scores (N, C) before the soft-max.

    The normalisation is part of the model, so every gradient is one with respect to the picture itself, and a
    checkpoint cannot lose it. Computed in the net's own precision, whatever that of the images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, name: str, net: nn.Module, preprocessing: Preprocessing, classes: Classes, head: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.name, self.net, self.preprocessing, self.classes, self.head = name, net, preprocessing, classes, head
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.net(((images - self.mean) / self.std).to(self.dtype))
        return scores

    @property
    def dtype(self) -> torch.dtype:
        """The net's precision."""
        return next((p.dtype for p in self.net.parameters() if p.is_floating_point()), self.mean.dtype)

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters whose shape depends on the number of classes: what fine-tuning the head alone trains."""
        return [parameter for name, parameter in self.net.named_parameters() if name in self.head]

    def summary(self) -> str:
        numbers, parameters = self.preprocessing, sum(p.numel() for p in self.net.parameters())
        mean, std = (" ".join(f"{v:.3g}" for v in values) for values in (numbers.mean, numbers.std))
        return (
            f"{self.name}: {len(self.classes)} classes, {parameters / 1e6:.2f} M parameters,"
            f" {numbers.crop}x{numbers.crop} crops of short side {numbers.resize}, mean {mean}, std {std}"
        )

    def description(self) -> dict[str, Any]:
        """Plain containers that a checkpoint carries; `models.weights` reads them back."""
        return {
            "model": self.name,
            "preprocessing": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.preprocessing).items()},
            "classes": {"ids": list(self.classes.ids), "names": list(self.classes.names)},
        }
