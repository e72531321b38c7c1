"""When looks are made, what they cost, what survives a resume, what several processes log."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import callbacks.monitor
from callbacks import ClassModels, Pictures, SaliencyMaps
from callbacks.film_strips import COLUMNS, Looks, columns
from callbacks.monitor import Monitor
from callbacks.saliency_maps import drift
from deepinside.config import ClassModelsConfig, SaliencyConfig

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
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.body(images)
        return scores

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.clock:
            self.clock.now += self.seconds
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

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
    logged = [e.value for e in events(tmp_path).Scalars("overhead/w")]
    assert len(logged) == len(watcher.seen) == watcher.looks
    assert logged[0] == pytest.approx(seconds / 2)
    assert logged[-1] == pytest.approx(watcher.spent / watcher.seen[-1], rel=1e-3)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("w: a look takes")]
    assert 1 <= len(told) <= 6
    assert f"{seconds:.1f} s" in told[0]


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


def saliency_and_class_models(out: Path, warm: bool) -> list[Any]:
    return [
        SaliencyMaps(SaliencyConfig(images=2), out / "saliency", pictures=PICTURES, max_overhead=None),
        ClassModels(
            ClassModelsConfig(every=2, steps=9, look_steps=3, warm_start=warm),
            [2, 0],
            out / "class_models",
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
    logged = events(tmp_path)
    assert [e.step for e in logged.Images("saliency/films/00001_1")] == [3, 6, 9, 12]
    assert [e.step for e in logged.Scalars("saliency/drift_spearman")] == [6, 9, 12]
    assert {p.name for p in (tmp_path / "saliency" / "films").iterdir()} == {"00001_1.png", "00002_2.png"}
    assert {p.name for p in (tmp_path / "class_models" / "growth").iterdir()} == {"0002_2.png", "0000_0.png"}
    with Image.open(tmp_path / "saliency" / "films" / "00001_1.png") as strip:
        assert strip.width == 5 * 112 + 4 * 8  # the picture and four looks


def test_a_warm_start_begins_where_the_last_look_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    real: Callable[..., Any] = callbacks.class_models.find_class_models

    def spy(*arguments: Any, start: Tensor | None = None, **options: Any) -> Any:
        starts.append(start)
        return real(*arguments, start=start, **options)

    monkeypatch.setattr(callbacks.class_models, "find_class_models", spy)
    for warm in (True, False):
        watched = saliency_and_class_models(tmp_path / str(warm), warm)
        trainer(tmp_path / str(warm), watched[1:], max_epochs=3).fit(Net(), loader(3))
        kept = watched[1].kept.read(3)[1]
        if warm:
            assert starts[0] is None
            assert torch.equal(starts[1], torch.from_numpy(np.stack([kept["2"], kept["0"]])).float())
            starts.clear()
        else:
            assert starts == [None, None]


def test_many_looks_are_shown_by_some(tmp_path: Path) -> None:
    assert columns(range(5)) == [0, 1, 2, 3, 4]
    some = columns(range(0, 1000, 10))
    assert (len(some), some[0], some[-1]) == (COLUMNS, 0, 990)
    assert some == sorted(set(some))
    assert max(np.diff(some)) <= 2 * min(np.diff(some))


def test_half_a_look_is_no_look(tmp_path: Path) -> None:
    (tmp_path / "12.part").write_bytes(b"PK half")
    assert Looks(tmp_path).steps() == []


def test_drift_of_a_map_that_stayed_is_one() -> None:
    maps = np.random.default_rng(0).random((2, 16, 16)).astype(np.float16)
    same = drift({"0": maps[0]}, {"0": maps[0]})
    assert same == {"saliency/drift_spearman": pytest.approx(1), "saliency/drift_ssim": pytest.approx(1)}
    other = drift({"0": maps[0], "1": maps[1]}, {"0": maps[1]})
    assert other["saliency/drift_spearman"] < 0.9
    assert drift({}, {"0": maps[0]}) == {}


def test_two_processes_log_everything_once(tmp_path: Path) -> None:
    small = ("data.shapes_train=64", "data.shapes_val=9", "data.batch_size=16", "trainer.accelerator=cpu")
    looks = ("saliency.images=3", "saliency.unit=steps", "class_models.count=3", "class_models.steps=3")
    more = ("class_models.every=1", "localisation.every=1", "localisation.images=3", "localisation.pictures=0")
    ddp = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=2", "monitor.max_overhead=null")
    command = [sys.executable, str(ROOT / "train.py"), *small, *looks, *more, *ddp, f"out={tmp_path}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300
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
