"""Where the guesses of a picture go: to the boxes that are most likely to be the first right one."""

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_posteriors(scores: Tensor) -> Tensor:
    """The soft-max averaged over the crops (Krizhevsky et al. 2012): scores (crops, C) -> (C,), on the CPU."""
    return scores.float().cpu().softmax(1).mean(0)


def allocate(posteriors: Tensor, gains: Sequence[float], guesses: int) -> list[tuple[int, int]]:
    """The `guesses` pairs (class c, box n) with the largest expected gain P_c g_n, best first.

    posteriors (C,): P_c, up to a factor. gains, falling and > 0: g_n, the chance that box n of a picture's class is
    right and none of its boxes before is. These events exclude each other, so gains add up to the chance that any guess
    is right, and as g falls, a class's boxes come in order. Equal gains: the earlier box first, then the earlier class.
    Fewer pairs where there are no more.
    """
    expected = torch.outer(posteriors.new_tensor(gains), posteriors).flatten()
    order = expected.argsort(descending=True, stable=True)[:guesses]
    return [(i % len(posteriors), i // len(posteriors)) for i in order.tolist()]
