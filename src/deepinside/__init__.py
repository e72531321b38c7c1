"""Look inside image classification ConvNets (Simonyan, Vedaldi & Zisserman 2013).

The functions below are imported when they are first used: `import deepinside` does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepinside.attribution.crops import Crop, crop_saliency, dense_crops, one_crop, square_ten_crops, ten_crops
    from deepinside.attribution.deconvnet import deconvnet
    from deepinside.attribution.relation import relation
    from deepinside.attribution.relu_coverage import relu_coverage
    from deepinside.attribution.relu_rules import ReluRule
    from deepinside.attribution.saliency import saliency
    from deepinside.class_model import class_model_picture, optimise_class_models
    from deepinside.localisation.locate import locate
    from deepinside.localisation.segment import object_box, segment

_HOMES = {
    "saliency": "attribution.saliency",
    "ReluRule": "attribution.relu_rules",
    "crop_saliency": "attribution.crops",
    "ten_crops": "attribution.crops",
    "square_ten_crops": "attribution.crops",
    "one_crop": "attribution.crops",
    "dense_crops": "attribution.crops",
    "Crop": "attribution.crops",
    "deconvnet": "attribution.deconvnet",
    "relation": "attribution.relation",
    "relu_coverage": "attribution.relu_coverage",
    "optimise_class_models": "class_model",
    "class_model_picture": "class_model",
    "segment": "localisation.segment",
    "object_box": "localisation.segment",
    "locate": "localisation.locate",
}

__all__ = [
    "Crop",
    "ReluRule",
    "class_model_picture",
    "crop_saliency",
    "deconvnet",
    "dense_crops",
    "locate",
    "object_box",
    "one_crop",
    "optimise_class_models",
    "relation",
    "relu_coverage",
    "saliency",
    "segment",
    "square_ten_crops",
    "ten_crops",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"deepinside has no '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(f"deepinside.{_HOMES[name]}"), name)
