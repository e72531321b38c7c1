"""When looks are made, what they cost, what survives a resume, what several processes log."""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import SingleDeviceStrategy
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

import callbacks.film_strips
import callbacks.monitor
from callbacks import ClassModels, Pictures, SaliencyMaps
from callbacks.class_model_store import Found
from callbacks.film_strips import COLUMNS, Looks, columns, show_strips, shrink
from callbacks.monitor import Monitor
from callbacks.saliency_maps import drift
from deepinside.checkpoint import first_lost_step
from deepinside.config import ClassModelsConfig, SaliencyConfig, TrainerConfig
from deepinside.errors import UserError
from deepinside.events import read_scalars
from deepinside.trainer import make_trainer

ROOT = Path(__file__).resolve().parent.parent
PICTURES = Pictures(torch.rand(3, 3, 16, 16), torch.arange(3), (0.5,) * 3, (0.25,) * 3)


class Clock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Net(LightningModule):
    """A batch takes so many seconds of the clock."""

    def __init__(self, clock: Clock | None = None, seconds: float = 1.0) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(14), nn.Flatten(), nn.Linear(784, 3)
        )

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.body(images)
        return scores

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.clock:
            self.clock.now += self.seconds
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        assert not self.training, "callbacks leave the mode as Lightning has set it"
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


class Watcher(Monitor):
    """A look takes so many seconds of the clock."""

    def __init__(self, name: str, clock: Clock, seconds: float, every: int, unit: str, budget: float | None) -> None:
        super().__init__(every, unit, budget, PICTURES)
        self.name, self.clock, self.seconds, self.seen = name, clock, seconds, list[int]()

    @property
    def state_key(self) -> str:
        return self.name

    def look(self, trainer: Trainer, module: LightningModule) -> None:
        self.clock.now += self.seconds
        self.seen.append(trainer.global_step)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(callbacks.monitor, "monotonic", clock)
    return clock


def loader(batches: int) -> DataLoader[Any]:
    count = 2 * batches
    return DataLoader(TensorDataset(torch.rand(count, 3, 16, 16), torch.arange(count) % 3), batch_size=2)


def trainer(out: Path, watchers: list[Any], **options: Any) -> Trainer:
    seed_everything(0, verbose=False)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1, "accelerator": "cpu"}
    logger = TensorBoardLogger(out, name="", version="")
    return Trainer(callbacks=watchers, logger=logger, **{"enable_checkpointing": False, **quiet, **options})


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


@pytest.mark.parametrize(("budget", "seconds"), [(0.05, 3.0), (0.2, 0.7), (0.02, 1.5)])
def test_a_budget_holds_its_figure(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str], budget: float, seconds: float
) -> None:
    """Three hundred steps of a second: the share of looks lands where it was asked for."""
    watcher = Watcher("w", clock, seconds, 2, "steps", budget)
    trainer(tmp_path, [watcher], max_epochs=3).fit(Net(clock), loader(100))
    share = watcher.spent / 300
    assert budget / 1.5 < share <= budget
    assert watcher.seen[0] == 2
    assert all(step % 2 == 0 for step in watcher.seen)
    logged = events(tmp_path).Scalars("overhead/w")
    assert [e.step for e in logged] == sorted({*watcher.seen, 300})  # after every look, and at the end
    assert len(watcher.seen) == watcher.looks
    assert logged[0].value == pytest.approx(seconds / 2)
    assert logged[-1].value == pytest.approx(share, rel=1e-3)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("w: a look takes")]
    assert 1 <= len(told) <= 6
    period = math.ceil(round(seconds / budget, 6))
    told_first = f"w: a look takes {seconds:.1f} s: one every {period} steps is {100 * budget:g}% of the training time"
    assert told[0] == told_first


