"""Glue between Lightning's Trainer and the library: what is looked at during training and after it."""

from callbacks.class_models import ClassModels
from callbacks.gathering import gather, spread
from callbacks.localisation import Localisation
from callbacks.progress import progress
from callbacks.saliency_maps import SaliencyMaps

__all__ = ["ClassModels", "Localisation", "SaliencyMaps", "gather", "progress", "spread"]
