"""Glue between Lightning's Trainer and the library: what is looked at during training and after it."""

from callbacks.class_models import ClassModels
from callbacks.classified import Classified
from callbacks.found_boxes import FoundBoxes
from callbacks.hparams import HyperParameters
from callbacks.localisation import Localisation
from callbacks.mean_image import MeanImage
from callbacks.relation import Relation
from callbacks.saliency_maps import SaliencyMaps
from callbacks.sanity import Randomisation
from callbacks.subject import Pictures

__all__ = [
    "ClassModels",
    "Classified",
    "FoundBoxes",
    "HyperParameters",
    "Localisation",
    "MeanImage",
    "Pictures",
    "Randomisation",
    "Relation",
    "SaliencyMaps",
]
