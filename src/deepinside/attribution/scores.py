"""What a saliency map explains and a class model maximises: one number a picture and class (paper, section 2)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deepinside.attribution.inputs import shape_or_type

Score = Callable[[Tensor, Tensor], Tensor]


def class_score(scores: Tensor, classes: Tensor) -> Tensor:
    """S_c, before the soft-max: the paper's choice (section 2). (N, C), (N,) -> (N,)."""
    return scores.gather(1, classes[:, None])[:, 0]


def posterior(scores: Tensor, classes: Tensor) -> Tensor:
    """P_c = exp S_c / sum_k exp S_k, which also grows when other classes' scores fall. (N, C), (N,) -> (N,)."""
    return class_score(scores.softmax(1), classes)


def log_posterior(scores: Tensor, classes: Tensor) -> Tensor:
    """log P_c: as P_c, with a gradient that does not vanish where P_c is near 0. (N, C), (N,) -> (N,)."""
    return class_score(scores.log_softmax(1), classes)


SCORES: dict[str, Score] = {"score": class_score, "softmax": posterior, "log_softmax": log_posterior}


def find_score(score: str | Score) -> Score:
    """A score by its name, or a callable (N, C), (N,) -> (N,) as it is. Raises ValueError for other names."""
    if callable(score):
        return score
    if score not in SCORES:
        raise ValueError(f"score '{score}' is unknown; it is one of {', '.join(SCORES)}, or a callable")
    return SCORES[score]


def evaluate(score: Score, scores: Tensor, classes: Tensor) -> Tensor:
    """score(scores, classes). Raises ValueError unless it is (N,), since a mean over the pictures would mix them, and
    has a gradient."""
    values = score(scores, classes)
    if not isinstance(values, Tensor) or values.shape != classes.shape:
        count, gave = len(classes), shape_or_type(values)
        raise ValueError(f"the score must give one number a picture, ({count},), it gave {gave}")
    if not values.requires_grad:
        raise ValueError("the score has no gradient: it does not depend on what the model gives")
    return values


def check_scores(scores: Any, count: int) -> None:
    """Raises ValueError unless what a model gives for so many pictures is (count, classes)."""
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != count:
        raise ValueError(f"the model must give class scores ({count}, classes), it gave {shape_or_type(scores)}")


def check_dependence(scores: Tensor) -> None:
    """Raises ValueError where no gradient leads from the scores back to the pictures."""
    if not scores.requires_grad:
        raise ValueError(
            "the model's scores have no gradient: they do not depend on the picture, or the model cuts the graph"
            " (detach, no_grad)"
        )


def check_classes(classes: Tensor, num_classes: int) -> None:
    """Raises ValueError unless they are int64 and below `num_classes`."""
    if classes.dtype != torch.int64 or (
        classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes
    ):
        raise ValueError(f"class indices must be int64 in 0..{num_classes - 1}")
