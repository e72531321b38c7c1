"""Finding class models for a ConvNet, and keeping each in a file of its own, so that a killed analysis goes on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from callbacks.film_strips import shrink
from callbacks.kept_results import load_result, net_fingerprint, save_result
from deepinside.class_model import class_model_picture, frame_steps, optimise_class_models, preset
from deepinside.class_model_numbers import chosen_numbers
from deepinside.config import ClassModelsConfig
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet

Mean = Sequence[float] | Tensor


@dataclass(frozen=True)
class Found:
    """One class's model.

    image: I, float16 (3, H, W), on the 0..255 scale. score, posterior, norm: S_c, P_c, ||I||_2 of I. shut: the class
    has no gradient. traces (3, steps): S_c, P_c and ||I||_2 before every step. frames: float16 (F, 3, h, w), the way.
    """

    index: int
    objective: str
    image: Tensor
    score: float
    posterior: float
    norm: float
    shut: bool
    traces: Tensor
    frames: Tensor

    @property
    def finite(self) -> bool:
        numbers = torch.tensor([self.score, self.posterior, self.norm])
        return bool(self.image.isfinite().all() and numbers.isfinite().all())

    def picture(self, mean: Mean) -> Tensor:
        """As displayed on the channel means or the mean image: uint8 (3, H, W)."""
        return class_model_picture(self.image.float(), mean)

    def film(self, mean: Mean) -> Tensor:
        """The frames as displayed: uint8 (F, 3, h, w), F > 0."""
        if isinstance(mean, Tensor) and mean.ndim == 3:
            mean = shrink(mean, self.frames.shape[-1])
        return torch.stack([class_model_picture(frame.float(), mean) for frame in self.frames])

    def film_titles(self, steps: int) -> list[str]:
        """Where each frame was seen, in an ascent that was to take so many steps from the zero image, or from noise."""
        taken = self.traces.shape[1]
        seen = [min(step, taken) for step in frame_steps(steps, len(self.frames))]
        seen += [taken] * (len(self.frames) - len(seen))
        start = "noise" if self.frames[0].any() else "zero image"
        return [f"step {step}" if step else start for step in seen]


def batch_size(settings: ClassModelsConfig, device: torch.device) -> int:
    """How many pictures the ConvNet sees at once: CPUs gain little beyond a few."""
    return settings.batch or (4 if device.type == "cpu" else 32)


def find_class_models(
    convnet: ConvNet,
    classes: list[int],
    settings: ClassModelsConfig,
    *,
    objective: str | None = None,
    frames: int = 0,
    start: Tensor | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Found]:
    """Class models at the ConvNet's own crop size, begun at `start` (K, 3, h, w) with the full penalty, or at zero; of
    one that has diverged, see `told_diverged`, not all numbers are finite."""
    mean, side = convnet.preprocessing.mean, convnet.preprocessing.crop
    numbers = chosen_numbers(vars(settings), objective)
    if start is not None:
        numbers = replace(numbers, ramp=0.0)
    models = optimise_class_models(
        convnet,
        torch.tensor(classes),
        (side, side),
        mean,
        **preset(settings.preset, **asdict(numbers)),
        batch=batch_size(settings, convnet.mean.device),
        frames=frames,
        start=start,
        on_step=on_step,
    )
    traces = torch.stack([models.scores, models.posteriors, models.squared_norms.sqrt()]).cpu()
    return [
        Found(
            index,
            numbers.objective,
            models.images[i].half().cpu(),
            float(models.score[i]),
            float(models.posterior[i]),
            float(models.norm[i]),
            bool(models.shut[i]),
            traces[:, : int(models.steps[i]), i].clone(),
            shrink(models.frames[i]).half().cpu(),
        )
        for i, index in enumerate(classes)
    ]


def told_diverged(found: Sequence[Found], convnet: ConvNet, settings: ClassModelsConfig) -> str:
    """In a line which have diverged; "" if none has."""
    names = [f"'{convnet.classes.short_name(item.index)}'" for item in found if not item.finite]
    lr = chosen_numbers(vars(settings)).lr
    return f"the class model of {', '.join(names)} diverged: lower class_models.lr ({lr:g})" if names else ""


class Store:
    """`<folder>/<class index>_<objective>.pt`; other settings make it anew."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def path(self, index: int, objective: str) -> Path:
        return self.folder / f"{index:04d}_{objective}.pt"

    def load(self, index: int, objective: str) -> Found | None:
        """What was kept, or None where there is nothing, half a file, or the fruit of other settings."""
        content = load_result(self.path(index, objective), self.fingerprint)
        try:
            return Found(**content) if content else None
        except TypeError:  # of another version
            return None

    def save(self, found: Found) -> None:
        content = {f.name: getattr(found, f.name) for f in fields(found)}
        save_result(self.path(found.index, found.objective), self.fingerprint, content)


def fingerprint(convnet: ConvNet, settings: ClassModelsConfig) -> str:
    """Of all that a class model depends on: weights, normalisation, numbers, the batch that decides rounding.

    Not of the mean image: it is added when the class model is shown.
    """
    numbers = asdict(chosen_numbers(vars(settings))) | {"objective": None}  # the file's name has it
    numbers |= {"batch": batch_size(settings, convnet.mean.device), "frames": settings.frames}
    return net_fingerprint(convnet, numbers)


@dataclass(frozen=True)
class Judgement:
    """Another net's view of a displayed class model: its posterior of the class, and the class's rank, 1 the best."""

    posterior: float
    rank: int


def check_judge(judge: ConvNet, convnet: ConvNet, classes: list[int]) -> None:
    """Raises UserError where the other net does not know a class."""
    for index in classes:
        if (identifier := convnet.classes.ids[index]) not in judge.classes.ids:
            raise UserError(f"class_models.judge: {judge.name} does not know the class '{identifier}'")


@torch.no_grad()
def judge_pictures(judge: ConvNet, convnet: ConvNet, found: list[Found], mean: Mean) -> list[Judgement]:
    """The transfer score: each displayed picture alone, at the judge's own crop size, in its own class order."""
    device, side = convnet.mean.device, judge.preprocessing.crop
    judge.to(device).eval()
    judgements = []
    for item in found:
        picture = item.picture(mean)[None].to(device).float() / 255
        if picture.shape[-2:] != (side, side):
            picture = F.interpolate(picture, (side, side), mode="bilinear", antialias=True)
        chances = judge(picture)[0].softmax(0)
        own = chances[judge.classes.ids.index(convnet.classes.ids[item.index])]
        judgements.append(Judgement(float(own), 1 + int((chances > own).sum())))
    return judgements
