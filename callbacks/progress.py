"""Progress: a live bar on a terminal, one plain line an epoch elsewhere."""

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class PlainProgress(Callback):
    """Prints a line after each validation, and for test and predict every ten seconds how far they are."""

    def __init__(self) -> None:
        self.start = self.printed = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking:
            values = {k: float(v) for k, v in trainer.callback_metrics.items()}
            numbers = "  ".join(
                f"{k} {values[k]:.4f}" for k in ("train/loss", "val/loss", "val/top1_error") if k in values
            )
            seconds = time.monotonic() - self.start
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {numbers}  {seconds:.0f} s", flush=True)

    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._batch(trainer, "test", trainer.num_test_batches)

    def on_predict_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._batch(trainer, "analysis", trainer.num_predict_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.printed, self.batches = time.monotonic(), 0

    on_predict_start = on_test_start

    def _batch(self, trainer: Trainer, what: str, totals: list[int | float]) -> None:
        self.batches += 1
        if trainer.is_global_zero and time.monotonic() - self.printed > 10:
            self.printed = time.monotonic()
            print(f"{what}: batch {self.batches} of {sum(totals):g}", flush=True)


def progress(enabled: bool) -> list[Callback]:
    """The callbacks that show progress: none if it is not wanted."""
    if not enabled:
        return []
    return [RichProgressBar(refresh_rate=5) if sys.stdout.isatty() else PlainProgress()]
