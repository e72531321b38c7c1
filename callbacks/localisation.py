"""Object boxes from saliency and GraphCut, scored by ILSVRC's rules: curves while training, all pictures at the end."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks.calls import Calls
from callbacks.gathering import gather, log_numbers, spread
from callbacks.monitor import MAX_OVERHEAD, Monitor
from callbacks.outcome_store import OutcomeStore
from callbacks.outcomes import Outcome, draw_outcomes, keep, localise, look_at, measure, question
from callbacks.progress import tell_share
from callbacks.subject import Pictures, convnet_of, settings_of
from deepinside.config import LocalisationConfig
from deepinside.data.devkit import read_blacklist, read_label_ids
from deepinside.data.module import usable_cpus
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.metrics import LocalisationError, MaxBoxAccuracy, Outcomes, possible_errors, summarise
from deepinside.models.convnet import ConvNet
from deepinside.predictions import Guesses, write_csv, write_submission
from deepinside.records import FILE, write_records

log = logging.getLogger(__name__)

ENOUGH, MOST = 100, 16  # pictures that are worth further processes, and how many of these at most

CURVES = (
    "top1_error",
    "top5_error",
    "gt_known_accuracy",
    "mean_iou",
    "pointing_game",
    "saliency_mass",
    "max_box_acc_v2",
)


class Localisation(Monitor):
    """Localises (paper, section 3.2) `settings.images` validation pictures every `settings.every` epochs or steps, and
    all of them at test.

    Logs `localisation/*` and, at test, `test_localisation/*`: the main measures of the method, of the centred 72% box
    and of the whole picture. At test, `results` is what metrics.json holds (see `metrics.summarise`); with a `folder`
    it gets pictures.jsonl with `settings.kept` pictures and maps in kept/, predictions.csv, submission.txt (with
    `settings.label_ids`), `settings.pictures` panels, and gallery/ with the first `settings.gallery` pictures of each
    kind of error. Works on a Classifier, and with `pictures` that have boxes on any LightningModule; leaves training
    as it was. Two on one Trainer want a `name` each, with which tags begin in place of `localisation`.

    store: gets each picture of the test as soon as it is measured; what it has found from earlier starts, pictures
    that the test's data leave out, is part of the results, but not of `seconds` and `images_per_second`.
    """

    name = "localisation"

    def __init__(
        self,
        settings: LocalisationConfig | None = None,
        folder: str | Path | None = None,
        *,
        pictures: Pictures | None = None,
        max_overhead: float | None = MAX_OVERHEAD,
        name: str | None = None,
        store: OutcomeStore | None = None,
    ) -> None:
        self.settings = settings_of(self, settings, LocalisationConfig(every=1))
        question(0, self.settings)  # a contradiction is told before anything is trained
        super().__init__(self.settings.every, self.settings.unit, max_overhead, pictures, folder, name)
        self.error, self.store = LocalisationError(), store
        self.outcomes: list[Outcome] = []
        self.kinds: Counter[str] = Counter()
        self.results: dict[str, Any] = {}
        self.seconds = 0.0
        self.drawn, self.kept = set[int](), set[int]()
        self.calls: Calls[Outcome] = Calls(0)
        self.blacklist = read_blacklist(Path(self.settings.blacklist)) if self.settings.blacklist else set()
        self.numbers: Mapping[str, int] = {}

    def begin(self, trainer: Trainer, convnet: ConvNet) -> None:
        if self.given is not None:
            if self.given.boxes is None or not any(len(boxes) for boxes in self.given.boxes):
                raise UserError("Localisation needs the objects' boxes: Pictures(..., boxes=[tensor (M, 4), ...])")
            if int(self.given.labels.max()) < 0:
                raise UserError("Localisation needs the classes of pictures: all labels of Pictures are unknown (-1)")
        if self.settings.label_ids:
            self.numbers = read_label_ids(self.settings.label_ids, convnet.classes.ids)

    def look(self, trainer: Trainer, module: LightningModule) -> None:
        convnet, error = convnet_of(module, self.given), self.error.to(_of_sums(module.device))
        error.reset()
        for picture in self._labelled(self.pictures(trainer, self.settings.images)):
            looked = look_at(convnet, picture, self.settings)
            error.update(localise(convnet.classes, picture, looked, self.settings).score)
        log_numbers(trainer, _curves(error.compute(), self.name))

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.outcomes, self.kinds, self.seconds = [], Counter[str](), 0.0
        self.without = list[str]()  # names of those that get no guess: unreadable, or of an unknown class
        total = self._total(trainer)
        self.drawn, self.kept = set(spread(self.settings.pictures, total)), set(spread(self.settings.kept, total))
        self.calls = Calls(self._processes(trainer, pl_module.device, total - len(self._found())))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        if self.given is None:
            self.without += [name for name, _ in batch["unreadable"]]
            self._measure(trainer, convnet_of(pl_module, self.given), batch["pictures"])

    def _measure(self, trainer: Trainer, convnet: ConvNet, pictures: Sequence[WholePicture]) -> None:
        start = time.monotonic()
        self.without += [picture.name for picture in pictures if picture.label < 0]
        for number, picture in enumerate(self._labelled(pictures), start=1):
            looked = look_at(convnet, picture, self.settings)
            self.calls.add(measure, convnet.classes, picture, looked, self.settings)
            self._take(self.calls.answers())
            tell_share(trainer, number / len(pictures))
        self.seconds += time.monotonic() - start

    def _take(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.kinds[outcome.first_guess] += 1
            if self.folder and outcome.index in self.kept:
                outcome = keep(outcome, self.folder)
            shown = outcome.index in self.drawn or (
                self.folder and self.kinds[outcome.first_guess] <= self.settings.gallery
            )
            outcome = outcome if shown else replace(outcome, explanation=None)
            if self.store is not None:
                self.store.save(outcome)
            self.outcomes.append(outcome)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.given is not None:
            self._measure(trainer, convnet_of(pl_module, self.given), self.pictures(trainer, self._total(trainer)))
        start = time.monotonic()
        self._take(self.calls.answers(all=True))
        self.seconds += time.monotonic() - start
        self.calls.close()
        seconds = max(gather([self.seconds]))
        classes = len(convnet_of(pl_module, self.given).classes)
        new, without = gather(self.outcomes), gather(self.without)
        outcomes = sorted([*self._found(), *new], key=lambda outcome: outcome.index)
        if len({outcome.index for outcome in outcomes}) != len(outcomes):
            raise RuntimeError("a picture was evaluated twice: the evaluation sampler must not pad")
        if not trainer.is_global_zero:
            return
        measured = _means(outcomes)
        self.results = _results(measured, outcomes, classes) | {
            "seconds": round(seconds, 2),
            "images_per_second": round(len(new) / max(seconds, 1e-9), 2),
        }
        if self.blacklist and self.blacklist.isdisjoint(outcome.rows[0]["image"] for outcome in outcomes):
            log.warning(f"localisation.blacklist={self.settings.blacklist} names none of the pictures measured")
        if "localisation" not in self.results:
            log.warning("none of the pictures measured has a box of its class: only the classification is scored")
        log_numbers(trainer, _curves(measured, f"test_{self.name}"))  # other pictures, so another curve
        if self.folder is not None:
            write_csv(self.folder / "predictions.csv", (row for outcome in outcomes for row in outcome.rows))
            write_records(self.folder / FILE, (outcome.record for outcome in outcomes if outcome.record))
            if self.numbers:
                lines: list[tuple[str, Guesses | None]] = [(o.rows[0]["image"], o.guesses) for o in outcomes]
                lines += [(name, None) for name in without]
                write_submission(self.folder / "submission.txt", lines, self.numbers)
        draw_outcomes(trainer, self.name, outcomes, self.drawn, self.settings.gallery, self.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.calls.close()

    def _processes(self, trainer: Trainer, device: torch.device, pictures: int) -> int:
        """How many cut and score. They pay beside a GPU, which leaves its CPUs idle, for many pictures, as each takes
        seconds to start; a script with a Trainer of its own may not be one that can be started again in them."""
        if self.settings.workers is not None:
            return self.settings.workers
        if device.type == "cpu" or self.given is not None or pictures < ENOUGH:
            return 0
        return max(0, min(MOST, usable_cpus() // trainer.num_devices - 1))

    def _total(self, trainer: Trainer) -> int:
        """How many pictures the results are of."""
        return len(self.given or trainer.test_dataloaders.dataset) + len(self._found())  # type: ignore[union-attr]

    def _found(self) -> list[Outcome]:
        return self.store.found if self.store is not None else []

    def _labelled(self, pictures: Iterable[WholePicture]) -> Iterator[WholePicture]:
        """Those with a label; one of the blacklist comes without its boxes."""
        for picture in pictures:
            if picture.label >= 0:
                listed = picture.name in self.blacklist
                yield replace(picture, boxes=picture.boxes[:0]) if listed else picture


def _of_sums(device: torch.device) -> torch.device:
    """Where the metrics' sums are: with the net, for processes to add up. MPS has no float64, and is one process."""
    return torch.device("cpu") if device.type == "mps" else device