def test_the_period_is_told_where_it_is_another(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of looks that are cheap from the first; where they become so, that the wished period is kept again."""
    watcher = Watcher("w", clock, 0.1, 2, "epochs", 0.5)
    trainer(tmp_path / "a", [watcher], max_epochs=3).fit(Net(clock), loader(4))
    assert watcher.seen == [4, 12]
    assert capsys.readouterr().out == ""

    class Quicker(Watcher):
        def look(self, trainer: Trainer, module: LightningModule) -> None:
            super().look(trainer, module)
            self.seconds = 0.1

    quicker = Quicker("q", clock, 16.0, 2, "epochs", 0.5)
    trainer(tmp_path / "b", [quicker], max_epochs=17).fit(Net(clock), loader(4))
    assert quicker.seen[0] == 4
    assert [line.split(" is ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "q: a look takes 16.0 s: one every 8 epochs",
        "q: a look takes 0.1 s: one every 2 epochs",
    ]


def test_without_a_budget_every_period_is_kept(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = Watcher("w", clock, 100.0, 2, "epochs", None)
    trainer(tmp_path, [watcher], max_epochs=5).fit(Net(clock), loader(4))
    assert watcher.seen == [4, 12, 20]  # after the first epoch, then every second
    assert capsys.readouterr().out == ""


def test_the_looks_of_others_are_no_training(tmp_path: Path, clock: Clock) -> None:
    """One that may take all the time it wants does not feed the budget of another."""
    greedy = Watcher("greedy", clock, 50.0, 1, "steps", None)
    modest = Watcher("modest", clock, 1.0, 1, "steps", 0.1)
    trainer(tmp_path, [greedy, modest], max_epochs=1).fit(Net(clock), loader(100))
    assert greedy.looks == 100
    assert 0.1 / 1.5 < modest.spent / 100 <= 0.1
    whole = events(tmp_path).Scalars("overhead/all")
    assert [(e.step, round(e.value, 2)) for e in whole] == [(100, 50 + modest.spent / 100)]


def test_steps_are_those_of_the_optimiser(tmp_path: Path, clock: Clock) -> None:
    watcher = Watcher("w", clock, 0.0, 3, "steps", None)
    trainer(tmp_path, [watcher], max_epochs=2, accumulate_grad_batches=2).fit(Net(clock), loader(10))
    assert watcher.seen == [3, 6, 9]


class Thrice(Net):
    """Three steps a batch."""

    automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]  # by hand
        for optimiser in self.optimizers():  # type: ignore[union-attr]
            optimiser.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            optimiser.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), 0.01) for _ in range(3)]


def test_no_period_is_stepped_over(tmp_path: Path, clock: Clock) -> None:
    watcher = Watcher("w", clock, 0.0, 4, "steps", None)
    trainer(tmp_path, [watcher], max_epochs=1).fit(Thrice(), loader(8))
    assert watcher.seen == [6, 9, 12, 18, 21, 24]  # the first batch's end after 4, 8, ... 24


def test_nothing_to_look_at_is_no_look(tmp_path: Path) -> None:
    watched: list[Any] = [
        SaliencyMaps(SaliencyConfig(images=0), pictures=PICTURES),
        ClassModels(ClassModelsConfig(every=1, count=0), pictures=PICTURES),
        ClassModels(ClassModelsConfig(every=1), classes=[], pictures=PICTURES),
    ]
    for watcher in watched:
        trainer(tmp_path, [watcher], max_epochs=1).fit(Net(), loader(2))
        assert watcher.looks == 0
    assert not [
        tag for tag in events(tmp_path).Tags()["scalars"] if tag in ("overhead/saliency", "overhead/class_models")
    ]


def test_processes_are_asked_only_where_a_budget_must_be_kept(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", lambda self, obj, src=0: asked.append(obj) or obj)
    for budget, answers in ((None, []), (0.5, [True] * 3)):
        asked.clear()
        trainer(tmp_path, [Watcher("w", clock, 0.1, 1, "steps", budget)], max_epochs=1).fit(Net(clock), loader(4))
        assert [answer for answer in asked if isinstance(answer, bool)] == answers


class Spoilt(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            next(pl_module.parameters()).data[0] = torch.nan


def test_a_net_that_diverged_is_one_line(tmp_path: Path, clock: Clock) -> None:
    watcher = Watcher("w", clock, 0.0, 1, "epochs", None)
    with pytest.raises(UserError, match=r"^training diverged at step 8: lower the learning rate \(train\.py:"):
        trainer(tmp_path, [Spoilt(), watcher], max_epochs=3).fit(Net(), loader(4))
    assert watcher.seen == [4]


def test_a_class_model_that_diverged_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a look and at test; what else was found is shown, and the next warm start begins with it."""
    real: Callable[..., list[Found]] = callbacks.class_models.find_class_models
    starts = list[Any]()

    def spoilt(*arguments: Any, start: Tensor | None = None, **options: Any) -> list[Found]:
        starts.append(start)
        found = real(*arguments, start=start, **options)
        return [replace(f, image=f.image * torch.nan) if f.index == 2 else f for f in found]

    monkeypatch.setattr(callbacks.class_models, "find_class_models", spoilt)
    watched = saliency_and_class_models(tmp_path, True)[1:]
    at, net = trainer(tmp_path, watched, max_epochs=3), Net()
    at.fit(net, loader(3))
    at.test(net, loader(3), verbose=False)
    told = "class_models: the class model of '2' diverged: lower class_models.lr (1); left out"
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("class_models:")] == [told] * 3
    assert [row["class"] for row in watched[0].results] == ["0"]
    assert {p.name for p in (tmp_path / "class_models" / "growth").iterdir()} == {"0000_0.png"}
    assert {p.name for p in (tmp_path / "class_models" / "pictures").iterdir()} == {"0000_0.png"}
    assert starts[0] is None
    assert (starts[1][0] == 0).all()
    assert (starts[1][1] != 0).any()


