"""Comparison of runs that were evaluated on the same pictures."""

from deepinside.compare.comparison import Comparison, compare
from deepinside.compare.disagreement import Disagreement
from deepinside.compare.kept import Shown, keep_class_models, keep_pictures, kept_maps
from deepinside.compare.measures import Measure
from deepinside.compare.seeds import OverSeeds, RecipeMeasure
from deepinside.compare.settings import trained
from deepinside.compare.statistics import Difference, McNemar, mean_interval

__all__ = [
    "Comparison",
    "Difference",
    "Disagreement",
    "McNemar",
    "Measure",
    "OverSeeds",
    "RecipeMeasure",
    "Shown",
    "compare",
    "keep_class_models",
    "keep_pictures",
    "kept_maps",
    "mean_interval",
    "trained",
]
