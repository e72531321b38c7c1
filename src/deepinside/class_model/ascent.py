"""The ascent of one batch of classes: what happens in a step, what is noted, and when a class stops."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from deepinside.attribution.gradient import ScoreGraph
from deepinside.attribution.route import in_best_layout
from deepinside.attribution.scores import Score, class_score, posterior
from deepinside.class_model.parameterisation import Parameterisation
from deepinside.class_model.regulariser import Regulariser
from deepinside.class_model.transform import Transform

OptimiserFactory = Callable[[list[Tensor]], Optimizer]
Size = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """The numbers of an ascent, as `optimise_class_models` explains them."""

    size: Size
    steps: int
    ramp: float
    octaves: int
    tolerance: float
    patience: int
    frames: int
    seed: int

    def sizes(self) -> list[Size]:
        height, width = self.size
        shares = [2 ** (octave + 1 - self.octaves) for octave in range(self.octaves)]
        return [(max(1, round(height * share)), max(1, round(width * share))) for share in shares]


def frame_steps(steps: int, frames: int) -> list[int]:
    """After how many of the steps a frame is kept: fewer than `frames`, and the result fills them up."""
    return sorted({round(steps * (i / max(1, frames - 1)) ** 2) for i in range(frames - 1)})


@dataclass(frozen=True)
class Pieces:
    """The exchangeable parts of an ascent, as `optimise_class_models` explains them."""

    parameterisation: Parameterisation
    objective: Score
    regulariser: Regulariser
    transform: Transform | None
    optimiser: OptimiserFactory


@dataclass
class Ascent:
    """The ascent of one batch of classes; begin: I of the first of them, to start at in place of the zero image."""

    bare: nn.Module
    classes: Tensor
    centre: Tensor
    plan: Plan
    pieces: Pieces
    begin: Tensor | None = None
    step: int = 0
    trace: list[Tensor] = field(default_factory=list)
    film: list[Tensor] = field(default_factory=list)

    def run(self, wanted: int, on_step: Callable[[int, int], None] | None) -> tuple[Tensor, ...]:
        """images, score, posterior, shut, traces (K, 3, steps), steps taken, frames.

        The first `wanted` classes are no padding.
        """
        plan = self.plan
        self.generator = torch.Generator().manual_seed(plan.seed)
        images, shut = _start(self.bare, self.centre, self.classes, plan.size, self.begin)
        self.result = images
        self.taken = torch.full_like(self.classes, plan.steps)
        self.best = images.new_full((len(images),), -torch.inf)
        self.since = torch.zeros_like(self.classes)
        for octave, size in enumerate(plan.sizes()):
            images = self._octave(images, size, plan.steps * (octave + 1) // plan.octaves, wanted, on_step)
        running = self.taken == plan.steps
        self.result = torch.where(running[:, None, None, None], images, self.result)
        with torch.no_grad():
            picture = self.centre + self.result / 255
            scores = in_best_layout(self.bare, picture, partial(_scores, self.bare, picture))
        final = [class_score(scores, self.classes), posterior(scores, self.classes)]
        frames = [*self.film, *[self.result] * (plan.frames - len(self.film))]
        film = torch.stack(frames, 1) if frames else self.result.new_zeros(len(self.classes), 0, *images.shape[1:])
        if self.step < plan.steps and on_step is not None:
            on_step(wanted, plan.steps - self.step)
        traces = torch.stack(self.trace, 2)
        traces = F.pad(traces, (0, plan.steps - self.step), value=torch.nan)
        late = torch.arange(plan.steps, device=traces.device) >= self.taken[:, None]
        return self.result, *final, shut, traces.masked_fill(late[:, None], torch.nan), self.taken, film

    def _octave(
        self, images: Tensor, size: Size, until: int, wanted: int, on_step: Callable[[int, int], None] | None
    ) -> Tensor:
        pieces, plan = self.pieces, self.plan
        parameters = pieces.parameterisation.encode(_resize(images, size)).requires_grad_()
        ascent = pieces.optimiser([parameters])
        while self.step < until and (self.taken == plan.steps).any():
            drawn = _resize(pieces.parameterisation.decode(parameters, size), plan.size)
            images = drawn.detach()
            if self.step in frame_steps(plan.steps, plan.frames):
                self._keep(images)
            down = self._descent(images)
            parameters.grad = down if drawn is parameters else torch.autograd.grad(drawn, parameters, down)[0]
            ascent.step()
            self.step += 1
            if on_step is not None:
                on_step(wanted, 1)
        return _resize(pieces.parameterisation.decode(parameters.detach(), size), plan.size).clone()

    def _descent(self, images: Tensor) -> Tensor:
        """d(R - objective)/dI, one forward and one backward pass towards the picture alone; notes the traces."""
        pieces, plan = self.pieces, self.plan
        leaf = images.clone().requires_grad_()
        seen = pieces.transform(leaf, self.generator) if pieces.transform else leaf
        picture = self.centre + seen.detach() / 255
        now, gradient = _climb(self.bare, picture, self.classes, pieces.objective)
        gradient = gradient.contiguous() / 255
        if seen is not leaf:
            gradient = torch.autograd.grad(seen, leaf, gradient)[0]
        value = pieces.objective(now, self.classes)
        squares = images.square().flatten(1).sum(1)
        self.trace.append(torch.stack([class_score(now, self.classes), posterior(now, self.classes), squares], 1))
        share = min(1.0, self.step / (plan.ramp * plan.steps)) if plan.ramp else 1.0
        if plan.tolerance > 0 and share == 1.0 and self.step >= plan.steps * (plan.octaves - 1) / plan.octaves:
            self._stop(images, value - pieces.regulariser.value(images))
        return share * pieces.regulariser.gradient(images) - gradient

    def _stop(self, images: Tensor, reached: Tensor) -> None:
        """Takes the pictures of classes that have converged; their slots go on, and nobody looks at them any more."""
        better = reached > self.best + self.plan.tolerance * self.best.abs().nan_to_num(posinf=0.0)
        self.best = torch.where(better, reached, self.best)
        self.since = torch.where(better, 0, self.since + 1)
        stops = (self.since >= self.plan.patience) & (self.taken == self.plan.steps)
        self.result = torch.where(stops[:, None, None, None], images, self.result)
        self.taken = torch.where(stops, self.step, self.taken)

    def _keep(self, images: Tensor) -> None:
        running = (self.taken == self.plan.steps)[:, None, None, None]
        self.film.append(torch.where(running, images, self.result).clone())


def _resize(images: Tensor, size: Size) -> Tensor:
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=size < images.shape[-2:])


def _climb(bare: nn.Module, picture: Tensor, classes: Tensor, objective: Score) -> tuple[Tensor, Tensor]:
    """The class scores (K, C) of the pictures, and the objective's gradient with respect to each."""

    def climb(channels_last: bool) -> tuple[Tensor, Tensor]:
        graph = ScoreGraph(bare, seen, channels_last=channels_last)
        return graph.scores, graph.gradients(classes[:, None], objective)[:, 0].to(picture.dtype)

    seen = picture.to(_precision(bare, picture))
    return in_best_layout(bare, seen, climb)


