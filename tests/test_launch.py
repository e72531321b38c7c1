"""What the scripts keep quiet about, and what they refuse before anything begins."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.trainer import setup
from torch import Tensor
from torch.utils.data import DataLoader

from deepinside import launch
from deepinside.checkpoint import first_lost_step
from deepinside.config import TrainerConfig
from deepinside.errors import UserError
from deepinside.folders import make_folder
from deepinside.trainer import make_trainer


def test_who_asks_for_the_cpu_is_not_told_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: True))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer = make_trainer(TrainerConfig(accelerator="cpu"), tmp_path, [], own_samplers=False)
        setup._log_device_info(trainer)
        warnings.warn("something else", stacklevel=1)
    assert [str(warning.message) for warning in told] == ["something else"]


def test_sigterm_is_not_left_to_lightning_whose_handler_waits_for_other_processes(tmp_path: Path) -> None:
    heard = []

    class Listening(Callback):
        def on_predict_batch_start(self, *_: object) -> None:
            heard.append(signal.getsignal(signal.SIGTERM))

    class Idle(LightningModule):
        def predict_step(self, batch: Tensor) -> None:
            pass

    before = signal.getsignal(signal.SIGTERM)
    trainer = make_trainer(TrainerConfig(accelerator="cpu"), tmp_path, [Listening()], own_samplers=False)
    trainer.predict(Idle(), DataLoader(torch.ones(1, 1)))  # type: ignore[arg-type]  # rows are items
    assert heard == [launch._terminate]
    assert signal.getsignal(signal.SIGTERM) is before


def test_strategies_whose_processes_keep_the_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer.strategy=ddp_spawn: .* ddp gives them back"):
        make_trainer(TrainerConfig(accelerator="cpu", devices=2, strategy="ddp_spawn"), tmp_path, [], own_samplers=True)


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_2", "model_parallel"])
def test_strategies_that_cut_the_net_up_are_refused(strategy: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"trainer.strategy={strategy}: no device would hold a whole net"):
        make_trainer(TrainerConfig(accelerator="cpu", strategy=strategy), tmp_path, [], own_samplers=True)


def test_a_damaged_checkpoint_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(UserError, match=r"last.ckpt cannot be read, so the run cannot go on: \S"):
        first_lost_step(tmp_path / "last.ckpt")


def test_a_folder_that_is_not_ones_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="cannot be written to"):
        make_folder(tmp_path)


FAILS = """
from deepinside import launch
from deepinside.errors import UserError

def main(_):
    open({file!r}, "w").close()
    raise {error}

launch.PATIENCE = 1.0
launch.run_script(main)
"""


def fail(error: str, rank: str, folder: Path, *, processes: str = "2", parent_ends: bool = False) -> tuple[str, int]:
    """What a script says of an error, and its code, as the process `rank` of several."""
    file = str(folder / "began")
    command = [sys.executable, "-c", FAILS.format(error=error, file=file)]
    if parent_ends:  # the shell starts it and is gone; its output ends when it has ended, too
        wait = f'"$@" & while [ ! -e "{file}" ]; do sleep 0.05; done'
        command = ["sh", "-c", wait, "sh", *command]
    environment = os.environ | {"LOCAL_RANK": rank, "WORLD_SIZE": processes}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    return done.stderr, done.returncode


@pytest.mark.parametrize("rank", ["0", "1"])
def test_an_error_of_any_process_is_one_line(rank: str, tmp_path: Path) -> None:
    assert fail("UserError('no such thing')", rank, tmp_path) == ("error: no such thing\n", 2)


def test_a_further_process_is_silent_where_the_first_one_has_ended(tmp_path: Path) -> None:
    assert fail("UserError('no such thing')", "1", tmp_path, parent_ends=True)[0] == ""


WAITS = """
import sys, time
from deepinside import launch

launch.PATIENCE = 0.5
launch.run_script(lambda _: [open(sys.argv[1], "w").close(), time.sleep(8), print("goes on")])
"""


def test_a_further_process_that_waits_ends_after_the_first_one(tmp_path: Path) -> None:
    """As in NCCL, which does not notice that the first one is gone."""
    file = str(tmp_path / "began")
    wait = f'export DEEPINSIDE_FIRST={{}}; "$@" & while [ ! -e "{file}" ]; do sleep 0.05; done'
    environment = os.environ | {"LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    said = []
    for first in ("$$", "1"):  # Lightning's first process; a shell that has begun it and may go
        command = ["sh", "-c", wait.format(first), "sh", sys.executable, "-c", WAITS, file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)  # its output ends
        said.append(done.stdout + done.stderr)
        Path(file).unlink()
    assert said == [f"error: {launch.ALONE}\n", "goes on\n"]


def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    full = "OSError(28, 'No space left on device', 'runs/a/last.ckpt')"
    assert fail(full, "0", tmp_path) == (
        "error: runs/a/last.ckpt: No space left on device; what was finished before is kept\n",
        2,
    )
    said, code = fail("OSError(2, 'No such file or directory', 'a')", "0", tmp_path)
    assert "Traceback" in said
    assert code == 1


def test_who_is_left_alone_says_so_without_a_traceback(tmp_path: Path) -> None:
    left = "RuntimeError('[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4')"
    said, code = fail(left, "0", tmp_path)
    assert (said, code) == (
        "error: another process of this run has ended, so this one does: the reason stands above\n",
        2,
    )
    for said, code in (fail("RuntimeError('a bug')", "0", tmp_path), fail(left, "0", tmp_path, processes="1")):
        assert "Traceback" in said
        assert code == 1
