"""Class models: the picture that maximises a class score (paper, section 2), from separate, exchangeable parts."""

from deepinside.attribution.scores import class_score, log_posterior, posterior
from deepinside.class_model.ascent import frame_steps
from deepinside.class_model.display import class_model_picture
from deepinside.class_model.optimise import ClassModelResult, optimise_class_models
from deepinside.class_model.parameterisation import Fourier, Parameterisation, Pixels
from deepinside.class_model.presets import preset
from deepinside.class_model.regulariser import Regulariser, squared_norm, total_variation
from deepinside.class_model.transform import Transform, blur, compose, jitter, scale_and_rotate
from deepinside.class_model_numbers import PRESETS, Numbers

__all__ = [
    "PRESETS",
    "ClassModelResult",
    "Fourier",
    "Numbers",
    "Parameterisation",
    "Pixels",
    "Regulariser",
    "Transform",
    "blur",
    "class_model_picture",
    "class_score",
    "compose",
    "frame_steps",
    "jitter",
    "log_posterior",
    "optimise_class_models",
    "posterior",
    "preset",
    "scale_and_rotate",
    "squared_norm",
    "total_variation",
]
