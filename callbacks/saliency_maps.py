"""Saliency maps of a fixed set of pictures: in TensorBoard while training, as PNG files at the end."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.gathering import due, gather, log_picture, save_picture, spread
from deepinside.attribution.crops import CROPS, crop_saliency
from deepinside.attribution.relu_rules import RULES
from deepinside.attribution.saliency import saliency
from deepinside.classifier import Classifier
from deepinside.config import SaliencyConfig
from deepinside.data.module import WholePicture
from deepinside.models.convnet import ConvNet
from deepinside.plots import Explanation, draw_explanation, sheet


class SaliencyMaps(Callback):
    """Saliency maps (paper, section 3.1) of `settings.images` validation pictures, at predict of all that come.

    Shown every `settings.every` epochs, at test and at predict. c is the picture's own class, or the best-scored one
    where there is none. Logs `saliency/pictures`; with a `folder` also a PNG a picture and their sheet. Works on a
    Classifier; leaves training as it was. Raises UserError at the start where the method has no meaning for the net.
    """

    def __init__(self, settings: SaliencyConfig, folder: Path | None = None) -> None:
        self.settings, self.folder = settings, folder
        self.shown: list[tuple[dict[str, Any], Explanation]] = []
        self.results: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Classifier)
        check_method(pl_module.convnet, self.settings.method)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if due(trainer, self.settings.every):
            self._explain(pl_module, batch, self._chosen(trainer.val_dataloaders))

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._explain(pl_module, batch, self._chosen(trainer.test_dataloaders))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._explain(pl_module, batch, None)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if due(trainer, self.settings.every):
            self._show(trainer, None)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, self.folder)

    on_predict_epoch_end = on_test_epoch_end

    def _chosen(self, loader: Any) -> set[int]:
        return set(spread(self.settings.images, len(loader.dataset)))

    def _explain(self, module: LightningModule, batch: Any, wanted: set[int] | None) -> None:
        assert isinstance(module, Classifier)
        for picture in batch["pictures"]:
            if wanted is None or picture.index in wanted:
                self.shown.append(explain(module.convnet, picture, self.settings))

    def _show(self, trainer: Trainer, folder: Path | None) -> None:
        shown = sorted(gather(self.shown), key=lambda item: int(item[0]["index"]))
        self.results, self.shown = [row for row, _ in shown], []
        if not trainer.is_global_zero or not shown:
            return
        panels = [draw_explanation(explanation) for _, explanation in shown]
        overview = sheet(panels, min(2, len(panels)))
        log_picture(trainer, "saliency/pictures", overview)
        if folder is not None:
            for row, panel in zip(self.results, panels, strict=True):
                save_picture(panel, folder / "pictures" / f"{row['index']:05d}_{Path(row['image']).name}.png")
            save_picture(overview, folder / "sheet.png")


def check_method(convnet: ConvNet, method: str) -> None:
    """Raises UserError where the method has no meaning for the net."""
    if method in RULES:
        side = convnet.preprocessing.crop
        blank = torch.zeros(1, 3, side, side, device=convnet.mean.device)
        saliency(convnet, blank, torch.zeros(1, dtype=torch.int64), method)


def explain(convnet: ConvNet, picture: WholePicture, settings: SaliencyConfig) -> tuple[dict[str, Any], Explanation]:
    """What there is to say of a picture (its class, score, posterior: means over crops) and its map for that class."""
    height, width = picture.frame.shape[-2:]
    image = picture.frame.to(convnet.mean.device).float() / 255

    def choose(scores: Tensor) -> Tensor:
        best = scores.softmax(1).mean(0).argmax()
        return best[None] if picture.label < 0 else torch.tensor([picture.label], device=scores.device)

    found = crop_saliency(
        convnet,
        image,
        CROPS[settings.crops](height, width, convnet.preprocessing.crop),
        choose,
        settings.method,
        score=settings.score,
        reduction=settings.reduction,
        strategy="loop",  # the same maps in every process, whatever would be faster there
    )
    label = int(found.classes)
    score, posterior = float(found.scores.mean(0)[label]), float(found.scores.softmax(1).mean(0)[label])
    name = convnet.classes.names[label].split(",")[0]
    explanation = Explanation(picture.frame, found.maps[0].cpu(), f"{name}   S = {score:.1f}   P = {posterior:.2f}")
    row = {"index": picture.index, "image": picture.name, "class_index": label, "class": name}
    return {**row, "score": score, "posterior": posterior}, explanation
