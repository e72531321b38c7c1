"""Progress of the Trainer: a line an epoch, and in between a live bar on a terminal, plain lines elsewhere."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from deepinside.progress import Bar, spell

SHOWN = ("train/loss", "val/loss", "val/top1_error")  # the first in every epoch, the others after a validation


class TrainerProgress(Callback):
    """Batches of training, validation, test and predict, each with the time left; after an epoch its main numbers."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.share = 0.0  # of the present batch that is done
        self.validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Not at the start of fit: only now does a resumed run know the steps of the earlier one."""
        self.start, self.first_step = time.monotonic(), trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = False
        of = f" of {trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        self._open(trainer, f"epoch {trainer.current_epoch + 1}{of}", [trainer.num_training_batches])

    def on_train_batch_end(self, *_: Any) -> None:
        self._advance()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()
        if trainer.is_global_zero:
            shown = SHOWN if self.validated else SHOWN[:1]
            values = {key: float(trainer.callback_metrics[key]) for key in shown if key in trainer.callback_metrics}
            numbers = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
            of = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
            print(f"epoch {trainer.current_epoch + 1}{of}  {numbers}  {self._time(trainer)}", flush=True)

    def _time(self, trainer: Trainer) -> str:
        seconds, steps = time.monotonic() - self.start, trainer.global_step - self.first_step
        left = trainer.estimated_stepping_batches - trainer.global_step
        if steps <= 0 or not 0 < left < float("inf"):
            return spell(seconds)
        return f"{spell(seconds)}, about {spell(seconds * left / steps)} left"

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._open(trainer, "validation", total)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer, "test", trainer.num_test_batches)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer, "analysis", trainer.num_predict_batches)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._begin(batch_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._begin(batch_idx)

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._begin(batch_idx)

    def on_validation_end(self, *_: Any) -> None:
        self.validated = True
        self._close()

    def on_test_end(self, *_: Any) -> None:
        self._close()

    def on_predict_end(self, *_: Any) -> None:
        self._close()

    def on_exception(self, *_: Any) -> None:
        while self.bars:
            self._close()

    def _open(self, trainer: Trainer, what: str, batches: list[int | float]) -> None:
        total = sum(batches)
        bar = Bar(what, total if total < float("inf") else None, "batches", enabled=trainer.is_global_zero)
        self.bars.append(bar)

    def _begin(self, batch_idx: int) -> None:
        """A batch is done when the next one begins: what other callbacks do with it at its end counts, too."""
        if batch_idx:
            self._advance()

    def within(self, share: float) -> None:
        if self.bars:
            self.bars[-1].advance(share - self.share)
            self.share = share

    def _advance(self) -> None:
        self.within(1.0)
        self.share = 0.0

    def _close(self) -> None:
        self.share = 0.0
        if self.bars:
            self.bars.pop().close()


def tell_share(trainer: Trainer, share: float) -> None:
    """So much of the present batch is done: one whose pictures take seconds each shows progress, too."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, TrainerProgress):
            callback.within(share)


def progress_bars(enabled: bool) -> list[Callback]:
    """The callbacks that show progress: none if it is not wanted."""
    return [TrainerProgress()] if enabled else []