def test_never_means_never(tmp_path: Path, clock: Clock) -> None:
    watcher = Watcher("w", clock, 1.0, 0, "epochs", None)
    trainer(tmp_path, [watcher], max_epochs=2).fit(Net(clock), loader(2))
    assert watcher.seen == []


def test_times_survive_a_resume(tmp_path: Path, clock: Clock) -> None:
    """In two parts, with a long night between them, the same looks are made as at a stretch."""

    def fit(out: Path, epochs: int, **options: Any) -> list[int]:
        watcher = Watcher("w", clock, 2.0, 5, "steps", 0.05)
        checked = trainer(out, [watcher], max_epochs=epochs, default_root_dir=out)
        checked.fit(Net(clock), loader(60), weights_only=True, **options)
        checked.save_checkpoint(out / "last.ckpt")
        return watcher.seen

    whole = fit(tmp_path / "a", 4)
    first = fit(tmp_path / "b", 2)
    clock.now += 30000
    second = fit(tmp_path / "b", 4, ckpt_path=str(tmp_path / "b" / "last.ckpt"))
    assert first + second == whole
    assert len(whole) >= 5


def test_every_training_has_its_first_look(tmp_path: Path, clock: Clock) -> None:
    """As in cross-validation, with the same callback; where one trainer goes on, its own numbers go on."""
    watcher = Watcher("w", clock, 2.0, 1, "epochs", 0.05)
    for fold in ("a", "b"):
        at = trainer(tmp_path / fold, [watcher], max_epochs=3)
        at.fit(Net(clock), loader(4))
        assert watcher.seen == [4]
        trainer(tmp_path / "test", [watcher]).test(Net(), loader(1), verbose=False)  # no training
        assert (watcher.looks, watcher.spent, watcher.trained) == (1, 2.0, 12.0)
        watcher.seen.clear()
    at.fit_loop.max_epochs = 12  # type: ignore[assignment]
    at.fit(Net(clock), loader(4))
    assert watcher.seen == []
    assert (watcher.looks, watcher.spent, watcher.trained) == (1, 2.0, 48.0)


