"""What a saliency map explains and a class model maximises: one number a picture and class (paper, section 2)."""

from collections.abc import Callable

import torch
from torch import Tensor

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


def check_classes(classes: Tensor, num_classes: int) -> None:
    """Raises ValueError unless they are int64 and below `num_classes`."""
    if classes.dtype != torch.int64 or (
        classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes
    ):
        raise ValueError(f"class indices must be int64 in 0..{num_classes - 1}")