def _scores(bare: nn.Module, picture: Tensor, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    scores: Tensor = bare(picture.to(_precision(bare, picture)).clone(memory_format=layout))
    return scores.to(picture.dtype)


def _precision(bare: nn.Module, picture: Tensor) -> torch.dtype:
    """Of the weights, which is what the net takes."""
    return next((t.dtype for t in chain(bare.parameters(), bare.buffers()) if t.is_floating_point()), picture.dtype)


def _start(bare: nn.Module, centre: Tensor, classes: Tensor, size: Size, begin: Tensor | None) -> tuple[Tensor, Tensor]:
    """Images to `begin` at, else the zero image; faint noise, drawn by class, where the score has no gradient at all
    there. And who has none.

    A ReLU before the soft-max (SqueezeNet has one) can be shut for a class all over the zero image, which then is a
    stationary point. The noise grows from 4 to 128 grey levels until the class has a gradient; a class that has none
    even then is `shut`, bool (K,).
    """
    images = centre.new_zeros(len(classes), 3, *size)
    if begin is not None:
        images[: len(begin)] = _resize(begin, size)
    shut = torch.zeros_like(classes, dtype=torch.bool)
    for sigma in (0, 4, 8, 16, 32, 64, 128):
        for i in shut.nonzero()[:, 0].tolist():
            generator = torch.Generator().manual_seed(int(classes[i]))
            noise = torch.randn(3, *size, generator=generator, device="cpu", dtype=torch.float32)
            images[i] = noise.to(images) * sigma
        gradient = _climb(bare, centre + images / 255, classes, class_score)[1]
        shut = ~(gradient.flatten(1).abs().amax(1) > 0)  # none, or NaN, as where a net divides by the contrast
        if not shut.any():
            break
    return images, shut
