"""The gradient of class scores with respect to pictures, and the maps made of it."""

from deepinside.attribution.crops import CropSaliency, crop_saliency, ten_crops
from deepinside.attribution.saliency import saliency

__all__ = ["CropSaliency", "crop_saliency", "saliency", "ten_crops"]
