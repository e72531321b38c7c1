"""What is looked at: the ConvNet inside any LightningModule, and the fixed pictures that it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.gathering import spread
from deepinside.attribution.context import gradients_on
from deepinside.classifier import Classifier
from deepinside.config.options import Section
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes
from deepinside.data.views import WholePicture
from deepinside.errors import UserError, first_line
from deepinside.models.convnet import ConvNet, Preprocessing

Schema = TypeVar("Schema", bound=Section)


@dataclass(frozen=True)
class Pictures:
    """What a callback must be told to look into a LightningModule of another project.

    images (N, 3, H, W): RGB, uint8 or floating in [0, 1], before the normalisation. labels (N,): class indices, -1
    unknown. mean, std: per channel, what the module's own data pipeline subtracts and divides by: the module is called
    with (images - mean) / std, on squares of side min(H, W). boxes: for each picture (M, 4) pixels (x0, y0, x1, y1),
    half-open edges. class_names: in the order of the scores; None: their indices. Raises UserError where shapes or
    values do not fit.
    """

    images: Tensor
    labels: Tensor
    mean: Sequence[float]
    std: Sequence[float]
    boxes: Sequence[Tensor] | None = None
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name, given in (("images", self.images), ("labels", self.labels), *_named(self.boxes)):
            if not isinstance(given, Tensor):
                raise UserError(f"Pictures: {name} must be a tensor, not {type(given).__name__}")
        images, count = self.images, len(self.images)
        if images.ndim != 4 or images.shape[1] != 3 or not count:
            raise UserError(f"Pictures: images must be (N, 3, H, W) with N >= 1, not {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not (images.is_floating_point() and 0 <= images.min() <= images.max() <= 1):
            raise UserError("Pictures: images must be uint8 or in [0, 1]: as they are before mean and std are applied")
        if self.labels.shape != (count,) or self.labels.is_floating_point():
            raise UserError(f"Pictures: {count} images need as many class indices, not {tuple(self.labels.shape)}")
        single = not all(hasattr(given, "__len__") for given in (self.mean, self.std))
        if single or len(self.mean) != 3 or len(self.std) != 3 or not all(one > 0 for one in self.std):
            raise UserError("Pictures: mean and std must have 3 numbers each, std above 0")
        if not all(0 <= one <= 1 for one in (*self.mean, *self.std)):
            raise UserError("Pictures: mean is of pictures in [0, 1], as is std: divide those of 0 to 255 by 255")
        self._check_boxes()

    def __len__(self) -> int:
        return len(self.images)

    def _check_boxes(self) -> None:
        count, (height, width) = len(self.images), self.images.shape[2:]
        if self.boxes is not None and (len(self.boxes) != count or any(b.shape[1:] != (4,) for b in self.boxes)):
            raise UserError(f"Pictures: {count} images need as many boxes, each a tensor (M, 4)")
        for name, boxes in _named(self.boxes):
            if not len(boxes):
                continue
            if not (boxes[:, :2] < boxes[:, 2:]).all():
                raise UserError("Pictures: a box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1, in pixels")
            # Rounded edges may lie a pixel outside; where no edge is above 1 they are shares of the sides.
            if boxes.min() < -1 or boxes[:, 2].max() > width + 1 or boxes[:, 3].max() > height + 1:
                raise UserError(f"Pictures: {name} reaches out of its picture, {width} wide and {height} high")
            if boxes.max() <= 1:
                raise UserError(
                    f"Pictures: {name} is within one pixel: boxes are in pixels, not in shares of the sides"
                )

    def picture(self, i: int) -> WholePicture:
        """Picture `i` as evaluation gets it."""
        frame = self.images[i].detach().cpu()
        if frame.dtype != torch.uint8:
            frame = (frame * 255).round().to(torch.uint8)
        boxes = torch.zeros(0, 4) if self.boxes is None else self.boxes[i].detach().cpu().float()
        return WholePicture(frame, int(self.labels[i]), boxes, (frame.shape[1], frame.shape[2]), f"{i:05d}", i)


def _named(boxes: Sequence[Tensor] | None) -> list[tuple[str, Tensor]]:
    return [(f"boxes[{i}]", each) for i, each in enumerate(() if boxes is None else boxes)]


def settings_of(callback: Callback, given: Schema | None, default: Schema) -> Schema:
    """What a callback was given, or the default. Raises UserError where it is of another class than that."""
    if given is not None and not isinstance(given, type(default)):
        who, needs = type(callback).__name__, type(default).__name__
        raise UserError(
            f"{who} takes a {needs}, not {type(given).__name__}: {who}({needs}(...), ...) with "
            f"`from deepinside.config import {needs}`"
        )
    return default if given is None else given


def require_pictures(
    callback: Callback, trainer: Trainer, module: LightningModule, pictures: Pictures | None, *, data: bool = True
) -> None:
    """For `setup()`: raises UserError, in a line that says what to write, where there is nothing to look at or with.

    data: whether pictures are looked at; else, of Pictures, only the normalisation and the size are needed.
    """
    source = _data(trainer)
    known = isinstance(source, PictureData) and source.val is not None
    missing = not isinstance(module, Classifier) or (data and not known)
    if pictures is None and missing:
        who = type(callback).__name__
        raise UserError(
            f"{who} on {type(module).__name__} needs pictures: "
            f"{who}(..., pictures=Pictures(images, labels, mean, std)) with `from callbacks import Pictures`"
        )
    if pictures is not None and isinstance(module, Classifier):
        size, crop = tuple(pictures.images.shape[2:]), module.convnet.preprocessing.crop
        if min(size) < crop:
            raise UserError(f"Pictures: images are {size[0]}x{size[1]}, the ConvNet sees crops of {crop}x{crop}")


def convnet_of(module: LightningModule, pictures: Pictures | None) -> ConvNet:
    """The Classifier's own ConvNet; for any other module a ConvNet around it that shares its parameters.

    The module does not come to know of it. How many classes there are is found by one forward pass in eval mode. Made
    anew for every look: it lies where the module lies. Raises UserError where the module gives no scores (N, C), or
    names and labels do not fit them.
    """
    if isinstance(module, Classifier):
        return module.convnet
    assert pictures is not None, "require_pictures() comes first"
    side, name = min(pictures.images.shape[2:]), type(module).__name__
    preprocessing = Preprocessing(tuple(pictures.mean), tuple(pictures.std), side, side)
    like = next(module.parameters(), torch.zeros(()))
    with torch.inference_mode(False), like.device:  # gradients pass through its mean and std
        convnet = _Watched(name, module, preprocessing, Classes((), ()), ())
    count = _count_scores(convnet, name, side)
    names = tuple(pictures.class_names or map(str, range(count)))
    if len(names) != count:
        raise UserError(f"Pictures: {name} gives {count} scores, but there are {len(names)} class_names")
    if (label := int(pictures.labels.max())) >= count:
        raise UserError(f"Pictures: {name} gives {count} scores, so labels are 0 to {count - 1}, not {label}")
    convnet.classes = Classes(tuple(map(str, range(count))), names)
    return convnet


class _Watched(ConvNet):
    """What modules log in their forward pass is no part of the training, and goes nowhere."""

    def forward(self, images: Tensor) -> Tensor:
        owns: list[dict[str, Any]] = [vars(m) for m in self.net.modules() if hasattr(type(m), "log_dict")]
        before: list[dict[str, Any]] = [{k: own[k] for k in ("log", "log_dict") if k in own} for own in owns]
        try:
            for own in owns:
                own["log"] = own["log_dict"] = lambda *_, **__: None
            return super().forward(images)
        finally:
            for own, kept in zip(owns, before, strict=True):
                for name in ("log", "log_dict"):
                    own.pop(name, None)
                own.update(kept)


def fixed_pictures(trainer: Trainer, count: int, pictures: Pictures | None) -> list[WholePicture]:
    """This process's share of `count` pictures spread over `pictures`, or over the validation split without them.

    They are the same at every call; unreadable ones are left out.
    """
    data = _data(trainer)
    if pictures is not None:
        found = [pictures.picture(i) for i in _share(trainer, spread(count, len(pictures)))]
    else:
        assert isinstance(data, PictureData), "require_pictures() comes first"
        assert data.val is not None
        read = [data.whole_picture(i) for i in _share(trainer, spread(count, len(data.val)))]
        found = [picture for picture in read if picture is not None]
    return found


def _share(trainer: Trainer, items: list[int]) -> list[int]:
    return items[trainer.global_rank :: trainer.world_size]


def _data(trainer: Trainer) -> object:
    return getattr(trainer, "datamodule", None)


def _count_scores(convnet: ConvNet, name: str, side: int) -> int:
    blank = convnet.mean.expand(1, 3, side, side)
    try:
        with gradients_on(convnet) as bare:
            leaf = blank.clone().requires_grad_()
            scores = bare(leaf)
            if isinstance(scores, Tensor) and scores.requires_grad:  # a forward pass may allow no backward one
                torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
    except UserError:
        raise
    except Exception as error:  # whatever another project's module raises
        raise UserError(f"{name} cannot be called with pictures (1, 3, {side}, {side}): {first_line(error)}") from None
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != 1:
        what = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise UserError(f"{name} must give class scores (N, C) for pictures (N, 3, H, W), not {what}")
    if not scores.requires_grad:
        raise UserError(f"{name} gives scores without a gradient: its forward must do without torch.no_grad")
    return int(scores.shape[1])
