"""Class models as pictures for people."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def class_model_picture(image: Tensor, mean: Sequence[float] | Tensor, contrast: float = 0.995) -> Tensor:
    """For display: mean + I, as uint8 (3, H, W) (paper, section 2: the training-set mean image is added).

    mean: channel means (3,) or the mean image (3, H, W), in [0, 1]. I is scaled so that the quantile `contrast` of |I|
    comes to 110 grey levels: its own amplitude depends on the penalty. Raises ValueError unless I is one picture
    (3, H, W), all of it finite.
    """
    if image.ndim != 3 or len(image) != 3 or not image.isfinite().all():
        raise ValueError(f"image must be one finite picture (3, H, W), got {tuple(image.shape)}")
    top = float(np.quantile(image.detach().abs().float().cpu(), contrast)) or 1.0
    centre = torch.as_tensor(mean, device=image.device, dtype=torch.float32) * 255
    centre = centre.view(3, 1, 1) if centre.ndim == 1 else centre
    return (centre + image * (110 / top)).round().clamp(0, 255).to(torch.uint8)
