"""Class models: the picture that maximises a class score (paper, section 2)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from deepinside.attribution.gradient import gradients_on

Objective = Callable[[Tensor, Tensor], Tensor]


def class_score(scores: Tensor, classes: Tensor) -> Tensor:
    """S_c, before the soft-max (paper, section 2): (N, C), (N,) -> (N,)."""
    return scores.gather(1, classes[:, None])[:, 0]


def class_posterior(scores: Tensor, classes: Tensor) -> Tensor:
    """log P_c = log softmax(S)_c, for comparison: it can also grow by lowering the other classes' scores."""
    return class_score(scores.log_softmax(1), classes)


OBJECTIVES: dict[str, Objective] = {"score": class_score, "softmax": class_posterior}


@dataclass(frozen=True)
class ClassModels:
    """images (K, 3, H, W): I, mean-subtracted, on the 0..255 scale; traces (steps, K) of S_c, P_c and ||I||_2^2."""

    images: Tensor
    scores: Tensor
    posteriors: Tensor
    squared_norms: Tensor


def optimise_class_models(
    model: nn.Module,
    classes: Tensor,
    size: tuple[int, int],
    mean: Sequence[float],
    *,
    lam: float = 1e-5,
    steps: int = 200,
    optimiser: Callable[[list[Tensor]], Optimizer] = lambda images: Adam(images, lr=1.0),
    objective: Objective = class_score,
    jitter: int = 0,
    seed: int = 0,
) -> ClassModels:
    """I* = argmax_I S_c(I) - lam * ||I||_2^2 by gradient ascent from the zero image, weights fixed (paper, section 2).

    The penalty grows from 0 to `lam` over the first half of the steps: near the zero image scores rise so slowly that
    the full penalty would make it a local maximum for some classes. Where the zero image gives a class no gradient at
    all, its ascent starts from faint noise instead.

    model: pictures (K, 3, H, W) in [0, 1] -> class scores (K, C); used in eval mode and left as it was.
    classes: (K,) int64. size: (H, W). mean: channel means in [0, 1]. The model sees mean + I / 255: I lives in
    mean-subtracted 0..255 space, so `lam` means the same for every net. optimiser: makes a torch optimiser of [I]; its
    learning rate is in grey levels. jitter: beyond the paper, the picture is rolled by up to so many pixels each way
    before every step. A class's result does not depend on what else is in the batch. Raises ValueError for an empty
    `classes`.
    """
    if classes.ndim != 1 or not len(classes):
        raise ValueError(f"classes must be (K,) with K >= 1, got {tuple(classes.shape)}")
    shifts = _shifts(jitter, seed)
    trace = []
    with gradients_on(model) as bare:
        like = next(bare.parameters())
        classes = classes.to(like.device).clone()  # it may come from inference mode
        centre = like.new_tensor(mean).view(3, 1, 1)
        images = _start(bare, centre, classes, size).requires_grad_()
        ascent = optimiser([images])
        for step in range(steps):
            penalty = lam * min(1.0, 2 * step / steps)
            scores = bare((centre + images / 255).roll(next(shifts), (-2, -1)))
            images.grad = (
                torch.autograd.grad(-objective(scores, classes).sum(), images)[0] + 2 * penalty * images.detach()
            )
            now = scores.detach()
            norms = images.detach().square().flatten(1).sum(1)
            trace.append(torch.stack([class_score(now, classes), class_score(now.softmax(1), classes), norms]))
            ascent.step()
    traces = torch.stack(trace, 1)
    return ClassModels(images.detach(), traces[0], traces[1], traces[2])


def class_model_picture(image: Tensor, mean: Sequence[float], contrast: float = 0.995) -> Tensor:
    """For display: mean + I, as uint8 (3, H, W) (paper, section 2: the training mean is added).

    I is scaled so that the quantile `contrast` of |I| comes to 110 grey levels: its own amplitude depends on lam.
    """
    top = float(torch.quantile(image.abs().flatten().float(), contrast)) or 1.0
    centre = torch.tensor(mean, device=image.device).view(3, 1, 1) * 255
    return (centre + image * (110 / top)).round().clamp(0, 255).to(torch.uint8)


def _start(bare: nn.Module, centre: Tensor, classes: Tensor, size: tuple[int, int]) -> Tensor:
    """The zero image; faint noise, drawn by class, where the score has no gradient at all there.

    A ReLU before the soft-max (SqueezeNet has one) can be shut for a class all over the zero image, which then is a
    stationary point. The noise grows from 4 to 128 grey levels until the class has a gradient.
    """
    images = centre.new_zeros(len(classes), 3, *size)
    for sigma in (4, 8, 16, 32, 64, 128):
        picture = (centre + images / 255).requires_grad_()
        score = class_score(bare(picture), classes).sum()
        shut = torch.autograd.grad(score, picture)[0].flatten(1).abs().amax(1) == 0
        for i in shut.nonzero()[:, 0].tolist():
            generator = torch.Generator().manual_seed(int(classes[i]))
            images[i] = torch.randn(3, *size, generator=generator).to(images) * sigma
        if not shut.any():
            break
    return images


def _shifts(jitter: int, seed: int) -> Iterator[tuple[int, int]]:
    """The same shifts for every class and batch."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        dy, dx = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        yield dy, dx
