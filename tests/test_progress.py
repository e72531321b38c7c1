"""Progress: lines that tell the time left, from long steps too; nested bars; a terminal left clean."""

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks.progress import progress_bars, tell_share
from deepinside import progress
from deepinside.config import TrainerConfig
from deepinside.progress import Bar, spell
from deepinside.trainer import make_trainer

ROOT = Path(__file__).resolve().parent.parent


class Clock:
    """Tells the times that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()
    monkeypatch.setattr(progress, "time", told)
    return told


def test_time_left_counts_what_was_done_now(clock: Clock) -> None:
    shown = Bar("class models", 20, "classes")
    shown.skip(10)
    shown.advance(2.0)
    clock.now = 11.0
    assert shown.told() == "12 of 20 classes, about 44 s left"  # 2 of the 10 missing took 11 s
    shown.advance(0.4)
    shown.advance(1.6)
    clock.now = 22.0
    assert shown.told() == "14 of 20 classes, about 33 s left"
    shown.close()


def test_without_a_total_or_a_pace_there_is_no_time_left(clock: Clock) -> None:
    with Bar("files", None, "files") as files, Bar("test", 8, "batches") as test:
        clock.now = 7.0
        assert (files.told(), test.told()) == ("7 s so far", "0 of 8 batches, 7 s so far")
        files.advance(12345)
        test.advance(8)
        assert (files.told(), test.told()) == ("12,345 files, 7 s so far", "8 of 8 batches, 7 s so far")


@pytest.mark.parametrize(("seconds", "words"), [(43.2, "43 s"), (99, "99 s"), (150, "2 min"), (7200, "2.0 h")])
def test_times_are_spelt_as_one_wants_to_know_them(seconds: float, words: str) -> None:
    assert spell(seconds) == words


def test_lines_come_while_a_single_step_lasts_and_from_the_innermost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.05)
    with Bar("outer", 2, "epochs"), Bar("inner", 3, "batches") as inner, Bar("hidden", enabled=False):
        inner.advance()
        time.sleep(0.3)
    time.sleep(0.1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("inner: 1 of 3 batches, about ") for line in lines)
    assert progress.Bar._open == []


def test_a_terminal_shows_nested_bars_and_is_left_clean() -> None:
    code = """
import time
from deepinside.progress import Bar
with Bar("outer", 2, "epochs") as outer:
    with Bar("inner", 3, "batches") as inner:
        inner.advance()
        time.sleep(0.3)
        print("a line in between")
    outer.advance()
print("done")
"""
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", code], stdout=slave, stderr=slave, check=True, env=environment, timeout=900)
    os.close(slave)
    with open(master, "rb", buffering=0, closefd=True) as file:
        shown = read_all(file)
    assert "outer" in shown
    assert "1 of 3 batches, about" in shown
    assert "a line in between\r\n" in shown
    assert shown.endswith("done\r\n")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is back


class Validated(LightningModule):
    """A loss of 1, 2, ... by epochs; the same number is told by every validation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.log("train/loss", float(self.current_epoch + 1))
        loss: Tensor = self.layer(batch).sum()
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", float(self.current_epoch + 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_an_epoch_tells_only_numbers_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = DataLoader(torch.ones(2, 1))  # type: ignore[arg-type]  # rows are items
    settings = TrainerConfig(accelerator="cpu", max_epochs=3, check_val_every_n_epoch=2, log_every_n_steps=1)
    make_trainer(settings, tmp_path, progress_bars(True), own_samplers=False).fit(Validated(), batches, batches)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    told = [line.split("  ")[1:-1] for line in lines]
    assert told == [["train/loss 1.0000"], ["train/loss 2.0000", "val/loss 2.0000"], ["train/loss 3.0000"]]


class Timed(Validated):
    """A step takes ten seconds."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.clock.now += 10
        return super().training_step(batch, batch_idx)


def test_an_epoch_tells_the_time_left(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the steps to come, by the pace of this run: not of the steps that an earlier one took."""
    monkeypatch.setattr(sys.modules["callbacks.progress"], "time", clock)
    batches = DataLoader(torch.ones(2, 1))  # type: ignore[arg-type]

    def fit(epochs: int, checkpoint: str | None = None) -> list[str]:
        settings = TrainerConfig(accelerator="cpu", max_epochs=epochs, log_every_n_steps=1)
        trainer = make_trainer(settings, tmp_path, progress_bars(True), own_samplers=False)
        trainer.fit(Timed(clock), batches, batches, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        lines = [line.split("  ") for line in capsys.readouterr().out.splitlines() if "train/loss" in line]
        return [f"{line[0]}: {line[-1]}" for line in lines]

    assert fit(3) == ["epoch 1/3: 20 s, about 40 s left", "epoch 2/3: 40 s, about 20 s left", "epoch 3/3: 60 s"]
    clock.now += 1000
    assert fit(6, str(tmp_path / "last.ckpt"))[:2] == [
        "epoch 4/6: 20 s, about 40 s left",
        "epoch 5/6: 40 s, about 20 s left",
    ]


def test_bars_tell_all_batches_and_end_with_an_error(tmp_path: Path) -> None:
    """The check before training takes fewer validation batches; a validation lies within an epoch."""
    told = []

    class Broken(Validated):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            told.append([(bar.what, bar.total, bar.done) for bar in progress.Bar._open])
            if not self.trainer.sanity_checking and batch_idx == 1:
                raise RuntimeError("broken")

    rows = DataLoader(torch.ones(5, 1))  # type: ignore[arg-type]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        num_sanity_val_steps=2,
        callbacks=progress_bars(True),
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.raises(RuntimeError, match="broken"):
        trainer.fit(Broken(), rows, rows)
    assert told[:2] == [[("validation", 2, 0)], [("validation", 2, 1)]]
    assert told[2:] == [[("epoch 1 of 2", 5, 5), ("validation", 5, done)] for done in (0, 1)]
    assert progress.Bar._open == []


def test_what_others_do_with_a_batch_counts_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback behind the progress, at the end of the first, second and third batch: none, one and two are done; and
    half a batch more when it says so."""
    told = []

    class Late(Callback):
        def on_test_batch_end(self, trainer: Trainer, *_: object) -> None:
            told.append(progress.Bar._open[-1].done)
            tell_share(trainer, 0.5)
            told.append(progress.Bar._open[-1].done)

    module = Validated()
    monkeypatch.setattr(module, "test_step", lambda batch, batch_idx: None, raising=False)
    callbacks = [*progress_bars(True), Late()]
    trainer = make_trainer(TrainerConfig(accelerator="cpu"), tmp_path, callbacks, own_samplers=False)
    trainer.test(module, DataLoader(torch.ones(3, 1)), verbose=False)  # type: ignore[arg-type]
    assert told == [0, 0.5, 1, 1.5, 2, 2.5]
    assert progress.Bar._open == []


def read_all(file: io.RawIOBase) -> str:
    parts = []
    while True:
        try:
            part = file.read(65536)
        except OSError:  # Linux's answer at the end of a pseudo-terminal
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()
