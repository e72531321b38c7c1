"""When training is looked at: periods in epochs or steps, kept within a share of the training time."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.film_strips import Looks
from callbacks.gathering import log_numbers
from callbacks.subject import Pictures, convnet_of, fixed_pictures, require_pictures
from deepinside.config import MonitorConfig
from deepinside.config.options import complaint
from deepinside.data.views import WholePicture
from deepinside.errors import UserError
from deepinside.models.convnet import ConvNet

MAX_OVERHEAD = 0.05
(SHARE,) = fields(MonitorConfig)


def check_finite(module: LightningModule, step: int) -> None:
    """Raises UserError where parameters that are trained are no longer finite; a mask may hold infinities."""
    if not all(parameter.isfinite().all() for parameter in module.parameters() if parameter.requires_grad):
        raise UserError(f"training diverged at step {step}: lower the learning rate (train.py: optim.lr)")


class Monitor(Callback, ABC):
    """Calls `look(trainer, module)` while training: after the first epoch and then every `every` epochs, or every
    `every` steps of the optimiser; 0: never.

    max_overhead: a look is left out as long as (time spent in looks + what the last one took) would be more than this
    share of the training time, looks of all callbacks not counted; the first of a training is always made; None: no
    such limit. The first process's clock decides for all. Logs `overhead/<name>`, the share so far, after each look and
    at the end, and `overhead/all` at the end. Times survive a resume, and where the run was stopped before the look at
    its last epoch, that is made up; a training from the start begins with none. Raises UserError where parameters are
    no longer finite.

    pictures: what is looked at in a LightningModule of another project; a Classifier with a PictureData needs none.
    folder: for files, no other callback's; the Trainer's fast_dev_run writes none. name: what its tags begin with, if
    not as usual; Lightning refuses two callbacks of one class and one name.
    """

    name = ""
    shows_data = True  # whether it looks at pictures

    def __init__(
        self,
        every: int,
        unit: str,
        max_overhead: float | None,
        pictures: Pictures | None,
        folder: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or type(self).name
        self.every, self.unit, self.max_overhead, self.given = every, unit, max_overhead, pictures
        own = type(self).__name__
        if not isinstance(folder, str | os.PathLike | None):
            raise UserError(f"{own}: the folder must be a path, not {folder!r}")
        if told := complaint(SHARE, max_overhead):
            raise UserError(f"{own}: max_overhead={max_overhead} {told}")
        if not isinstance(pictures, Pictures | None):
            given = type(pictures).__name__
            raise UserError(f"{own}: pictures must be Pictures(images, labels, mean, std), not {given}")
        self.folder = self.given_folder = Path(folder) if folder else None
        self.strips: Mapping[str, Looks] = {}  # by its folder's name, what a look keeps for those to come
        self.fixed: list[WholePicture] | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.trained, self.spent, self.cost, self.looks, self.factor = 0.0, 0.0, 0.0, 0, 1.0
        self.looked_at = -1  # the step of the last look
        self.epochs = 0  # how many were trained when a look is made
        self.resumed = False
        self.monitors: Sequence[Monitor] = ()

    @property
    def state_key(self) -> str:
        """What the checkpoint calls it: two of a class are kept apart by their names."""
        kind = type(self)
        return kind.__qualname__ if self.name == kind.name else f"{kind.__qualname__}.{self.name}"

    @abstractmethod
    def look(self, trainer: Trainer, module: LightningModule) -> None:
        """What is done: every process comes here at the same step."""

    def title(self, trainer: Trainer) -> str:
        """Of what a look finds."""
        return f"epoch {self.epochs}" if self.unit == "epochs" else f"step {trainer.global_step}"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_pictures(self, trainer, pl_module, self.given, data=self.shows_data)
        self.fixed = None
        self._open_folder(trainer)
        if stage == "fit" and not trainer.global_step:  # what a checkpoint knows is loaded after this
            self._begin_anew()

    def _open_folder(self, trainer: Trainer) -> None:
        monitors = [c for c in trainer.callbacks if isinstance(c, Monitor)]  # type: ignore[attr-defined]
        folders = [os.path.realpath(one.given_folder) for one in monitors if one.given_folder]
        for what, mine, all_of_them in (
            ("folder", self.given_folder and os.path.realpath(self.given_folder), folders),
            ("name", self.name, [one.name for one in monitors]),
        ):
            if all_of_them.count(str(mine)) > 1:
                raise UserError(f"{type(self).__name__}: {mine} is another callback's {what} too; each needs its own")
        self.folder = None if trainer.fast_dev_run else self.given_folder  # type: ignore[attr-defined]
        for name, looks in self.strips.items():
            looks.folder = self.folder / name if self.folder else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Not in `setup`: only now has the module made its layers."""
        self.begin(trainer, convnet_of(pl_module, self.given))

    on_test_start = on_predict_start = on_fit_start

    def begin(self, trainer: Trainer, convnet: ConvNet) -> None:
        """Raises UserError, before anything else is done, where it cannot be looked into the ConvNet as is wished."""

    def pictures(self, trainer: Trainer, count: int) -> list[WholePicture]:
        """This process's share of the fixed pictures; read once."""
        if self.fixed is None:
            self.fixed = fixed_pictures(trainer, count, self.given)
        return self.fixed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.monitors = [c for c in trainer.callbacks if isinstance(c, Monitor)]  # type: ignore[attr-defined]
        self.since, self.spent_before, self.step = monotonic(), self.spent, trainer.global_step
        for looks in self.strips.values():
            looks.forget_after(trainer.global_step, trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.resumed and trainer.current_epoch and self.looked_at < trainer.global_step:
            self._after_epoch(trainer, pl_module, trainer.current_epoch)
        self.resumed = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if self.unit == "steps" and step != self.step:  # a step may take several batches
            last, self.step = self.step, step
            if self.every and step // self.every != last // self.every:  # one batch may be several steps
                self._consider(trainer, pl_module, step / self.every)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._after_epoch(trainer, pl_module, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self is self.monitors[0]:
            late = [monitor for monitor in self.monitors if monitor.looks and monitor.looked_at < trainer.global_step]
            spent = {monitor.name: monitor.spent for monitor in late}
            spent["all"] = sum(monitor.spent for monitor in self.monitors)
            trained = max(self._trained(), 1e-9)
            log_numbers(trainer, {f"overhead/{name}": seconds / trained for name, seconds in spent.items()})
        self.trained, self.monitors = self._trained(), ()

    def state_dict(self) -> dict[str, Any]:
        numbers = {"spent": self.spent, "cost": self.cost, "looks": self.looks, "factor": self.factor}
        return {"trained": self._trained(), "looked_at": self.looked_at, **numbers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for key, value in state_dict.items():
            setattr(self, key, value)
        self.since, self.spent_before = monotonic(), self.spent  # also amid a training, as after `lr_find`
        self.resumed = "looked_at" in state_dict  # older checkpoints do not know

    def _trained(self) -> float:
        """Seconds of training without anybody's looks."""
        if not self.monitors:
            return self.trained
        looking = sum(monitor.spent - monitor.spent_before for monitor in self.monitors)
        return self.trained + monotonic() - self.since - looking

    def _after_epoch(self, trainer: Trainer, module: LightningModule, epochs: int) -> None:
        self.epochs = epochs
        if self.unit == "epochs" and self.every and (epochs - 1) % self.every == 0:
            self._consider(trainer, module, epochs / self.every)

    def _consider(self, trainer: Trainer, module: LightningModule, periods: float) -> None:
        share = self.max_overhead if self.looks else None
        if share is not None and not trainer.strategy.broadcast(self._affordable(share)):  # all do what the first does
            return
        check_finite(module, trainer.global_step)
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)  # what training has left to do is not the look's
        start = monotonic()
        self.look(trainer, module)
        self.cost = monotonic() - start
        self.spent += self.cost
        self.looks += 1
        self.looked_at = trainer.global_step
        log_numbers(trainer, {f"overhead/{self.name}": self.spent / max(self._trained(), 1e-9)})
        self._tell_period(trainer, periods)

    def _affordable(self, share: float) -> bool:
        return self.spent + self.cost <= share * self._trained()

    def _tell_period(self, trainer: Trainer, periods: float) -> None:
        """Says when the share has made the period another one; small changes, as times vary, go untold."""
        if self.max_overhead is None:
            return
        affordable = self.cost / self.max_overhead / max(self._trained() / periods, 1e-9)  # periods for each look
        factor = max(1.0, affordable)
        if 2 / 3 <= factor / self.factor <= 3 / 2:
            return
        self.factor = factor
        if trainer.is_global_zero:
            share, period = f"{100 * self.max_overhead:g}% of the training time", math.ceil(self.every * factor)
            print(f"{self.name}: a look takes {self.cost:.1f} s: one every {period} {self.unit} is {share}", flush=True)
