"""The training pictures' mean, which the paper adds to a class model for display (section 2)."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.gathering import show_picture
from deepinside.data.views import UNREADABLE
from deepinside.errors import UserError, first_line
from deepinside.files import replacing
from deepinside.plots import draw_class_model


class MeanImage(Callback):
    """At predict: the mean of the centre crops, over all processes, into `file`; a picture of it into `folder`.

    `file` holds plain tensors: `mean` (3, H, W) float32 in [0, 1], and `images`, how many were averaged. Pixels are
    bytes and summed as integers, so the mean is exact and the same for any number of processes.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        self.file, self.folder = file, folder
        self.results: dict[str, Any] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total, self.images = torch.zeros(1, dtype=torch.int64), 0

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        readable = batch["image"][batch["label"] != UNREADABLE]
        if not len(readable):
            return
        self.total = self.total.to(readable.device) + (readable * 255).round().to(torch.int64).sum(0)
        self.images += len(readable)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A process without a readable picture still has a scalar: broadcasting gives it everyone's shape.
        side: int = pl_module.convnet.preprocessing.crop  # type: ignore[union-attr, assignment]
        total = self.total.to(pl_module.device).expand(3, side, side).contiguous()
        total = _sum(trainer, total)
        images = int(_sum(trainer, torch.tensor(self.images, device=pl_module.device)))
        if not images:
            raise UserError("task=mean_image: no training picture could be read")
        mean = (total.cpu().double() / (255 * images)).float()
        self.results = {"images": images, "channel_means": mean.mean((1, 2)).tolist(), "file": str(self.file)}
        if trainer.is_global_zero:
            with replacing(self.file) as part:
                torch.save({"mean": mean, "images": images}, part)
            picture = draw_class_model((mean * 255).round().to(torch.uint8), f"mean of {images} training pictures")
            show_picture(trainer, "mean_image", picture, self.folder / "mean_image.png")


def _sum(trainer: Trainer, values: Tensor) -> Tensor:
    summed = trainer.strategy.reduce(values, reduce_op="sum")
    assert isinstance(summed, Tensor)
    return summed


def load_mean_image(file: Path, side: int) -> Tensor:
    """(3, side, side) in [0, 1]. Raises UserError where the file is no such thing."""
    try:
        mean = torch.load(file, weights_only=True, map_location="cpu")["mean"]
    except Exception as error:  # whatever is wrong with the file, it is the user who named it
        raise UserError(f"mean image {file} is not what task=mean_image writes ({first_line(error)})") from None
    if not isinstance(mean, Tensor) or mean.shape != (3, side, side):
        shape = tuple(mean.shape) if isinstance(mean, Tensor) else type(mean).__name__
        raise UserError(
            f"mean image {file} is {shape}, the ConvNet's crop is (3, {side}, {side}): task=mean_image makes it again"
        )
    return mean
