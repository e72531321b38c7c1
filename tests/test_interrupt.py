"""Ctrl-C ends the real scripts with code 130 and true words, however often it is pressed, and they go on after it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepinside.launch import if_stopped, run_script

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "data.shapes_train=96",
    "data.shapes_val=20",
    "data.batch_size=32",
    "trainer.accelerator=cpu",
    "saliency.images=0",
    "class_models.count=0",
    "localisation.enabled=false",
    "sanity.images=0",
)
BEGINS = 300  # seconds; where other things use the same cores, a script may take minutes until its first epoch
# A shell that starts pytest in the background lets it, and what it starts, ignore SIGINT: here it is heard again.
HEARING = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def interrupt(
    when: Callable[[str], bool], times: int, script: str, *arguments: str, number: int = signal.SIGINT
) -> tuple[str, str, int]:
    """Starts the script, presses Ctrl-C (or sends another signal) so many times once `when(what it printed)` is true:
    stdout, stderr, code."""
    with tempfile.TemporaryDirectory() as place:
        printed, said = Path(place, "stdout"), Path(place, "stderr")
        with printed.open("w") as out, said.open("w") as err:
            command = [sys.executable, "-c", HEARING, str(ROOT / script), *arguments]
            process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | {"OMP_NUM_THREADS": "1"})
            try:
                deadline = time.monotonic() + BEGINS
                while not when(printed.read_text()) and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                for _ in range(times):
                    if process.poll() is None:
                        process.send_signal(number)
                        time.sleep(0.03)
                code = process.wait(120)
            finally:  # one that does not end would slow the next tests down
                process.kill()
        return printed.read_text(), said.read_text(), code


def run(script: str, *arguments: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """A run that was stopped in its third epoch or soon after, what it said, its exit code."""
    out = tmp_path_factory.mktemp("runs") / "small"
    arguments = (*SMALL, "trainer.max_epochs=200", f"out={out}")
    _, said, code = interrupt(lambda printed: "epoch 2/200" in printed, 3, "train.py", *arguments)
    return out, said, code


def test_training_says_what_is_kept_and_goes_on_from_there(stopped: tuple[Path, str, int]) -> None:
    out, said, code = stopped
    assert code == 130
    assert len(said.splitlines()) == 1
    told = re.fullmatch(r"stopped: (.*) holds epoch (\d+) of 200, .*; python train.py (resume=\S+) goes on\n", said)
    assert told
    done = int(told[2])
    assert done >= 2
    assert torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == done - 1
    printed = run("train.py", told[3], f"trainer.max_epochs={done + 1}")
    assert re.findall(r"^epoch (\d+)/", printed, re.MULTILINE) == [str(done + 1)]
    assert f"results: {out}" in printed


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_epoch_whose_look_is_stopped_is_kept(number: int, expected: int, tmp_path: Path) -> None:
    looks = ("class_models.count=4", "class_models.every=1", "class_models.steps=20000", "monitor.max_overhead=null")
    arguments = (*SMALL, *looks, "class_models.tolerance=0", "trainer.max_epochs=3", f"out={tmp_path / 'run'}")
    _, said, code = interrupt(lambda printed: "epoch 1/3" in printed, 2, "train.py", *arguments, number=number)
    assert code == expected
    told = f"stopped: {tmp_path / 'run'} holds epoch 1 of 3, what came after it is lost; python train.py resume="
    assert said.startswith(told)
    assert len(said.splitlines()) == 1
    assert (tmp_path / "run" / "provenance.json").exists()


def test_an_analysis_ends_at_once_on_sigterm(stopped: tuple[Path, str, int], tmp_path: Path) -> None:
    arguments = ("task=class_model", f"run={stopped[0]}", "class_models.steps=20000", "class_models.tolerance=0")
    arguments += ("classes=all", "trainer.accelerator=cpu", f"out={tmp_path / 'models'}")
    asked: list[float] = []  # the script's start, of minutes where other things use the same cores, is not timed

    def begun(printed: str) -> bool:
        asked.append(time.monotonic())
        return "class models: 0 of" in printed

    _, said, code = interrupt(begun, 2, "analyse.py", *arguments, number=signal.SIGTERM)
    assert code == 143
    assert said.startswith("stopped: 0 of 10 class models are kept in ")
    assert time.monotonic() - asked[-1] < 100


def test_class_models_that_were_found_are_kept(stopped: tuple[Path, str, int], tmp_path: Path) -> None:
    out = tmp_path / "models"
    arguments = ("task=class_model", f"run={stopped[0]}", "classes=all", "class_models.batch=1", f"out={out}")
    arguments += ("class_models.steps=40", "class_models.tolerance=0", "class_models.frames=0")
    arguments += ("trainer.accelerator=cpu",)
    _, said, code = interrupt(lambda _: len(list(out.glob("found/*.pt"))) >= 2, 2, "analyse.py", *arguments)
    assert code == 130
    kept = len(list(out.glob("found/*.pt")))
    assert (
        said
        == f"stopped: {kept} of 10 class models are kept in {out / 'found'}; the same command goes on with the others\n"
    )
    assert 2 <= kept < 10
    times = {path: path.stat().st_mtime_ns for path in out.glob("found/*.pt")}
    run("analyse.py", *arguments)
    assert len(list(out.glob("found/*.pt"))) == len(list(out.glob("pictures/*.png"))) == 10
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_before_anything_is_saved_it_says_so(tmp_path: Path) -> None:
    arguments = (*SMALL, "trainer.max_epochs=3", "data.shapes_train=64000", f"out={tmp_path / 'run'}")
    _, said, code = interrupt(lambda printed: "deepinside: " in printed, 1, "train.py", *arguments)
    assert (said, code) == ("stopped: the same command starts anew\n", 130)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrapped", [False, True])
def test_words_of_the_innermost_step_are_said(
    wrapped: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(arguments: list[str]) -> None:
        with if_stopped(lambda: "outer"), if_stopped(lambda: "inner"):
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                if wrapped:  # as Lightning's Trainer does
                    sys.exit(1)
                raise

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped: inner\n"


def test_other_exits_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: list[str]) -> None:
        with if_stopped(lambda: "never said"):
            sys.exit(1)

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == ""


def test_a_worker_that_hears_sigterm_first_ends_the_script_alike(capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: list[str]) -> None:
        with if_stopped(lambda: "what is kept"):
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 143
    assert capsys.readouterr().err == "stopped: what is kept\n"


def test_other_runtime_errors_stay_as_they_are() -> None:
    def main(arguments: list[str]) -> None:
        with if_stopped(lambda: "never said"):
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    with pytest.raises(RuntimeError, match="Killed"):
        run_script(main)
