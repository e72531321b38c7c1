"""What the scripts keep quiet about, and what they refuse before anything begins."""

import os
import warnings
from pathlib import Path

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.trainer import setup

from deepinside.config import TrainerConfig
from deepinside.errors import UserError
from deepinside.folders import make_folder
from deepinside.launch import first_lost_step, make_trainer


def test_who_asks_for_the_cpu_is_not_told_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: True))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer = make_trainer(TrainerConfig(accelerator="cpu"), tmp_path, [], own_samplers=False)
        setup._log_device_info(trainer)
        warnings.warn("something else", stacklevel=1)
    assert [str(warning.message) for warning in told] == ["something else"]


def test_strategies_whose_processes_keep_the_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer.strategy=ddp_spawn: .* ddp gives them back"):
        make_trainer(TrainerConfig(accelerator="cpu", devices=2, strategy="ddp_spawn"), tmp_path, [], own_samplers=True)


def test_a_damaged_checkpoint_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(UserError, match=r"last.ckpt cannot be read, so the run cannot go on: \S"):
        first_lost_step(tmp_path / "last.ckpt")


def test_a_folder_that_is_not_ones_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="cannot be written to"):
        make_folder(tmp_path)
