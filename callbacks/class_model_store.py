"""Finding class models for a ConvNet, and keeping each in a file of its own, so that a killed analysis goes on."""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deepinside.class_model import PRESETS, Numbers, class_model_picture, optimise_class_models, preset
from deepinside.config import ClassModelsConfig
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet

FRAME_SIDE = 112  # longest side of a film strip's frame, pixels


@dataclass(frozen=True)
class Found:
    """One class's model.

    picture: as displayed, uint8 (3, H, W). score, posterior, norm: S_c, P_c, ||I||_2 of I. traces (3, steps): S_c,
    P_c and ||I||_2 before every step. frames: uint8 (F, 3, h, w), the way there.
    """

    index: int
    objective: str
    picture: Tensor
    score: float
    posterior: float
    norm: float
    traces: Tensor
    frames: Tensor


def chosen_numbers(settings: ClassModelsConfig, objective: str | None = None) -> Numbers:
    """The preset's numbers with the configuration's own in their place, and `objective` in place of both."""
    own = {f.name: value for f in fields(Numbers) if (value := getattr(settings, f.name)) is not None}
    return replace(PRESETS[settings.preset], **own | ({"objective": objective} if objective else {}))


def batch_size(settings: ClassModelsConfig, device: torch.device) -> int:
    """How many pictures the ConvNet sees at once: CPUs gain little beyond a few."""
    return settings.batch or (4 if device.type == "cpu" else 32)


def find_class_models(
    convnet: ConvNet,
    classes: list[int],
    settings: ClassModelsConfig,
    *,
    objective: str | None = None,
    mean_image: Tensor | None = None,
    frames: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Found]:
    """Class models at the ConvNet's own crop size, shown on `mean_image` (3, H, W), or on the channel means."""
    mean, side = convnet.preprocessing.mean, convnet.preprocessing.crop
    numbers = chosen_numbers(settings, objective)
    models = optimise_class_models(
        convnet,
        torch.tensor(classes),
        (side, side),
        mean,
        **preset(settings.preset, **asdict(numbers)),
        batch=batch_size(settings, convnet.mean.device),
        frames=frames,
        on_step=on_step,
    )
    shown = mean if mean_image is None else mean_image
    small = min(side, FRAME_SIDE)
    traces = torch.stack([models.scores, models.posteriors, models.squared_norms.sqrt()]).cpu()
    return [
        Found(
            index,
            numbers.objective,
            class_model_picture(models.images[i], shown).cpu(),
            float(models.score[i]),
            float(models.posterior[i]),
            float(models.norm[i]),
            traces[:, : int(models.steps[i]), i].clone(),
            _small_frames(models.frames[i], shown, small),
        )
        for i, index in enumerate(classes)
    ]


def _small_frames(frames: Tensor, mean: Any, side: int) -> Tensor:
    pictures = [class_model_picture(frame, mean).float()[None] for frame in frames]
    resized = [F.interpolate(p, (side, side), mode="bilinear", antialias=True).round() for p in pictures]
    return torch.cat(resized).to(torch.uint8).cpu() if resized else torch.zeros(0, 3, side, side, dtype=torch.uint8)


class Store:
    """`<folder>/<class index>_<objective>.pt`, written beside and moved into place; other settings make it anew."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def path(self, index: int, objective: str) -> Path:
        return self.folder / f"{index:04d}_{objective}.pt"

    def load(self, index: int, objective: str) -> Found | None:
        """What was kept, or None where there is nothing, half a file, or the fruit of other settings."""
        try:
            content = torch.load(self.path(index, objective), weights_only=True, map_location="cpu")
            if content.pop("fingerprint") != self.fingerprint:
                return None
            return Found(**content)
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, pickle.PickleError):
            return None

    def save(self, found: Found) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(found.index, found.objective)
        part = path.with_suffix(".part")
        torch.save({f.name: getattr(found, f.name) for f in fields(found)} | {"fingerprint": self.fingerprint}, part)
        part.replace(path)


def fingerprint(convnet: ConvNet, settings: ClassModelsConfig, mean_image: Tensor | None) -> str:
    """Of all that a class model depends on: weights, normalisation, numbers, the batch that decides rounding."""
    numbers = asdict(chosen_numbers(settings)) | {"objective": None}  # the file's name has it
    numbers |= {"batch": batch_size(settings, convnet.mean.device), "frames": settings.frames, "net": convnet.name}
    numbers |= asdict(convnet.preprocessing)
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name, tensor in (*sorted(convnet.state_dict().items()), ("mean image", mean_image)):
        digest.update(name.encode())
        if tensor is not None:
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


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
def judge_pictures(judge: ConvNet, convnet: ConvNet, found: list[Found]) -> list[Judgement]:
    """The transfer score: each displayed picture alone, at the judge's own crop size, in its own class order."""
    device, side = convnet.mean.device, judge.preprocessing.crop
    judge.to(device).eval()
    judgements = []
    for item in found:
        picture = item.picture[None].to(device).float() / 255
        if picture.shape[-2:] != (side, side):
            picture = F.interpolate(picture, (side, side), mode="bilinear", antialias=True)
        chances = judge(picture)[0].softmax(0)
        own = chances[judge.classes.ids.index(convnet.classes.ids[item.index])]
        judgements.append(Judgement(float(own), 1 + int((chances > own).sum())))
    return judgements
