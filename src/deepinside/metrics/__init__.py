"""The score: ILSVRC's localisation rules, what a saliency map is worth itself, kinds of error, intervals."""

from deepinside.metrics.box_errors import box_error, guess_error
from deepinside.metrics.localisation import (
    ERRORS,
    MEASURES,
    ROWS,
    LocalisationError,
    PictureScore,
    possible_errors,
    score_guesses,
    score_picture,
)
from deepinside.metrics.max_box import MaxBoxAccuracy, centre_hits, threshold_hits
from deepinside.metrics.summary import Outcomes, mean_intervals, summarise

__all__ = [
    "ERRORS",
    "MEASURES",
    "ROWS",
    "LocalisationError",
    "MaxBoxAccuracy",
    "Outcomes",
    "PictureScore",
    "box_error",
    "centre_hits",
    "guess_error",
    "mean_intervals",
    "possible_errors",
    "score_guesses",
    "score_picture",
    "summarise",
    "threshold_hits",
]
