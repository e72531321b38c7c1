"""What happens to a picture between the file and the ConvNet: training jitter, and the whole picture for evaluation."""

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from deepinside.config import DataConfig
from deepinside.models.convnet import Preprocessing

# Principal components of the RGB values of ImageNet's training pictures in [0, 1]: eigenvalues, and eigenvectors as
# columns, as published with the Torch ResNet training code (fb.resnet.torch, datasets/imagenet.lua).
RGB_EIGENVALUES = (0.2175, 0.0188, 0.0045)
RGB_EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class ColourNoise(nn.Module):
    """Adds sum_i a_i * lambda_i * p_i to every pixel, a_i ~ N(0, sigma): one draw a picture.

    lambda_i, p_i: eigenvalues and eigenvectors of RGB. Image float (3, H, W) in [0, 1]; the result may leave [0, 1].
    Source: Krizhevsky et al. 2012, section 4.1.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.components = torch.tensor(RGB_EIGENVECTORS) * torch.tensor(RGB_EIGENVALUES)

    def forward(self, image: Tensor) -> Tensor:
        return image + (self.components @ (torch.randn(3) * self.sigma)).view(3, 1, 1)


class Contrast(nn.Module):
    """mean + f * (image - mean) + n: f ~ U(low, high), n ~ N(0, s) a pixel with s ~ U(0, noise); one f and s a picture.

    Image float (3, H, W) in [0, 1]; the result may leave [0, 1]. Nets that saw faint pictures have class models that
    grow from the zero image into something recognisable.
    """

    def __init__(self, factors: list[float], noise: float, mean: tuple[float, ...]) -> None:
        super().__init__()
        self.low, self.high = factors
        self.noise = noise
        self.mean = torch.tensor(mean).view(3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        factor, sigma = torch.rand(2).tolist()
        contrasted = self.mean + (self.low + (self.high - self.low) * factor) * (image - self.mean)
        return contrasted + self.noise * sigma * torch.randn_like(image) if self.noise else contrasted


def training_transform(data: DataConfig, preprocessing: Preprocessing) -> v2.Compose:
    """uint8 (3, H, W) -> float32 (3, crop, crop) in about [0, 1].

    Jittering as Krizhevsky et al. 2012 (random crop of the resized picture, mirror, colour noise) and zeroing-out of
    random parts (paper, section 1.1): zero after the mean is subtracted, so the mean here.
    """
    steps: list[nn.Module] = [
        v2.Resize(preprocessing.resize, antialias=True),
        v2.RandomCrop(preprocessing.crop),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
    ]
    if data.colour_noise:
        steps.append(ColourNoise(data.colour_noise))
    if data.contrast != [1.0, 1.0] or data.noise:
        steps.append(Contrast(data.contrast, data.noise, preprocessing.mean))
    if data.erase:
        steps.append(v2.RandomErasing(data.erase, scale=(0.02, 0.2), value=list(preprocessing.mean)))
    return v2.Compose(steps)


def resize_whole(image: Tensor, short_side: int) -> Tensor:
    """uint8 (3, H, W) -> uint8 (3, h, w) with min(h, w) = short_side and the aspect kept to a pixel."""
    if min(image.shape[-2:]) == short_side:
        return image
    resized: Tensor = v2.functional.resize(image, [short_side], antialias=True)
    return resized


def centre_crop(image: Tensor, side: int) -> Tensor:
    """(..., H, W) -> (..., side, side): the same window as the centre one of ten crops. (torchvision's lies one pixel
    further right or down where the margins are 3, 7, 11, ... together.)"""
    top, left = ((length - side) // 2 for length in image.shape[-2:])
    return image[..., top : top + side, left : left + side]
