"""From a ConvNet and classes to class models: everything but the net is a separate, exchangeable argument."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from deepinside.attribution.context import gradients_on
from deepinside.attribution.inputs import is_whole, shape_or_type
from deepinside.attribution.scores import Score, find_score
from deepinside.class_model.ascent import Ascent, OptimiserFactory, Pieces, Plan, Size
from deepinside.class_model.parameterisation import Parameterisation, Pixels
from deepinside.class_model.regulariser import Regulariser, squared_norm
from deepinside.class_model.transform import Transform


def adam(images: list[Tensor]) -> Optimizer:
    """Steps of about one grey level a pixel, whatever the scale of the scores."""
    return Adam(images, lr=1.0)


@dataclass(frozen=True)
class ClassModelResult:
    """What was found for K classes.

    images (K, 3, H, W): I, mean-subtracted, on the 0..255 scale. score, posterior, norm (K,): S_c(I), P_c(I) and
    ||I||_2 of these pictures. shut (K,): the class has no gradient, on the zero image as on noise: the picture says
    nothing of it. scores, posteriors, squared_norms (steps, K): the traces of S_c, P_c and ||I||_2^2 before every step,
    S_c and P_c of the transformed picture where there is a transform; NaN from where a class has stopped. steps (K,):
    how many steps each class took. frames (K, F, 3, H, W): the pictures on the way, the last one the result.
    """

    images: Tensor
    score: Tensor
    posterior: Tensor
    norm: Tensor
    shut: Tensor
    scores: Tensor
    posteriors: Tensor
    squared_norms: Tensor
    steps: Tensor
    frames: Tensor


def optimise_class_models(
    model: nn.Module,
    classes: Tensor,
    size: Size,
    mean: Sequence[float],
    *,
    parameterisation: Parameterisation | None = None,
    objective: str | Score = "score",
    regulariser: Regulariser | None = None,
    transform: Transform | None = None,
    optimiser: OptimiserFactory = adam,
    steps: int = 200,
    ramp: float = 0.5,
    octaves: int = 1,
    tolerance: float = 0.0,
    patience: int = 50,
    batch: int | None = None,
    frames: int = 0,
    seed: int = 0,
    start: Tensor | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> ClassModelResult:
    """I* = argmax_I S_c(I) - R(I) by gradient ascent from the zero image, weights fixed (paper, section 2).

    model: pictures (K, 3, H, W) in [0, 1] -> class scores (K, C); used in eval mode and left as it was.
    classes: (K,) int64. size: (H, W). mean: channel means in [0, 1]. The model sees mean + I / 255: I lives in
    mean-subtracted 0..255 space, so a penalty means the same for every net. Nets of half precision see I rounded; what
    is climbed, noted and returned is in float32.

    parameterisation: Pixels() (paper) or Fourier(). objective: score (paper), softmax, log_softmax, or a callable
    (K, C), (K,) -> (K,). regulariser: R, squared_norm(1e-5) unless given. transform: what is done to the picture
    before every step; None (paper): nothing. optimiser: makes a torch optimiser of [parameters]; it must treat every
    number on its own, as SGD and Adam do, or classes would depend on their company. octaves: 1 (paper), or so many
    sizes from coarse to fine, each twice the one before, the steps shared among them.

    ramp: R grows from 0 to its full weight over this share of the steps: near the zero image scores rise so slowly
    that the full penalty would make it a local maximum for some classes. What is maximised in the end is the same.
    Where the zero image gives a class no gradient at all, its ascent starts from faint noise instead.
    start: (K, 3, h, w), I to begin at in place of the zero image, enlarged or shrunk to `size`; where it is an optimum
    for a net that has changed little since, ramp=0 and few steps will do.

    tolerance: a class stops when, at full penalty, objective - R has not risen by this share of itself for `patience`
    steps; 0: never. frames: how many pictures to keep of the way, closer together where the picture changes faster.
    on_step(classes, steps): told after every step how many classes have gone how much further (for a progress bar).

    batch: the model always sees exactly so many pictures, the last ones padded with repetitions: kernels round
    differently for batches of different sizes, and max-pools that tie on the zero image make that visible. With
    `batch` a class's result is the same to the last bit whatever other classes are asked for (same machine, same number
    of threads); None: all classes at once.

    Returns `ClassModelResult`. Raises ValueError for numbers and names that make no sense, classes that the model does
    not have among them.
    """
    if not isinstance(classes, Tensor) or classes.ndim != 1 or not len(classes) or classes.dtype != torch.int64:
        got = f"{classes.dtype} {tuple(classes.shape)}" if isinstance(classes, Tensor) else type(classes).__name__
        raise ValueError(f"classes must be an int64 tensor (K,) with K >= 1, got {got}")
    counts = {"steps": steps, "octaves": octaves, "patience": patience, "batch": 1 if batch is None else batch}
    _check_numbers(size, mean, ramp, tolerance, frames, seed, counts)
    _check_start(start, len(classes))
    plan = Plan((int(size[0]), int(size[1])), steps, ramp, octaves, tolerance, patience, frames, int(seed))
    pieces = Pieces(
        parameterisation or Pixels(),
        find_score(objective),
        squared_norm(1e-5) if regulariser is None else regulariser,
        transform,
        optimiser,
    )
    found = []
    with gradients_on(model) as bare:
        tensors = (t for t in chain(bare.parameters(), bare.buffers()) if t.is_floating_point())
        like = next(tensors, torch.zeros(()))  # a net may have neither
        precise = torch.promote_types(like.dtype, torch.float32)  # Adam's and ||I||^2's numbers leave float16's range
        centre = torch.as_tensor(mean, dtype=precise, device=like.device).view(3, 1, 1)
        together = batch or len(classes)
        for i, some in enumerate(classes.to(like.device).clone().split(together)):  # may come from inference mode
            padded = F.pad(some[None], (0, together - len(some)), "replicate")[0]
            first = None if start is None else start.detach()[i * together : (i + 1) * together].to(centre)
            ascent = Ascent(bare, padded, centre, plan, pieces, first)
            found.append([part[: len(some)] for part in ascent.run(len(some), on_step)])
    images, score, chance, shut, traces, taken, film = (torch.cat(parts) for parts in zip(*found, strict=True))
    scores, posteriors, squares = traces.unbind(1)
    norm = images.square().flatten(1).sum(1).sqrt()
    return ClassModelResult(images, score, chance, norm, shut, scores.T, posteriors.T, squares.T, taken, film)


def _check_numbers(
    size: Size, mean: Sequence[float], ramp: float, tolerance: float, frames: int, seed: int, counts: dict[str, int]
) -> None:
    """The bounds that `ClassModelsConfig` has."""
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(is_whole(n) and n >= 1 for n in size):
        raise ValueError(f"size must be (H, W), two whole numbers from 1, got {size}")
    if not hasattr(mean, "__len__") or len(mean) != 3 or not all(_is_number(one) and 0 <= one <= 1 for one in mean):
        raise ValueError(f"mean must be the 3 channel means, in [0, 1], not {shape_or_type(mean)}")
    if not _is_number(ramp) or not 0 <= ramp <= 1:
        raise ValueError(f"ramp is a share of the steps, in [0, 1], not {ramp}")
    if not _is_number(tolerance) or not tolerance >= 0:
        raise ValueError(f"tolerance must be >= 0, got {tolerance}")
    if not is_whole(frames) or frames < 0:
        raise ValueError(f"frames must be a whole number >= 0, got {frames}")
    if not is_whole(seed):
        raise ValueError(f"seed must be a whole number, got {seed}")
    for name, count in counts.items():
        if not is_whole(count) or count < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {count}")


def _is_number(given: object) -> bool:
    return isinstance(given, Real) or (isinstance(given, Tensor) and given.ndim == 0)


def _check_start(start: object, count: int) -> None:
    if start is None:
        return
    if not isinstance(start, Tensor) or start.ndim != 4 or start.shape[:2] != (count, 3):
        raise ValueError(f"start must be ({count}, 3, h, w), got {shape_or_type(start)}")
    if not start.isfinite().all():
        raise ValueError("start must be finite")