def test_a_resumed_training_counts_what_the_checkpoint_knows(tmp_path: Path, clock: Clock) -> None:
    """Also with a callback that another training has used since."""
    watcher = Watcher("w", clock, 2.0, 1, "epochs", 0.05)
    part = trainer(tmp_path, [watcher], max_epochs=2)
    part.fit(Net(clock), loader(4))
    part.save_checkpoint(tmp_path / "last.ckpt")
    watcher.seconds = 7.0
    trainer(tmp_path, [watcher], max_epochs=1).fit(Net(clock), loader(4))
    watcher.seen.clear()
    trainer(tmp_path, [watcher], max_epochs=3).fit(
        Net(clock), loader(4), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True
    )
    assert watcher.seen == []
    assert (watcher.looks, watcher.spent, watcher.trained) == (1, 2.0, 12.0)


def test_checkpoints_that_do_not_know_the_last_look_have_none_to_make_up(tmp_path: Path, clock: Clock) -> None:
    """Those of earlier versions."""
    part = trainer(tmp_path, [Watcher("w", clock, 1.0, 1, "epochs", None)], max_epochs=2)
    part.fit(Net(clock), loader(4))
    part.save_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del content["callbacks"]["w"]["looked_at"]
    torch.save(content, tmp_path / "last.ckpt")
    watcher = Watcher("w", clock, 1.0, 1, "epochs", None)
    trainer(tmp_path, [watcher], max_epochs=3).fit(
        Net(clock), loader(4), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True
    )
    assert watcher.seen == [12]


