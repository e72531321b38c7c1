"""What other systems, devices and versions of Python have otherwise than the one that the tests run on."""

import io
import os
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from callbacks.film_strips import slug
from callbacks.gathering import panel_file
from deepinside.compare import pairing
from deepinside.config import DataConfig, ModelConfig
from deepinside.data.module import PictureData
from deepinside.data.source import open_split
from deepinside.doctor.machine import check_ram
from deepinside.launch import run_script
from deepinside.models.build import build_convnet

from .test_architecture import ROOT, SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_made_double_before_it_is_on_the_cpu(path: Path) -> None:
    """Apple's GPUs have no double precision."""
    assert ".double().cpu()" not in path.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no forks")
def test_loading_processes_are_forks_whatever_python_takes_by_default() -> None:
    """Python 3.14's forkserver would be given all names of all pictures, process by process."""
    data = DataConfig(shapes_val=4, workers=1)
    val = open_split(data, "val", 0)
    loader: Any = PictureData(data, build_convnet(ModelConfig("shapes_convnet"), data, val.classes), val=val)
    assert loader.test_dataloader().multiprocessing_context.get_start_method() == "fork"
    data.workers = 0
    assert loader.test_dataloader().multiprocessing_context is None


@pytest.mark.parametrize("name", ["x" * 246, "猫" * 90, "é" * 130])
def test_long_names_are_cut_to_what_files_may_be_called(tmp_path: Path, name: str) -> None:
    for file in (panel_file(tmp_path, 7, name), tmp_path / "pictures" / f"{slug(7, name)}.png"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
        assert name[:60] in file.name
        assert len(file.name.encode()) < 220
    assert panel_file(tmp_path, 7, "goose").name == "00007_goose.png"


def test_a_name_that_the_terminal_cannot_show_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    run_script(lambda _: print("łoś, goose", flush=True))
    assert written.getvalue() == b"\\u0142o\\u015b, goose\n"


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert (check_ram().state, check_ram().found) == ("ok", "this system does not tell")


def test_runs_on_two_drives_keep_their_whole_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "Path", PureWindowsPath)
    monkeypatch.setattr(pairing.os.path, "abspath", str)
    folders: Any = [PureWindowsPath("C:/runs/a"), PureWindowsPath("D:/runs/a")]
    assert pairing.label_runs(folders) == ["C:/runs/a", "D:/runs/a"]
