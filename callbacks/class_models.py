"""Class-model images: in TensorBoard while training, as PNG files at the end, for any number of classes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Adam

from callbacks.gathering import due, gather, log_picture, save_picture
from deepinside.class_model import OBJECTIVES, class_model_picture, optimise_class_models
from deepinside.classifier import Classifier
from deepinside.config import ClassModelsConfig
from deepinside.models.convnet import ConvNet
from deepinside.plots import draw_class_model, sheet


@dataclass(frozen=True)
class Found:
    """One class's model: the picture as displayed, uint8 (3, H, W), and the last values of its trace."""

    index: int
    name: str
    picture: Tensor
    score: float
    posterior: float
    norm: float


class ClassModels(Callback):
    """I* = argmax S_c(I) - lam ||I||^2 (paper, section 2) of some classes every `settings.every` epochs and at test.

    While training and at test, the processes share the classes; at predict, each batch holds class indices. Logs
    `class_models/sheet`; with a `folder` also a PNG a class and their sheet. Works on a Classifier; leaves training as
    it was.
    """

    def __init__(self, settings: ClassModelsConfig, classes: Sequence[int], folder: Path | None = None) -> None:
        self.settings, self.classes, self.folder = settings, list(classes), folder
        self.found: list[Found] = []
        self.results: list[dict[str, Any]] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if due(trainer, self.settings.every):
            self._optimise(pl_module, self.classes[trainer.global_rank :: trainer.world_size])
            self._show(trainer, None)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._optimise(pl_module, self.classes[trainer.global_rank :: trainer.world_size])
        self._show(trainer, self.folder)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._optimise(pl_module, batch.tolist())

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, self.folder)

    def _optimise(self, module: LightningModule, classes: list[int]) -> None:
        assert isinstance(module, Classifier)
        if classes:
            self.found += find_class_models(module.convnet, classes, self.settings)

    def _show(self, trainer: Trainer, folder: Path | None) -> None:
        found = {item.index: item for item in gather(self.found)}
        self.found = []
        ordered = [found[index] for index in self.classes]
        self.results = [
            {"class_index": f.index, "class": f.name, "score": f.score, "posterior": f.posterior, "norm": f.norm}
            for f in ordered
        ]
        if not trainer.is_global_zero or not ordered:
            return
        tiles = [draw_class_model(f.picture, f"{f.name}  S = {f.score:.1f}  P = {f.posterior:.2f}") for f in ordered]
        overview = sheet(tiles, min(5, len(tiles)))
        log_picture(trainer, "class_models/sheet", overview)
        if folder is not None:
            for item, tile in zip(ordered, tiles, strict=True):
                slug = re.sub(r"\W+", "_", item.name).strip("_").lower()
                save_picture(tile, folder / "pictures" / f"{item.index:04d}_{slug}.png")
            save_picture(overview, folder / "sheet.png")


def find_class_models(convnet: ConvNet, classes: list[int], settings: ClassModelsConfig) -> list[Found]:
    """A batch of class models at the ConvNet's own crop size."""
    mean, side = convnet.preprocessing.mean, convnet.preprocessing.crop
    models = optimise_class_models(
        convnet,
        torch.tensor(classes),
        (side, side),
        mean,
        lam=settings.lam,
        steps=settings.steps,
        optimiser=partial(Adam, lr=settings.lr),
        objective=OBJECTIVES[settings.objective],
        jitter=settings.jitter,
    )
    return [
        Found(
            index,
            convnet.classes.names[index].split(",")[0],
            class_model_picture(image, mean).cpu(),
            float(models.scores[-1, i]),
            float(models.posteriors[-1, i]),
            float(models.squared_norms[-1, i].sqrt()),
        )
        for i, (index, image) in enumerate(zip(classes, models.images, strict=True))
    ]
