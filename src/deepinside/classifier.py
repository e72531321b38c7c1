"""The LightningModule: cross-entropy, top-1 and top-5 error, SGD with momentum. No data and no pictures in here."""

import math
from typing import Any, cast

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR
from torchmetrics import MeanMetric, SumMetric

from deepinside.config import OptimConfig
from deepinside.data.views import UNREADABLE
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet

ERRORS = ("top1_error", "top5_error")


class Classifier(LightningModule):
    """Trains a ConvNet on batches {image (N, 3, H, W) in [0, 1], label (N,)} and measures its errors.

    Loss: mean over readable pictures of -log softmax(S(I))_label. Logs `train/loss`, `val/*` and `test/*`:
    `loss`, `top1_error` and, of nets with more than five classes, `top5_error` in [0, 1], and `images`, how many were
    measured: exact over any number of processes. SGD with momentum and the recipe of Krizhevsky et al. 2012 (section 5)
    by default; schedules `plateau`, `step`, `cosine`.
    """

    def __init__(self, convnet: ConvNet, optim: OptimConfig | None = None) -> None:
        super().__init__()
        self.convnet, self.optim = convnet, optim or OptimConfig()
        self.errors = ERRORS if len(convnet.classes) > 5 else ERRORS[:1]  # one of five guesses among five is right
        self.measures = ("loss", *self.errors)
        stages = ("val", "test")
        self.means = nn.ModuleDict({f"{stage}_{name}": MeanMetric() for stage in stages for name in self.measures})
        self.images = nn.ModuleDict({stage: SumMetric() for stage in stages})
        if self.optim.freeze:
            convnet.requires_grad_(False)
            for parameter in convnet.head_parameters():
                parameter.requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.convnet(images)
        return scores

    def on_train_epoch_start(self) -> None:
        if self.optim.freeze:  # the frozen part keeps its BatchNorm statistics and drops nothing out
            self.convnet.eval()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        losses = F.cross_entropy(
            self._scores_in_training(batch["image"]), batch["label"], reduction="sum", ignore_index=UNREADABLE
        )
        loss = losses / (batch["label"] != UNREADABLE).sum().clamp(min=1)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["label"]))
        return loss

    def _scores_in_training(self, images: Tensor) -> Tensor:
        try:
            scores: Tensor = self(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):  # torch's words, of batch normalisation
                raise
            crop = f"{len(images)} of {images.shape[-2]}x{images.shape[-1]} pixels"
            raise UserError(
                f"{self.convnet.name} normalises over the batch, and a batch of {crop} leaves one value a channel: "
                "raise data.batch_size or data.crop"
            ) from None
        return scores

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self._measure("val", batch)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """The scores (K, C) of the batch's pictures with a label, for callbacks; None without such pictures."""
        return self._measure("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing: what is looked at in predict, pictures or classes, is the callbacks' business."""

    def _measure(self, stage: str, batch: dict[str, Any]) -> Tensor | None:
        """Logs on every batch, measured or not: a process that did not would leave the others waiting."""
        known = batch["label"] >= 0
        values: dict[str, Tensor] = {}
        scores = None
        if known.any():
            scores, labels = self(batch["image"][known]), batch["label"][known]
            hits = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
            losses = F.cross_entropy(scores, labels, reduction="none")
            if not losses.isfinite().all():
                raise UserError(f"the loss is not finite at step {self.global_step}: training diverged, lower optim.lr")
            values = {"loss": losses, "top1_error": ~hits[:, 0], "top5_error": ~hits.any(1)}
        images = cast(SumMetric, self.images[stage])
        images.update(known.sum())
        self.log(f"{stage}/images", images, on_step=False, on_epoch=True)
        for name in self.measures:
            mean = cast(MeanMetric, self.means[f"{stage}_{name}"])
            mean.update(values[name].float() if values else 0.0, weight=1.0 if values else 0.0)
            self.log(f"{stage}/{name}", mean, prog_bar=name == "top1_error", on_step=False, on_epoch=True)
        return scores

    def configure_optimizers(self) -> OptimizerLRScheduler:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        numbers = self.optim
        optimizer = SGD(
            trained,
            numbers.lr,
            numbers.momentum,
            weight_decay=numbers.weight_decay,
            nesterov=numbers.nesterov and numbers.momentum > 0,
        )
        if self.optim.schedule == "plateau":
            between = self.trainer.check_val_every_n_epoch or 1
            plateau = ReduceLROnPlateau(optimizer, "min", self.optim.factor, self.optim.patience)
            when = {"monitor": "val/top1_error", "frequency": between}
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, **when}}  # type: ignore[return-value]
        schedule: LRScheduler
        if self.optim.schedule == "step":
            schedule = StepLR(optimizer, self.optim.step_epochs, self.optim.factor)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
        steps = int(self.trainer.estimated_stepping_batches)
        epochs = self.trainer.max_epochs or 1
        warmup = int(self.optim.warmup_epochs * steps / max(epochs, 1))
        schedule = LambdaLR(optimizer, lambda step: cosine_with_warmup(step, warmup, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the checkpoint has as many, but other classes: its weights would fit all the same."""
        had, have = checkpoint.get("deepinside", {}).get("classes", {}).get("ids", ()), self.convnet.classes.ids
        other = [(old, new) for old, new in zip(had, have, strict=False) if old != new]
        if other and len(had) == len(have):
            raise UserError(
                f"the run has another class, {other[0][0]}, where the data have {other[0][1]}: name=... starts anew"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["deepinside"] = self.convnet.description()


def cosine_with_warmup(step: int, warmup: int, steps: int) -> float:
    """Factor of the learning rate at `step` of `steps`: linear from 0 to 1 over `warmup`, then half a cosine to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1)))
