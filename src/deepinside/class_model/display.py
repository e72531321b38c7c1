"""Class models as pictures for people."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deepinside.attribution.inputs import shape_or_type


def class_model_picture(image: Tensor, mean: Sequence[float] | Tensor, contrast: float = 0.995) -> Tensor:
    """For display: mean + I, as uint8 (3, H, W) (paper, section 2: the training-set mean image is added).

    mean: channel means (3,) or the mean image (3, H, W), in [0, 1]. I is scaled so that the quantile `contrast` of |I|
    comes to 110 grey levels: its own amplitude depends on the penalty. Raises ValueError unless I is one picture
    (3, H, W), all of it finite, and the mean fits.
    """
    fits = isinstance(image, Tensor) and image.ndim == 3 and len(image) == 3 and image.numel()
    if not fits or not image.isfinite().all():
        raise ValueError(f"image must be one finite picture (3, H, W), got {shape_or_type(image)}")
    top = float(np.quantile(image.detach().abs().float().cpu(), contrast)) or 1.0
    centre = torch.as_tensor(mean, device=image.device, dtype=torch.float32)
    if centre.shape not in ((3,), image.shape) or not (centre.min() >= 0 and centre.max() <= 1):
        raise ValueError(f"mean must be (3,) or the image's {tuple(image.shape)}, in [0, 1], not {tuple(centre.shape)}")
    centre = 255 * (centre.view(3, 1, 1) if centre.ndim == 1 else centre)
    return (centre + image * (110 / top)).round().clamp(0, 255).to(torch.uint8)
