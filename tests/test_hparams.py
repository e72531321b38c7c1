"""TensorBoard's tables of runs, asked of the real TensorBoard: hyper-parameters, final metrics, the charts' layout."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks import HyperParameters
from callbacks.hparams import FINAL, LAYOUT, compared
from deepinside.config import TrainConfig
from deepinside.load_config import load_config
from deepinside.trainer import make_trainer

ROOT = Path(__file__).resolve().parent.parent
STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


class Counting(LightningModule):
    """Logs known numbers: val/top1_error is 1 / (epoch + 1). Fails in training where it is told to."""

    def __init__(self, final: float, fails: bool = False) -> None:
        super().__init__()
        self.layer, self.final, self.fails = nn.Linear(1, 1), final, fails

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        if self.fails and self.current_epoch == 1:
            raise RuntimeError("the lights went out")
        loss: Tensor = self.layer(batch).square().mean()
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/top1_error", 1 / (self.current_epoch + 1), on_epoch=True)

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        assert not self.training, "callbacks leave the mode as Lightning has set it"
        self.log("test/top1_error", self.final, on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def configured(*arguments: str) -> TrainConfig:
    config = load_config(TrainConfig, ["trainer.accelerator=cpu", *arguments], ROOT / "configs")
    config.trainer = replace(config.trainer, enable_progress_bar=False, log_every_n_steps=1)
    return config


def run(config: TrainConfig, out: Path, final: float, fails: bool = False) -> None:
    trainer = make_trainer(config.trainer, out, [HyperParameters(config)], own_samplers=True)
    module, loader = Counting(final, fails), DataLoader(torch.ones(2, 1))  # type: ignore[arg-type]  # rows are items
    trainer.fit(module, loader, loader)
    trainer.test(module, loader, verbose=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that came to its end, one that died, one that died and was resumed with another number of epochs."""
    folder = tmp_path_factory.mktemp("runs")
    run(configured("optim.lr=0.25", "trainer.max_epochs=2", "data.erase=0", "optim.freeze=true"), folder / "a", 0.125)
    for name in ("b", "c"):
        with pytest.raises(RuntimeError, match="lights"):
            run(configured("model.num_classes=7", "trainer.max_epochs=3"), folder / name, 0.5, fails=True)
    time.sleep(1.1)  # event files are named by the second
    run(configured("model.num_classes=7", "trainer.max_epochs=4"), folder / "c", 0.375)
    return folder