class Killed(Callback):
    """At the step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("killed")


def test_what_a_killed_epoch_logged_is_purged(tmp_path: Path) -> None:
    """Three steps an epoch, killed after the fifth: TensorBoard and reports see every step once, as it was at last."""
    settings = TrainerConfig(accelerator="cpu", max_epochs=3, log_every_n_steps=1, enable_progress_bar=False)

    def fit(*more: Callback, resumed: Path | None = None) -> list[int]:
        maps = SaliencyMaps(SaliencyConfig(1, unit="steps", images=1), tmp_path / "s", pictures=PICTURES)
        maps.max_overhead = None
        last = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        first = first_lost_step(resumed) if resumed else None
        at = make_trainer(settings, tmp_path, [maps, *more, last], own_samplers=False, lost_from=first)
        at.fit(Net(), loader(3), ckpt_path=str(resumed) if resumed else None, weights_only=True)
        return maps.kept.steps()

    with pytest.raises(RuntimeError, match="killed"):
        fit(Killed(5))
    orphans = {step for step, _ in read_scalars(tmp_path)["saliency/drift_ssim"]}
    time.sleep(1.1)  # event files are named by the second
    assert fit(resumed=tmp_path / "last.ckpt") == list(range(1, 10))
    assert orphans == {2, 3, 4, 5}
    logged = events(tmp_path)
    assert [e.step for e in logged.Images("saliency/films/00001_1")] == list(range(1, 10))
    assert [e.step for e in logged.Scalars("saliency/drift_ssim")] == list(range(2, 10))


def test_reports_leave_out_what_was_lost(tmp_path: Path) -> None:
    for number, purged in enumerate((None, 4)):
        writer = SummaryWriter(tmp_path, purge_step=purged, filename_suffix=f".{number}")
        for step in range(1, 7) if purged is None else (4,):
            writer.add_scalar("a", step + 10 * number, step)
        if purged is None:
            writer.add_scalar("lost", 1.0, 5)
        writer.close()
        time.sleep(1)  # files are read in the order of their names, which begin with the second of their time
    assert read_scalars(tmp_path) == {"a": [(1, 1.0), (2, 2.0), (3, 3.0), (4, 14.0)]}


def saliency_and_class_models(out: Path, warm: bool) -> list[Any]:
    return [
        SaliencyMaps(SaliencyConfig(images=2), out / "saliency", pictures=PICTURES, max_overhead=None),
        ClassModels(
            ClassModelsConfig(every=2, steps=9, look_steps=3, warm_start=warm),
            out / "class_models",
            classes=[2, 0],
            pictures=PICTURES,
            max_overhead=None,
        ),
    ]


def test_films_go_on_after_a_resume(tmp_path: Path) -> None:
    """What was found before is still there, what a lost epoch left behind is not."""
    watched = saliency_and_class_models(tmp_path, True)
    part = trainer(tmp_path, watched, max_epochs=2)
    part.fit(Net(), loader(3))
    part.save_checkpoint(tmp_path / "last.ckpt")
    looks = tmp_path / "saliency" / "looks"
    (looks / "9.npz").write_bytes((looks / "6.npz").read_bytes())  # a third epoch that no checkpoint has
    before = np.load(looks / "3.npz")["1"]
    watched = saliency_and_class_models(tmp_path, True)
    trainer(tmp_path, watched, max_epochs=4).fit(Net(), loader(3), ckpt_path=str(tmp_path / "last.ckpt"))
    found = watched[0].kept
    assert found.steps() == [3, 6, 9, 12]
    assert [found.read(step)[0] for step in found.steps()] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert np.array_equal(before, found.read(3)[1]["1"])
    assert not np.array_equal(found.read(9)[1]["1"], found.read(6)[1]["1"])
    assert watched[1].kept.steps() == [3, 9]
    assert [row["steps"] for row in watched[1].results] == [3, 3]
    logged = events(tmp_path)  # sorted, as files of one second are read by the numbers in their names, 10 before 9
    assert sorted(e.step for e in logged.Images("saliency/films/00001_1")) == [3, 6, 9, 12]
    assert sorted(e.step for e in logged.Scalars("saliency/drift_spearman")) == [6, 9, 12]
    assert {p.name for p in (tmp_path / "saliency" / "films").iterdir()} == {"00001_1.png", "00002_2.png"}
    assert {p.name for p in (tmp_path / "class_models" / "growth").iterdir()} == {"0002_2.png", "0000_0.png"}
    with Image.open(tmp_path / "saliency" / "films" / "00001_1.png") as strip:
        assert strip.width == 5 * 112 + 4 * 8  # the picture and four looks


def test_a_look_that_was_stopped_is_made_up(tmp_path: Path) -> None:
    """The checkpoint of the second epoch, from before its look and from behind it."""

    class Kept(Callback):
        def __init__(self, name: str) -> None:
            self.file = tmp_path / f"{name}.ckpt"

        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            trainer.save_checkpoint(self.file)

    def maps(name: str) -> SaliencyMaps:
        return SaliencyMaps(SaliencyConfig(1, images=1), tmp_path / name, pictures=PICTURES, max_overhead=None)

    trainer(tmp_path, [Kept("before"), maps("before"), Kept("behind")], max_epochs=2).fit(Net(), loader(3))
    shutil.copytree(tmp_path / "before", tmp_path / "behind")
    (tmp_path / "before" / "looks" / "6.npz").unlink()
    times = {}
    for name in ("before", "behind"):
        file, watched = tmp_path / name / "looks" / "6.npz", maps(name)
        times[name] = file.stat().st_mtime_ns if file.exists() else None
        at = trainer(tmp_path / f"{name}_log", [watched], max_epochs=3)
        at.fit(Net(), loader(3), ckpt_path=str(tmp_path / f"{name}.ckpt"))
        assert watched.kept.steps() == [3, 6, 9]
        assert [watched.kept.read(step)[0] for step in (3, 6, 9)] == ["epoch 1", "epoch 2", "epoch 3"]
        assert watched.looks == 3
        assert (file.stat().st_mtime_ns == times[name]) == (name == "behind")
    drift = events(tmp_path / "before_log").Scalars("saliency/drift_spearman")
    assert [e.step for e in drift] == [6, 9]


def large(out: Path, warm: bool = True) -> ClassModels:
    known = Pictures(torch.rand(3, 3, 128, 144), torch.arange(3), (0.5,) * 3, (0.25,) * 3)
    settings = ClassModelsConfig(every=2, steps=9, look_steps=3, warm_start=warm)
    return ClassModels(settings, out, classes=[2, 0], pictures=known, max_overhead=None)


def test_a_warm_start_begins_where_the_last_look_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At full size; in small where that was lost with what a checkpoint does not have."""
    starts, found = list[Any](), list[list[Found]]()
    real: Callable[..., list[Found]] = callbacks.class_models.find_class_models

    def spy(*arguments: Any, start: Tensor | None = None, **options: Any) -> list[Found]:
        starts.append(start)
        found.append(real(*arguments, start=start, **options))
        return found[-1]

    monkeypatch.setattr(callbacks.class_models, "find_class_models", spy)
    first, net = large(tmp_path), Net()
    at = trainer(tmp_path, [first], max_epochs=3)
    at.fit(net, loader(3))
    at.save_checkpoint(tmp_path / "last.ckpt")
    at.test(net, loader(3), verbose=False)
    assert first.kept.read(9)[0] == "epoch 3"
    images = [torch.stack([item.image for item in look]).float() for look in found]
    assert starts[0] is None
    assert starts[1].shape == (2, 3, 128, 128)
    assert torch.equal(starts[1], images[0])
    assert starts[2] is None  # the end
    assert first.last.steps() == [9]

    resumed = trainer(tmp_path, [large(tmp_path)], max_epochs=5)
    resumed.fit(Net(), loader(3), ckpt_path=str(tmp_path / "last.ckpt"))
    assert torch.equal(starts[3], images[1])
    lost = trainer(tmp_path, [large(tmp_path)], max_epochs=5)
    lost.fit(Net(), loader(3), ckpt_path=str(tmp_path / "last.ckpt"))
    assert starts[4].shape == (2, 3, 112, 112)
    starts.clear()
    cold = large(tmp_path / "cold", warm=False)
    trainer(tmp_path / "cold", [cold], max_epochs=3).fit(Net(), loader(3))
    assert starts == [None, None]
    assert cold.last.steps() == []


