"""Class models: in TensorBoard while training, as files at the end, for any number of classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.ascent_progress import AscentProgress
from callbacks.class_model_pages import show_class_models
from callbacks.class_model_store import (
    Found,
    Judgement,
    Mean,
    Store,
    batch_size,
    chosen_numbers,
    find_class_models,
    fingerprint,
    judge_pictures,
)
from callbacks.gathering import due, gather
from deepinside.classifier import Classifier
from deepinside.config import ClassModelsConfig
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet


class ClassModels(Callback):
    """I* = argmax S_c(I) - lam ||I||^2 (paper, section 2) of some classes every `settings.every` epochs and at test.

    While training and at test, the processes share the classes; at predict, each batch holds class indices, every
    class is kept in `<folder>/found/` as soon as it is there, and what lies there already is taken. Logs
    `class_models/sheet`; with a `folder` also a PNG and a film strip a class, the traces, their sheet. mean_image
    (3, H, W) in [0, 1]: what the pictures are shown on. judge: another ConvNet that knows the classes, asked at
    predict whether it sees them. Works on a Classifier; leaves training as it was. Raises UserError where one diverges.
    """

    def __init__(
        self,
        settings: ClassModelsConfig,
        classes: Sequence[int],
        folder: Path | None = None,
        *,
        mean_image: Tensor | None = None,
        judge: ConvNet | None = None,
        progress: bool = False,
    ) -> None:
        self.settings, self.classes, self.folder = settings, list(classes), folder
        self.mean_image, self.judge, self.progress = mean_image, judge, progress
        self.objectives = [chosen_numbers(settings).objective]
        if settings.compare and settings.compare not in self.objectives:
            self.objectives.append(settings.compare)
        self.bar: AscentProgress | None = None
        self.found: list[Found] = []
        self.judged: dict[tuple[int, str], Judgement] = {}
        self.results: list[dict[str, Any]] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if due(trainer, self.settings.every):
            self._monitor(trainer, pl_module, None)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._monitor(trainer, pl_module, self.folder)

    def _monitor(self, trainer: Trainer, module: LightningModule, folder: Path | None) -> None:
        assert isinstance(module, Classifier)
        if mine := self.classes[trainer.global_rank :: trainer.world_size]:
            frames = self.settings.frames if folder else 0
            self.found += find_class_models(module.convnet, mine, self.settings, frames=frames)
        self._show(trainer, module, folder)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if self.folder is None:
            raise UserError("class models of an analysis need a folder")
        self.store = Store(self.folder / "found", fingerprint(pl_module.convnet, self.settings))
        mine = -(-len(self.classes) // trainer.world_size) * len(self.objectives)
        steps = chosen_numbers(self.settings).steps
        self.bar = AscentProgress(mine, steps) if self.progress and trainer.is_global_zero else None

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(pl_module, Classifier)
        for objective in self.objectives:
            found = self._find(pl_module.convnet, batch.tolist(), objective)
            if self.judge:
                judgements = judge_pictures(self.judge, pl_module.convnet, found, self._mean(pl_module.convnet))
                self.judged |= {(f.index, objective): j for f, j in zip(found, judgements, strict=True)}
            self.found += found

    def _find(self, convnet: ConvNet, classes: list[int], objective: str) -> list[Found]:
        """What is kept is taken; the rest is found, and kept, as many at once as the ConvNet sees together."""
        kept = {index: self.store.load(index, objective) for index in classes}
        missing = [index for index in classes if kept[index] is None]
        if self.bar:
            self.bar.skip(len(classes) - len(missing))
        together = batch_size(self.settings, convnet.mean.device)
        for i in range(0, len(missing), together):
            for item in find_class_models(
                convnet,
                missing[i : i + together],
                self.settings,
                objective=objective,
                frames=self.settings.frames,
                on_step=self.bar.advance if self.bar else None,
            ):
                self.store.save(item)
                kept[item.index] = item
        return [item for item in kept.values() if item]

    def _mean(self, convnet: ConvNet) -> Mean:
        return convnet.preprocessing.mean if self.mean_image is None else self.mean_image

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.bar:
            self.bar.close()
        self._show(trainer, pl_module, self.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.bar:
            self.bar.close()

    def _show(self, trainer: Trainer, module: LightningModule, folder: Path | None) -> None:
        assert isinstance(module, Classifier)
        gathered = {(f.index, f.objective): f for f in gather(self.found)}
        judged = dict(gather(list(self.judged.items())))
        self.found, self.judged = [], {}
        main, *others = self.objectives
        ordered = [gathered[index, main] for index in self.classes]
        compared = (
            [gathered[index, others[0]] for index in self.classes if (index, others[0]) in gathered] if others else []
        )
        names = [module.convnet.classes.names[index].split(",")[0] for index in self.classes]
        self.results = [row(f, name, judged) for f, name in zip(ordered, names, strict=True)]
        for line, other in zip(self.results, compared, strict=False):
            line["compared"] = {k: v for k, v in row(other, "", judged).items() if k not in ("class", "class_index")}
        if trainer.is_global_zero and ordered:
            show_class_models(trainer, folder, names, ordered, compared, self.results, self._mean(module.convnet))


def row(found: Found, name: str, judged: dict[tuple[int, str], Judgement]) -> dict[str, Any]:
    """What metrics.json says of a class."""
    line = {
        "class_index": found.index,
        "class": name,
        "objective": found.objective,
        "score": found.score,
        "posterior": found.posterior,
        "norm": found.norm,
        "no_gradient": found.shut,
        "steps": found.traces.shape[1],
    }
    if judgement := judged.get((found.index, found.objective)):
        line |= {"judge_posterior": judgement.posterior, "judge_rank": judgement.rank}
    return line
