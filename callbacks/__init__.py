"""Glue between Lightning's Trainer and the library: what is looked at during training and after it."""

from callbacks.class_models import ClassModels
from callbacks.gathering import gather, spread
from callbacks.localisation import Localisation
from callbacks.mean_image import MeanImage
from callbacks.progress import progress
from callbacks.relation import Relation
from callbacks.saliency_maps import SaliencyMaps

__all__ = ["ClassModels", "Localisation", "MeanImage", "Relation", "SaliencyMaps", "gather", "progress", "spread"]
