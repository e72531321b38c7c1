"""What the test measures where there are no boxes: each picture's guessed classes, for reports and comparisons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.gathering import gather, spread
from callbacks.kept import keep_files
from deepinside.classifier import Classifier
from deepinside.data.module import PictureData
from deepinside.data.picture import Classes
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.metrics import mean_intervals
from deepinside.records import FILE, Guess, PictureRecord, write_records

GUESSES = 5


class Classified(Callback):
    """At test, `results` is what metrics.json holds of a Classifier's errors of the centre crop, with 95%
    intervals: {"images", "classification": {top1_error, top5_error}, "intervals": {"classification"}}, top5_error of
    nets with more than five classes.

    The folder gets pictures.jsonl, a line for each picture that was measured (one with a label), and `kept` pictures
    spread over the split in kept/. Boxes and maps there are none of: that is `Localisation`. Raises UserError on
    another LightningModule than a Classifier, and where no picture could be measured.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self.folder, self.kept = folder, kept
        self.records: list[PictureRecord] = []
        self.results: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, Classifier) or not isinstance(trainer.datamodule, PictureData):  # type: ignore[attr-defined]
            raise UserError("Classified needs deepinside's Classifier with a PictureData: it records what they measure")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.records = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        pictures: list[WholePicture] = [picture for picture in batch["pictures"] if picture.label >= 0]
        if not pictures:
            return
        assert isinstance(pl_module, Classifier)
        chosen = set(spread(self.kept, len(trainer.test_dataloaders.dataset)))  # type: ignore[union-attr]
        classes, errors = pl_module.convnet.classes, pl_module.errors
        for picture, record in zip(pictures, _records(classes, errors, pictures, outputs), strict=True):
            if picture.index in chosen:
                record = keep_files(record, picture.frame, None, self.folder)
            self.records.append(record)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        records = sorted(gather(self.records), key=lambda record: record.index)
        if len({record.index for record in records}) != len(records):
            raise RuntimeError("a picture was evaluated twice: the evaluation sampler must not pad")
        if not records:
            raise UserError("no validation picture with a label could be read: there is nothing to measure")
        if not trainer.is_global_zero:
            return
        write_records(self.folder / FILE, records)
        names = list(records[0].classification)
        errors = np.array([list(record.classification.values()) for record in records])
        self.results = {
            "images": len(records),
            "classification": dict(zip(names, errors.mean(0).tolist(), strict=True)),
            "intervals": {"classification": mean_intervals(names, errors)},
        }


def _records(
    classes: Classes, errors: Sequence[str], pictures: list[WholePicture], scores: Tensor
) -> list[PictureRecord]:
    """scores (K, C), of pictures with a label."""
    best = scores.topk(min(GUESSES, scores.shape[1])).indices  # the Classifier's own, so that equal scores fall alike
    posteriors = scores.float().softmax(1).gather(1, best).tolist()
    return [
        PictureRecord(
            index=picture.index,
            image=picture.name,
            size=picture.size,
            class_id=classes.ids[picture.label],
            class_name=classes.short_name(picture.label),
            boxes=picture.boxes.tolist(),
            guesses=[
                Guess(classes.ids[c], classes.short_name(c), p, None) for c, p in zip(guessed, chances, strict=True)
            ],
            known_box=None,
            classification={name: float(picture.label not in guessed[: int(name[3])]) for name in errors},
        )
        for picture, guessed, chances in zip(pictures, best.tolist(), posteriors, strict=True)
    ]
