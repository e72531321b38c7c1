"""Object boxes from saliency and GraphCut, scored by ILSVRC's rules: curves while training, all pictures at the end."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.gathering import due, gather, log_numbers, log_picture, save_picture, spread
from deepinside.attribution.crops import ten_crops
from deepinside.boxes import scale_boxes, to_inclusive, to_whole_pixels
from deepinside.classifier import Classifier
from deepinside.config import LocalisationConfig
from deepinside.data.module import WholePicture
from deepinside.localisation.locate import Located, locate
from deepinside.metrics import LocalisationError, score_guesses
from deepinside.models.convnet import ConvNet
from deepinside.plots import Explanation, draw_explanation, sheet

COLUMNS = ("image", "rank", "class_index", "wnid", "score", "xmin", "ymin", "xmax", "ymax", "iou", "correct")


@dataclass(frozen=True)
class Outcome:
    """One picture's rows of predictions.csv, and its panel where one is drawn."""

    index: int
    rows: list[dict[str, Any]]
    explanation: Explanation | None


class Localisation(Callback):
    """Localises (paper, section 3.2) some validation pictures every `settings.every` epochs, and all of them at test.

    Logs `localisation/*` and, at test, `test_localisation/*`: top1_error, top5_error, gt_known_accuracy, mean_iou of
    the method, of the centred 72% box and of the whole picture. At test, `results` is what metrics.json holds; with a
    `folder` it gets predictions.csv and `settings.pictures` panels. Works on a Classifier; leaves training as it was.
    """

    def __init__(self, settings: LocalisationConfig, folder: Path | None = None) -> None:
        self.settings, self.folder = settings, folder
        self.error = LocalisationError()
        self.outcomes: list[Outcome] = []
        self.results: dict[str, Any] = {}
        self.seconds = 0.0

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.error, self.outcomes, self.seconds = self.error.to(pl_module.device), [], 0.0
        self.error.reset()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        if due(trainer, self.settings.every):
            total = len(trainer.val_dataloaders.dataset)  # type: ignore[union-attr]
            self._localise(pl_module, batch, set(spread(self.settings.images, total)), drawn=set())

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        total = len(trainer.test_dataloaders.dataset)  # type: ignore[union-attr]
        self._localise(pl_module, batch, set(range(total)), drawn=set(spread(self.settings.pictures, total)))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if due(trainer, self.settings.every):
            log_numbers(trainer, _curves(self.error.compute(), "localisation"))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = max(gather([self.seconds]))
        measured = self.error.compute()
        outcomes = sorted(gather(self.outcomes), key=lambda outcome: outcome.index)
        if len({outcome.index for outcome in outcomes}) != len(outcomes):
            raise RuntimeError("a picture was evaluated twice: the evaluation sampler must not pad")
        self.results = _results(measured, len(outcomes), seconds)
        if not trainer.is_global_zero:
            return
        log_numbers(trainer, _curves(measured, "test_localisation"))  # other pictures, so another curve
        if self.folder is not None:
            _write_predictions(self.folder / "predictions.csv", outcomes)
        self._draw(trainer, outcomes)

    def _localise(self, module: LightningModule, batch: Any, wanted: set[int], drawn: set[int]) -> None:
        assert isinstance(module, Classifier)
        start = time.monotonic()
        for picture in batch["pictures"]:
            if picture.index in wanted and picture.label >= 0:
                outcome = self._localise_one(module.convnet, picture, picture.index in drawn)
                self.outcomes.append(outcome)
        self.seconds += time.monotonic() - start

    def _localise_one(self, convnet: ConvNet, picture: WholePicture, drawn: bool) -> Outcome:
        frame_size = (picture.frame.shape[-2], picture.frame.shape[-1])
        crops = ten_crops(*frame_size, convnet.preprocessing.crop)
        settings = self.settings
        found = locate(convnet, picture.frame, crops, picture.label, preset=settings.preset, blur=settings.blur)
        # Whole pixels of the original picture, as predictions.csv has them: what is scored is what is written.
        boxes = to_whole_pixels(scale_boxes(found.boxes, frame_size, picture.size))
        known = to_whole_pixels(scale_boxes(found.box, frame_size, picture.size))
        self.error.update(picture.label, found.classes, boxes, known, picture.boxes, picture.size)
        overlaps, right = score_guesses(picture.label, found.classes, boxes, picture.boxes)
        inclusive = to_inclusive(boxes).int().tolist()
        rows = []
        for rank, (c, posterior) in enumerate(zip(found.classes.tolist(), found.posteriors.tolist(), strict=True)):
            wnid, iou, correct = convnet.classes.ids[c], float(overlaps[rank]), int(right[rank])
            box = inclusive[rank]
            values = (picture.name, rank + 1, c, wnid, f"{posterior:.6f}", *box, f"{iou:.4f}", correct)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
        return Outcome(picture.index, rows, self._explanation(convnet, picture, found) if drawn else None)

    def _explanation(self, convnet: ConvNet, picture: WholePicture, found: Located) -> Explanation:
        names = [name.split(",")[0] for name in convnet.classes.names]
        frame_size = (picture.frame.shape[-2], picture.frame.shape[-1])
        truth = scale_boxes(picture.boxes, picture.size, frame_size)
        best = f"{names[int(found.classes[0])]} P = {float(found.posteriors[0]):.2f}"
        caption = f"{names[picture.label]}   first guess: {best}"
        return Explanation(picture.frame, found.saliency, caption, found.mask, found.box[None], truth)

    def _draw(self, trainer: Trainer, outcomes: list[Outcome]) -> None:
        drawn = [(o.rows[0]["image"], o.index, draw_explanation(o.explanation)) for o in outcomes if o.explanation]
        if not drawn:
            return
        overview = sheet([panel for _, _, panel in drawn], min(2, len(drawn)))
        log_picture(trainer, "localisation/pictures", overview)
        if self.folder is not None:
            for name, index, panel in drawn:
                save_picture(panel, self.folder / "pictures" / f"{index:05d}_{Path(name).name}.png")
            save_picture(overview, self.folder / "sheet.png")


def _curves(measured: dict[str, Any], tag: str) -> dict[str, float]:
    """Tags of TensorBoard: <tag>/<measure> for the method, <tag>_<row>/<measure> for the baselines."""
    rows = {tag: "method", f"{tag}_centre_box": "centre_box", f"{tag}_whole_image": "whole_image"}
    return {f"{name}/{key}": value for name, row in rows.items() for key, value in measured[row].items()}


def _results(measured: dict[str, Any], images: int, seconds: float) -> dict[str, Any]:
    return {
        "images": images,
        "classification": measured["classification"] | {"crops": 10},
        "localisation": measured["method"] | {"images": measured["images"]},
        "baselines": {row: measured[row] for row in ("centre_box", "whole_image")},
        "seconds": round(seconds, 2),
        "images_per_second": round(images / max(seconds, 1e-9), 2),
    }


def _write_predictions(path: Path, outcomes: list[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row for outcome in outcomes for row in outcome.rows)
