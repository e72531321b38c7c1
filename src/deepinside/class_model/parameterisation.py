"""What the optimiser's numbers are: the pixels themselves (paper), or a Fourier spectrum with natural scales.

A parameterisation goes both ways: `encode` pictures (K, 3, H, W) into free parameters, `decode` them back.
Pictures are mean-subtracted, on the 0..255 scale.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# Columns: brightness, red against blue, green against magenta: close to the principal axes of natural colours. Their
# deviations are the square roots of the eigenvalues .2175, .0188, .0045 that Krizhevsky's colour noise is drawn with.
_AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
_DEVIATIONS = (0.466, 0.137, 0.067)


class Parameterisation(Protocol):
    """Two inverse maps between pictures and parameters; `size` is (H, W)."""

    def encode(self, images: Tensor) -> Tensor: ...
    def decode(self, parameters: Tensor, size: tuple[int, int]) -> Tensor: ...


@dataclass(frozen=True)
class Pixels:
    """The picture is its own parameter: (K, 3, H, W) (paper, section 2)."""

    def encode(self, images: Tensor) -> Tensor:
        return images.clone()

    def decode(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        return parameters


@dataclass(frozen=True)
class Fourier:
    """I = C irfft2(s(f) z): a spectrum z (K, 3, H, W // 2 + 1, 2), damped like that of natural pictures.

    s(f) = 1 / max(f, 1 / max(H, W)) ** decay, f in cycles a pixel, so that a step of the optimiser moves coarse
    structure most; s is normalised so that white z, complex numbers of mean |z|^2 1, gives about one grey level RMS.
    With `decorrelate`, C turns three independent channels into RGB with the correlations of natural colours. Beyond the
    paper: Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017.
    """

    decay: float = 1.0
    decorrelate: bool = True

    def encode(self, images: Tensor) -> Tensor:
        colour, scale = self._colour(images), self._scale(images, images.shape[-2:])
        channels = torch.einsum("dc,kchw->kdhw", torch.linalg.inv(colour.cpu().double()).to(images), images)
        return torch.view_as_real(torch.fft.rfft2(channels, norm="ortho") / scale).contiguous()

    def decode(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        scale = self._scale(parameters, size)
        channels = torch.fft.irfft2(torch.view_as_complex(parameters) * scale, s=size, norm="ortho")
        return torch.einsum("cd,kdhw->kchw", self._colour(parameters), channels)

    def _scale(self, like: Tensor, size: tuple[int, ...]) -> Tensor:
        height, width = size
        fy, fx = (torch.fft.fftfreq(n, dtype=torch.float32, device="cpu").to(like) for n in (height, width))
        fy, fx = fy[:, None], fx[None]
        full = (fy**2 + fx**2).sqrt().clamp(min=1 / max(height, width)) ** -self.decay
        return full[:, : width // 2 + 1] / full.square().mean().sqrt()

    def _colour(self, like: Tensor) -> Tensor:
        if not self.decorrelate:
            return torch.eye(3, device="cpu").to(like)
        axes = torch.nn.functional.normalize(like.new_tensor(_AXES), dim=1).T
        deviations = like.new_tensor(_DEVIATIONS)
        return axes * deviations * (3 / deviations.square().sum()).sqrt()