@pytest.mark.parametrize(("warm", "heading"), [(True, "end, from zero"), (False, "end")])
def test_the_films_last_column_tells_where_it_began(tmp_path: Path, warm: bool, heading: str) -> None:
    """A look in the first of two epochs, so that the end is another step."""
    watcher, net = saliency_and_class_models(tmp_path, warm)[1], Net()
    at = trainer(tmp_path, [watcher], max_epochs=2)
    at.fit(net, loader(3))
    at.test(net, loader(3), verbose=False)
    assert [watcher.kept.read(step)[0] for step in watcher.kept.steps()] == ["epoch 1", heading]


def test_many_looks_are_shown_by_some(tmp_path: Path) -> None:
    assert columns(range(5)) == [0, 1, 2, 3, 4]
    assert columns(range(COLUMNS)) == list(range(COLUMNS))
    assert len(columns(range(COLUMNS + 1))) == COLUMNS
    some = columns(range(0, 1000, 10))
    assert (len(some), some[0], some[-1]) == (COLUMNS, 0, 990)
    assert some == sorted(set(some))
    assert max(np.diff(some)) <= 2 * min(np.diff(some))


@pytest.mark.parametrize("name", [None, "looks"])
def test_looks_are_forgotten_in_memory_and_in_files(tmp_path: Path, name: str | None) -> None:
    looks = Looks(tmp_path / name if name else None)
    arrays = {"0": np.ones((2, 2), np.float16)}
    for step in (3, 6, 9):
        looks.add(at_step(step), f"step {step}", arrays)
    looks.forget_after(6, at_step(6))
    assert looks.steps() == [3, 6]
    looks.forget_before(6, at_step(6))
    assert looks.steps() == [6]
    title, found = looks.read(6)
    assert (title, [*found]) == ("step 6", ["0"])
    assert np.array_equal(found["0"], arrays["0"])


def at_step(step: int) -> Any:
    return SimpleNamespace(global_step=step, is_global_zero=True, loggers=[])