def _curves(measured: dict[str, Any], tag: str) -> dict[str, float]:
    """Tags of TensorBoard: <tag>/<measure> for the method, <tag>_<row>/<measure> for the baselines."""
    rows = {tag: "method", f"{tag}_centre_box": "centre_box", f"{tag}_whole_image": "whole_image"}
    return {
        f"{name}/{key}": measured[row][key]
        for name, row in rows.items()
        for key in CURVES
        if key in measured.get(row, {})
    }


def _means(outcomes: list[Outcome]) -> dict[str, Any]:
    """Added up in the pictures' order: the same to the last bit whichever process, and start, measured them."""
    error, max_box = LocalisationError(sync_on_compute=False), MaxBoxAccuracy(sync_on_compute=False)
    for outcome in outcomes:
        error.update(outcome.score)
        if outcome.hits is not None:
            max_box.update(outcome.hits)
    measured: dict[str, Any] = error.compute()
    for row, values in max_box.compute().items():
        if row in measured:
            measured[row] |= values
    return measured


def _results(measured: dict[str, Any], outcomes: list[Outcome], classes: int) -> dict[str, Any]:
    boxed = [outcome for outcome in outcomes if outcome.hits is not None]
    gathered = Outcomes(
        [outcome.score for outcome in outcomes],
        [outcome.hits for outcome in boxed if outcome.hits is not None],
        [outcome.first_guess for outcome in boxed],
        [outcome.class_known for outcome in boxed],
    )
    found = summarise(measured, gathered)
    for part in (found, found["intervals"]):
        if "classification" in part:
            part["classification"] = {name: part["classification"][name] for name in possible_errors(classes)}
    found["classification"] |= {"crops": 10}
    return found