@pytest.fixture(scope="module", params=["true", "false"])
def ask(runs: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Asks a TensorBoard that serves the runs, with its fast loader and without: they read files differently."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={runs}", "--port=0", "--host=127.0.0.1"]
    server = subprocess.Popen(
        [*command, f"--load_fast={request.param}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert server.stdout is not None
    line = next((line for line in server.stdout if "http://" in line), "")
    url = line[line.index("http://") :].split(" ")[0]

    def answer(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}data/{path}", data, headers)) as reply:
            return json.load(reply)

    try:
        deadline = time.monotonic() + 60
        while set(answer("runs")) != {"a", "b", "c"} or "test/top1_error" not in str(answer("plugin/scalars/tags")):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(0.5)
        yield answer
    finally:
        server.terminate()
        server.communicate()


def table(ask: Any) -> dict[str, Any]:
    """{run: its row}"""
    columns = ask("plugin/hparams/experiment", {"experimentName": ""})["hparamInfos"]
    request = {"colParams": [{"hparam": column["name"]} for column in columns], "sliceSize": 100, "startIndex": 0}
    rows = ask("plugin/hparams/session_groups", {"experimentName": "", "allowedStatuses": STATUSES, **request})
    return {row["name"]: row for row in rows["sessionGroups"]}


def metrics(row: dict[str, Any]) -> dict[str, float]:
    return {value["name"]["tag"]: value["value"] for value in row["metricValues"]}


def test_every_run_has_one_row_with_how_it_ended(ask: Any) -> None:
    found = table(ask)
    assert {name: [session["status"] for session in row["sessions"]] for name, row in found.items()} == {
        "a": ["STATUS_SUCCESS"],
        "b": ["STATUS_FAILURE"],
        "c": ["STATUS_SUCCESS"],
    }


def test_values_are_true_and_typed(ask: Any) -> None:
    values = table(ask)["a"]["hparams"]
    assert values["optim.lr"] == 0.25
    assert values["data.erase"] == 0
    assert values["trainer.max_epochs"] == 2
    assert values["processes"] == 1
    assert values["optim.freeze"] is True
    assert values["optim.nesterov"] is True
    assert values["model.name"] == "shapes_convnet"
    assert values["data.contrast"] == "[0.25, 1.2]"
    assert "model.num_classes" not in values  # null


def test_a_resumed_run_shows_what_it_went_on_with(ask: Any) -> None:
    found = table(ask)
    assert found["b"]["hparams"]["trainer.max_epochs"] == 3
    assert found["c"]["hparams"]["trainer.max_epochs"] == 4
    assert found["c"]["hparams"]["model.num_classes"] == 7


def test_metrics_are_the_final_ones_and_nothing_is_made_up(ask: Any) -> None:
    found = table(ask)
    assert metrics(found["a"]) == {"test/top1_error": 0.125, "val/top1_error": 0.5}
    assert metrics(found["b"]) == {"val/top1_error": 1.0}  # it died in its second epoch
    assert metrics(found["c"]) == {"test/top1_error": 0.375, "val/top1_error": 0.25}


def test_columns_are_declared(ask: Any) -> None:
    experiment = ask("plugin/hparams/experiment", {"experimentName": ""})
    columns = {column["name"]: column for column in experiment["hparamInfos"]}
    assert [info["name"]["tag"] for info in experiment["metricInfos"]] == list(FINAL)
    assert columns["optim.lr"]["type"] == columns["model.num_classes"]["type"] == "DATA_TYPE_FLOAT64"
    assert columns["optim.freeze"]["type"] == "DATA_TYPE_BOOL"
    assert columns["data.contrast"]["type"] == columns["model.name"]["type"] == "DATA_TYPE_STRING"
    assert columns["optim.lr"]["description"] == "learning rate of SGD"
    first = [column["name"] for column in experiment["hparamInfos"][:5]]  # what TensorBoard shows unasked
    assert set(first) == {"data.batch_size", "model.name", "model.weights", "optim.lr", "trainer.max_epochs"}


def test_charts_are_laid_out_once_for_all_runs(ask: Any) -> None:
    layout = {c["title"]: c["chart"] for c in ask("plugin/custom_scalars/layout")["category"]}
    assert {category: [chart["title"] for chart in charts] for category, charts in layout.items()} == {
        category: list(charts) for category, charts in LAYOUT.items()
    }
    for chart in layout["Validation"]:
        for tag in chart["multiline"]["tag"]:
            query = urllib.parse.urlencode({"run": "a", "tag": tag})
            found = ask(f"plugin/custom_scalars/scalars?{query}")
            assert found["regex_valid"]
            assert set(found["tag_to_events"]) == ({"val/top1_error"} if "top1" in tag else set())


def test_what_is_compared_follows_the_rule() -> None:
    keys = {key for key, _, _ in compared(TrainConfig())}
    assert {"data.erase", "model.weights", "optim.lr", "seed", "trainer.precision", "localisation.preset"} <= keys
    assert not {"data.workers", "trainer.devices", "saliency.every", "name", "out", "resume"} & keys
    assert len(keys) < 45


def test_a_run_has_two_files_of_its_session_whatever_was_resumed(runs: Path) -> None:
    """The first by name is its beginning: TensorBoard may leave a file for good once there is a later one."""
    for folder in runs.iterdir():
        files = sorted(path.name for path in folder.glob("events.out.tfevents.*"))
        assert files[0] == "events.out.tfevents.0000000000.session"
        assert sum(name.endswith(".session") for name in files) == 2


def test_nothing_is_written_before_training_begins(tmp_path: Path) -> None:
    config = configured()
    trainer = make_trainer(config.trainer, tmp_path, [HyperParameters(config)], own_samplers=True)
    loader = DataLoader(torch.ones(2, 1))  # type: ignore[arg-type]  # rows are items
    trainer.test(Counting(0.5), loader, verbose=False)
    assert not list(tmp_path.glob("*.session"))
