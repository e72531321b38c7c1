"""Class models: film strips of how they grow while training, files at the end, for any number of classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from callbacks.class_model_growth import add_column, keep_last, last_found
from callbacks.class_model_pages import row, show_class_models
from callbacks.class_model_store import (
    Found,
    Judgement,
    Mean,
    Store,
    batch_size,
    find_class_models,
    fingerprint,
    judge_pictures,
    told_diverged,
)
from callbacks.film_strips import Looks
from callbacks.gathering import gather, raise_together, spread
from callbacks.monitor import MAX_OVERHEAD, Monitor
from callbacks.subject import Pictures, convnet_of, settings_of
from deepinside.attribution.inputs import is_whole
from deepinside.class_model_numbers import chosen_numbers
from deepinside.config import ClassModelsConfig
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet
from deepinside.progress import Bar


class ClassModels(Monitor):
    """I* = argmax S_c(I) - lam ||I||^2 (paper, section 2) of some classes, `settings.count` spread ones unless given.

    While training, every `settings.every` epochs or steps: `class_models/growth/<index>_<name>`, an image a class with
    a column a look, begun at the zero image or (`settings.warm_start`) at what the last look found. At test, which is
    their last column: `class_models/sheet`; processes share the classes. At predict, each batch holds class indices,
    every class is kept in `<folder>/found/` as soon as it is there, and what lies there already is taken. With a
    `folder` also a PNG and a film strip a class, the traces, their sheet, growth/, and looks/ which a resumed run takes
    up again. mean_image (3, H, W) in [0, 1]: what the pictures are shown on. judge: another ConvNet that knows the
    classes, asked at predict whether it sees them. Works on a Classifier, and with `pictures` on any LightningModule,
    where it leaves predict alone; training stays as it was. One that diverges is told and left out, at predict it
    raises UserError. Two on one Trainer want a `name` each, with which tags begin in place of `class_models`.
    """

    name = "class_models"
    shows_data = False

    def __init__(
        self,
        settings: ClassModelsConfig | None = None,
        folder: str | Path | None = None,
        *,
        classes: Sequence[int] | None = None,
        pictures: Pictures | None = None,
        max_overhead: float | None = MAX_OVERHEAD,
        name: str | None = None,
        mean_image: Tensor | None = None,
        judge: ConvNet | None = None,
        progress: bool = False,
    ) -> None:
        self.settings = settings_of(self, settings, ClassModelsConfig(every=1))
        some = self.settings.count if classes is None else len(classes)
        super().__init__(self.settings.every if some else 0, self.settings.unit, max_overhead, pictures, folder, name)
        self.chosen = classes
        self.mean_image, self.judge, self.progress = mean_image, judge, progress
        self.objectives = [chosen_numbers(vars(self.settings)).objective]
        if self.settings.compare and self.settings.compare not in self.objectives:
            self.objectives.append(self.settings.compare)
        self.kept, self.last = Looks(None), Looks(None)
        self.strips = {"looks": self.kept, "last": self.last}
        self.bar: Bar | None = None
        self.found: list[Found] = []
        self.judged: dict[tuple[int, str], Judgement] = {}
        self.results: list[dict[str, Any]] = []
        self.store: Store | None = None  # at predict
        self.failed: UserError | None = None

    def begin(self, trainer: Trainer, convnet: ConvNet) -> None:
        known = len(convnet.classes)
        self.classes = spread(self.settings.count, known) if self.chosen is None else list(self.chosen)
        if wrong := [index for index in self.classes if not (is_whole(index) and 0 <= index < known)]:
            raise UserError(
                f"ClassModels: class {wrong[0]} of {convnet.name}, which gives {known} scores: 0 to {known - 1}"
            )
        self.classes = [int(index) for index in self.classes]
        shape = (3, *[convnet.preprocessing.crop] * 2)
        if self.mean_image is not None and self.mean_image.shape != shape:
            raise UserError(f"ClassModels: mean_image must be {shape}, not {tuple(self.mean_image.shape)}")

    def look(self, trainer: Trainer, module: LightningModule) -> None:
        convnet, mine = convnet_of(module, self.given), self._mine(trainer)
        start = last_found(self.last, self.kept, mine) if self.settings.warm_start else None
        if mine:
            settings = self._with_steps(self.settings.look_steps or self.settings.steps, trainer)
            self._take(convnet, find_class_models(convnet, mine, settings, start=start))
        found, heading = self._gather(convnet)[0], self.title(trainer)
        self._grow(trainer, convnet, found, heading)
        if self.settings.warm_start and found:
            keep_last(trainer, self.last, found, heading)

    def _with_steps(self, steps: int | None, trainer: Trainer) -> ClassModelsConfig:
        """A trial run takes as many as it takes batches."""
        return replace(self.settings, steps=int(trainer.fast_dev_run) or steps)  # type: ignore[attr-defined]

    def _take(self, convnet: ConvNet, found: list[Found]) -> None:
        """One that diverged does not end what went well."""
        if told := told_diverged(found, convnet, self.settings):
            print(f"{self.name}: {told}; left out", flush=True)
        self.found += [item for item in found if item.finite]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        convnet, mine = convnet_of(pl_module, self.given), self._mine(trainer)
        if mine:
            frames = self.settings.frames if self.folder else 0
            self.bar = self._open_bar(trainer, len(mine))
            settings = self._with_steps(self.settings.steps, trainer)
            found = find_class_models(convnet, mine, settings, frames=frames, on_step=self._advance)
            self._close_bar()
            self._take(convnet, found)
        ordered = self._show(trainer, convnet)
        steps = self.kept.steps()
        if steps and steps[-1] < trainer.global_step:
            self._grow(trainer, convnet, ordered, "end, from zero" if self.settings.warm_start else "end")

    def _mine(self, trainer: Trainer) -> list[int]:
        return self.classes[trainer.global_rank :: trainer.world_size]

    def _grow(self, trainer: Trainer, convnet: ConvNet, found: list[Found], heading: str) -> None:
        names = [line["class"] for line in self.results]
        if found:
            add_column(trainer, self.name, self.kept, self.folder, names, found, self._mean(convnet), heading)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.store = None
        if self.given is not None:
            return  # another project's batches hold no class indices
        super().on_predict_start(trainer, pl_module)
        if self.folder is None:
            raise UserError("class models of an analysis need a folder, and no fast_dev_run")
        self.failed = None
        self.store = Store(self.folder / "found", fingerprint(convnet_of(pl_module, self.given), self.settings))
        self.bar = self._open_bar(trainer, -(-len(self.classes) // trainer.world_size) * len(self.objectives))

    def _open_bar(self, trainer: Trainer, classes: int) -> Bar | None:
        return Bar("class models", classes, "classes") if self.progress and trainer.is_global_zero else None

    def _advance(self, classes: int, steps: int) -> None:
        """After every step, so that progress shows within batches, too."""
        if self.bar:
            self.bar.advance(classes * steps / chosen_numbers(vars(self.settings)).steps)

    def _close_bar(self) -> None:
        if self.bar:
            self.bar.close()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        if self.store is None or self.failed:
            return
        convnet = convnet_of(pl_module, self.given)
        for objective in self.objectives:
            try:
                found = self._find(self.store, convnet, batch.tolist(), objective)
            except UserError as error:  # told when all processes are done, or the others would wait for this one
                self.failed = error
                return
            if self.judge:
                judgements = judge_pictures(self.judge, convnet, found, self._mean(convnet))
                self.judged |= {(f.index, objective): j for f, j in zip(found, judgements, strict=True)}
            self.found += found

    def _find(self, store: Store, convnet: ConvNet, classes: list[int], objective: str) -> list[Found]:
        """What is kept is taken; the rest is found, and kept, as many at once as the ConvNet sees together."""
        kept = {index: store.load(index, objective) for index in classes}
        missing = [index for index in classes if kept[index] is None]
        if self.bar:
            self.bar.skip(len(classes) - len(missing))
        together = batch_size(self.settings, convnet.mean.device)
        for i in range(0, len(missing), together):
            found = find_class_models(
                convnet,
                missing[i : i + together],
                self.settings,
                objective=objective,
                frames=self.settings.frames,
                on_step=self._advance,
            )
            if told := told_diverged(found, convnet, self.settings):
                raise UserError(told)
            for item in found:
                store.save(item)
                kept[item.index] = item
        return [item for item in kept.values() if item]

    def _mean(self, convnet: ConvNet) -> Mean:
        return convnet.preprocessing.mean if self.mean_image is None else self.mean_image

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.store is not None:
            raise_together(self.failed)
            self._show(trainer, convnet_of(pl_module, self.given))
            self._close_bar()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close_bar()

    def _show(self, trainer: Trainer, convnet: ConvNet) -> list[Found]:
        ordered, compared = self._gather(convnet)
        if trainer.is_global_zero and ordered:
            names = [line["class"] for line in self.results]
            mean, steps = self._mean(convnet), chosen_numbers(vars(self.settings)).steps
            show_class_models(trainer, self.name, self.folder, names, ordered, compared, self.results, mean, steps)
        return ordered

    def _gather(self, convnet: ConvNet) -> tuple[list[Found], list[Found]]:
        """What all processes found, in the order of the classes, and the same by the other objective; `results`."""
        gathered = {(f.index, f.objective): f for f in gather(self.found)}
        judged = dict(gather(list(self.judged.items())))
        self.found, self.judged = [], {}
        main, *others = self.objectives
        ordered = [gathered[index, main] for index in self.classes if (index, main) in gathered]
        compared = (
            [gathered[index, others[0]] for index in self.classes if (index, others[0]) in gathered] if others else []
        )
        self.results = [row(f, convnet.classes.short_name(f.index), judged) for f in ordered]
        for line, other in zip(self.results, compared, strict=False):
            line["compared"] = {k: v for k, v in row(other, "", judged).items() if k not in ("class", "class_index")}
        return ordered, compared
