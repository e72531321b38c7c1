"""Folders of results that are damaged or closed: one line, or a report without what is gone; never a traceback."""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter

from deepinside.config import ModelConfig
from deepinside.doctor import check_data, check_weights
from deepinside.errors import UserError
from deepinside.events import read_scalars
from deepinside.records import FILE, read_records, write_records
from deepinside.report import write_report
from deepinside.runs import open_run

from . import trees
from .comparable_runs import record, write_run
from .rights import closed, public_folder

LINE = b'{"index": 0}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [record(i) for i in range(4)], kept=4)


def refusal(do: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        do()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def report(folder: Path) -> str:
    write_report(open_run(folder), folder / "report.html")
    return (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]\n", "line 1: not a picture that was evaluated"),
        (b"null\n", "line 1: not a picture that was evaluated"),
        (LINE, "line 1: not a picture that was evaluated ('classification')"),
        (b'{"classification": {"top1_error": 0}}\n', "line 1: not a picture that was evaluated ('guesses')"),
        (b"\xff\xfe\n", "after line 0: not a text file (UTF-8)"),
    ],
)
def test_records_that_are_none(content: bytes, words: str, folder: Path) -> None:
    file = folder / "localisation" / FILE
    file.write_bytes(content)
    assert words in refusal(lambda: read_records(file))
    whole = write_run(folder.parent / "whole", [record(0)]) / "localisation" / FILE
    file.write_bytes(whole.read_bytes() + LINE)
    assert f"{file}, line 2: not a picture" in refusal(lambda: report(folder))


def test_a_probability_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    lost = record(1)
    lost = replace(lost, guesses=[replace(lost.guesses[0], posterior=math.nan)])
    said = refusal(lambda: write_records(tmp_path / FILE, [record(0), lost]))
    assert "picture_1 has a result that is not a finite number" in said
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_gone_or_empty_are_left_out(folder: Path) -> None:
    (folder / "localisation/kept/0.jpg").unlink()
    (folder / "localisation/kept/1_map.png").unlink()
    (folder / "class_models/pictures/0001_empty.png").touch()
    page = report(folder)
    assert page.count('<li class="card"') == 3
    assert page.count('class="heat"') == 2
    assert "0000_goose.png" in page
    assert "0001_empty.png" not in page


def test_a_run_that_has_not_come_to_its_end_says_so(folder: Path) -> None:
    assert "not come to its end" not in report(folder)
    (folder / "metrics.json").unlink()
    assert "It has not come to its end" in report(folder).partition("</header>")[0]


@pytest.mark.parametrize("config", ["model: null\ntrainer: {devices: 1}", "model: 3\ndata: []", "trainer: null"])
def test_a_configuration_with_holes(config: str, folder: Path) -> None:
    (folder / "config.yaml").write_text(config)
    head = report(folder).partition("</header>")[0]
    assert "a ConvNet" in head
    assert "epochs" not in head


@pytest.mark.parametrize(
    "metrics", [{"localisation": None}, {"classification": {"top1_error": "x"}}, {"intervals": [], "baselines": 3}]
)
def test_metrics_with_holes(metrics: dict[str, Any], folder: Path) -> None:
    whole = {"classification": {"top1_error": 0.25, "top5_error": 0.125}}
    (folder / "metrics.json").write_text(json.dumps(whole | metrics))
    assert ('value="0.25"' in report(folder)) == ("classification" not in metrics)


def test_one_figure_needs_no_table(folder: Path) -> None:
    for errors in ({"top1_error": 0.25}, {"top1_error": 0.25, "top5_error": 0.125}):
        (folder / "metrics.json").write_text(json.dumps({"classification": errors}))
        page = report(folder)
        assert "25.0" in page
        assert (f"All {len(errors)} figures" in page) == (len(errors) > 1)


def test_broken_tables_are_named(folder: Path) -> None:
    for name, content in (("metrics.json", "{"), ("metrics.json", "[]"), ("config.yaml", "a: ["), ("config.yaml", "")):
        before = (folder / name).read_text()
        (folder / name).write_text(content)
        assert refusal(lambda: open_run(folder)).startswith(f"{folder}/{name} "), (name, content)
        (folder / name).write_text(before)
    (folder / "config.yaml").unlink()
    assert "is not a folder of results: there is no " in refusal(lambda: open_run(folder))
    (folder / "config.yaml").mkdir()
    assert refusal(lambda: open_run(folder)) == f"{folder / 'config.yaml'} cannot be read: Is a directory"


def test_event_files_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("a", 1.0, 5)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    event = Event().SerializeToString()
    garbage = (struct.pack("<Q", 2**63) + b"0123", struct.pack("<Q", 2**40) + b"0123" + event, b"\xff" * 64)
    for more in garbage:
        file.write_bytes(whole + more)
        assert read_scalars(tmp_path) == {"a": [(5, 1.0)]}
    (tmp_path / "events.out.tfevents.0.folder").mkdir()
    assert read_scalars(tmp_path) == {"a": [(5, 1.0)]}


def test_what_may_not_be_read_or_written_is_named() -> None:
    with public_folder() as place:
        folder = write_run(place / "run", [record(0), record(1)])
        with SummaryWriter(str(folder)) as writer:
            writer.add_scalar("a", 1.0, 5)
        with closed(folder):
            assert refusal(lambda: open_run(folder)) == f"{folder / 'config.yaml'} cannot be read: Permission denied"
        run = open_run(folder)
        with closed(folder / "localisation" / FILE):
            assert refusal(lambda: run.pictures) == f"{folder}/localisation/{FILE} cannot be read: Permission denied"
        with closed(next(folder.glob("events*"))):
            assert read_scalars(folder) == {}
        with closed(folder, 0o555):
            said = refusal(lambda: write_report(run, folder / "report.html"))
        assert said == f"{folder}/report.html cannot be written: Permission denied"


def test_the_doctor_finds_what_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_folder() as place:
        root = trees.class_folders(place / "own" / "train", {"cat": 2, "dog": 2}).parent
        with closed(root / "train"):
            [found] = check_data(root, None, 9, 9)[0]
        assert (found.state, found.found) == ("blocks", f"{root}/train cannot be read: Permission denied")
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(place / "hub"))
        (place / "hub" / "checkpoints").mkdir(parents=True)
        with closed(place / "hub" / "checkpoints"):
            [found] = check_weights(ModelConfig(), None)
        assert found.state == "warn"
        assert "checkpoints, where torch keeps what it fetched, cannot be read: Permission denied" in found.found