def test_a_strip_begins_with_its_picture_and_has_the_looks_that_saw_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}
    monkeypatch.setattr(
        callbacks.film_strips,
        "draw_strip",
        lambda columns, caption: drawn.update({caption: [title for title, _ in columns]}) or Image.new("RGB", (8, 8)),
    )
    looks, one = Looks(None), np.ones((2, 2), np.float16)
    looks.add(at_step(1), "epoch 1", {"a": one})
    looks.add(at_step(2), "epoch 2", {"a": one, "b": one})
    pixels = np.zeros((2, 2, 3), np.uint8)
    captions, first = {"a": ("0_a", "of a"), "b": ("1_b", "of b")}, {"a": ("picture", pixels)}
    show_strips(at_step(2), looks, "films", tmp_path, captions, lambda _: pixels, first)
    assert drawn == {"of a": ["picture", "epoch 1", "epoch 2"], "of b": ["epoch 2"]}
    assert {file.name for file in tmp_path.iterdir()} == {"0_a.png", "1_b.png"}


def test_what_is_kept_is_no_larger_than_is_shown() -> None:
    assert shrink(torch.rand(3, 60, 300), 100).shape == (3, 20, 100)
    assert shrink(torch.rand(5, 3, 300, 60), 100).shape == (5, 3, 100, 20)
    assert shrink(torch.zeros(0, 3, 60, 300), 100).shape == (0, 3, 20, 100)
    assert shrink(torch.rand(3, 2, 400), 100).shape == (3, 1, 100)
    assert shrink(small := torch.rand(3, 50, 100), 100) is small


def test_half_a_look_is_no_look(tmp_path: Path) -> None:
    (tmp_path / "12.part").write_bytes(b"PK half")
    assert Looks(tmp_path).steps() == []


def test_drift_of_a_map_that_stayed_is_one() -> None:
    maps = np.random.default_rng(0).random((2, 16, 16)).astype(np.float16)
    whole = {"0": torch.ones(16, 16, dtype=torch.bool), "1": None}
    same = drift({"0": maps[0]}, {"0": maps[0]}, whole)
    assert same == {"spearman": pytest.approx(1), "ssim": pytest.approx(1)}
    other = drift({"0": maps[0], "1": maps[1]}, {"0": maps[1]}, whole)
    assert other["spearman"] < 0.9
    assert drift({}, {"0": maps[0]}, whole) == {}


def test_two_processes_log_everything_once(tmp_path: Path) -> None:
    small = ("data.shapes_train=64", "data.shapes_val=9", "data.batch_size=16", "trainer.accelerator=cpu")
    looks = ("saliency.images=3", "saliency.unit=steps", "class_models.count=3", "class_models.steps=3")
    more = ("class_models.every=1", "localisation.every=1", "localisation.images=3", "localisation.pictures=0")
    ddp = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=2", "monitor.max_overhead=null")
    command = [sys.executable, str(ROOT / "train.py"), *small, *looks, *more, *ddp, f"out={tmp_path}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    logged = events(tmp_path)
    films = [tag for tag in logged.Tags()["images"] if tag.startswith("saliency/films/")]
    growth = [tag for tag in logged.Tags()["images"] if tag.startswith("class_models/growth/")]
    assert (len(films), len(growth)) == (3, 3)
    for tag in films:
        assert [e.step for e in logged.Images(tag)] == [1, 2, 3, 4]
    for tag in growth:
        assert [e.step for e in logged.Images(tag)] == [2, 4]
    for tag, steps in {
        "saliency/drift_ssim": [2, 3, 4],
        "localisation/gt_known_accuracy": [2, 4],
        "localisation_centre_box/gt_known_accuracy": [2, 4],
        "overhead/saliency": [1, 2, 3, 4],
        "overhead/localisation": [2, 4],
        "overhead/all": [4],
    }.items():
        assert [e.step for e in logged.Scalars(tag)] == steps, tag
