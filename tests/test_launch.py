"""What the scripts keep quiet about."""

import warnings
from pathlib import Path

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.trainer import setup

from deepinside.config import TrainerConfig
from deepinside.launch import make_trainer


def test_who_asks_for_the_cpu_is_not_told_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: True))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer = make_trainer(TrainerConfig(accelerator="cpu"), tmp_path, [], own_samplers=False)
        setup._log_device_info(trainer)
        warnings.warn("something else", stacklevel=1)
    assert [str(warning.message) for warning in told] == ["something else"]
