"""Cuts and scores in further processes: the same answers in the same order, one line where one is killed, none left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from callbacks import Localisation, Pictures
from callbacks.calls import AHEAD, Calls
from deepinside.config import LocalisationConfig
from deepinside.data.shapes import Shapes
from deepinside.errors import UserError
from deepinside.models.shapes_convnet import shapes_convnet

from .test_interrupt import BEGINS, HEARING, ROOT
from .test_train import run


def late_and_doubled(number: int) -> tuple[int, int, str | None]:
    time.sleep(0.05 * (number % 3))
    return 2 * number, os.getpid(), os.environ.get("OMP_NUM_THREADS")


def refuse(what: str) -> int:
    raise UserError(f"no {what}")


def of_its_parent() -> tuple[str, int]:
    return Path(f"/proc/{os.getppid()}/cmdline").read_text(), os.getppid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def calls() -> Iterator[Calls[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")
        patch.delenv("MKL_NUM_THREADS", raising=False)
        made: Calls[Any] = Calls(2)
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert "MKL_NUM_THREADS" not in os.environ
    yield made
    made.close()


def test_answers_come_in_the_order_of_the_calls(calls: Calls[Any]) -> None:
    answers = []
    for number in range(12):
        calls.add(late_and_doubled, number)
        answers += calls.answers()
        assert number + 1 - len(answers) <= 2 * AHEAD
    answers += calls.answers(all=True)
    assert [doubled for doubled, _, _ in answers] == [2 * number for number in range(12)]
    places = {place for _, place, _ in answers}
    assert os.getpid() not in places
    assert {threads for _, _, threads in answers} == {"1"}


def test_an_answer_comes_once_though_the_others_are_asked_for_later(calls: Calls[Any]) -> None:
    for number in range(3):
        calls.add(late_and_doubled, number)
    first = next(calls.answers(all=True))
    assert [answer[0] for answer in (first, *calls.answers(all=True))] == [0, 2, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="forks of a fresh process")
def test_they_share_what_they_import(calls: Calls[Any]) -> None:
    calls.add(of_its_parent)
    (line, parent), *_ = calls.answers(all=True)
    assert parent != os.getpid()
    assert "forkserver" in line
    assert "callbacks.calls" in line


def test_without_processes_everything_is_done_at_once() -> None:
    calls: Calls[Any] = Calls(0)
    calls.add(late_and_doubled, 4)
    assert [(doubled, place) for doubled, place, _ in calls.answers()] == [(8, os.getpid())]
    assert list(calls.answers(all=True)) == []


def test_an_error_is_the_one_that_was_raised(calls: Calls[Any]) -> None:
    calls.add(refuse, "such picture")
    with pytest.raises(UserError, match=r"^no such picture$"):
        list(calls.answers(all=True))


def test_a_process_that_was_killed_is_told() -> None:
    calls: Calls[Any] = Calls(1)
    calls.add(die)
    with pytest.raises(UserError, match=r"^one of 1 processes that cut and score has ended: .*localisation\.workers=0"):
        list(calls.answers(all=True))


@pytest.mark.parametrize(
    ("device", "pictures", "given", "workers", "expected"),
    [
        ("cuda", 50000, False, None, 5),
        ("cuda", 99, False, None, 0),
        ("cuda", 50000, True, None, 0),
        ("cpu", 50000, False, None, 0),
        ("cpu", 5, True, 3, 3),
    ],
)
def test_processes_pay_beside_a_gpu(
    device: str, pictures: int, given: bool, workers: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callbacks.localisation.usable_cpus", lambda: 12)
    some = Pictures(
        torch.rand(1, 3, 32, 32), torch.tensor([0]), (0.5,) * 3, (0.25,) * 3, [torch.tensor([[0.0, 0, 9, 9]])]
    )
    callback = Localisation(LocalisationConfig(workers=workers), pictures=some if given else None)
    trainer: Any = SimpleNamespace(num_devices=2)
    assert callback._processes(trainer, torch.device(device), pictures) == expected


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    weights, classes = (tmp_path_factory.mktemp("net") / name for name in ("weights.pth", "classes.txt"))
    torch.save(shapes_convnet(10).state_dict(), weights)
    classes.write_text("\n".join(Shapes("val", 0, 1).classes.ids))
    own = (
        f"model.classes={classes}",
        "model.mean=[0.5,0.5,0.5]",
        "model.std=[0.25,0.25,0.25]",
        "data.resize=70",
        "data.crop=64",
    )
    return "task=localise", "model.name=shapes_convnet", f"model.weights={weights}", *own, "localisation.preset=vgg"


def test_the_results_do_not_depend_on_them(net: tuple[str, ...], tmp_path: Path) -> None:
    outs = []
    for workers in (0, 2):
        outs.append(tmp_path / str(workers))
        cpu = ("trainer.accelerator=cpu", "data.shapes_val=23")
        run("analyse.py", *net, *cpu, f"localisation.workers={workers}", f"out={outs[-1]}")
    made = [{str(file.relative_to(out)) for file in out.rglob("*.*g")} for out in outs]
    assert made[0] == made[1]
    for name in (*made[0], "predictions.csv", "pictures.jsonl"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes(), name
    one, two = (json.loads((out / "metrics.json").read_text()) for out in outs)
    for timed in ("seconds", "images_per_second"):
        assert one.pop(timed) != two.pop(timed)
    assert one == two


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_none_outlives_the_first(number: int, code: int, net: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEARING, str(ROOT / "analyse.py"), *net]
    command += ["data.shapes_val=1000", "localisation.workers=2", f"out={tmp_path}", "trainer.accelerator=cpu"]
    first = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        begun = wait_until(lambda: any(tmp_path.glob("kept/*.jpg")) or first.poll() is not None, BEGINS)
        assert begun
        assert first.poll() is None, first.communicate()[1]
        others = descendants(str(first.pid))
        assert len(others) >= 2
        if number == signal.SIGKILL:
            first.kill()
        else:
            os.killpg(first.pid, number)  # as a terminal and Slurm do
        said = first.communicate(timeout=900)[1]
    finally:  # a test that fails leaves nothing that would slow the next ones down
        first.kill()
    assert first.returncode == code
    if number != signal.SIGKILL:
        assert len(said.splitlines()) == 1, said
    assert wait_until(lambda: not any(alive(pid) for pid in others))


def wait_until(true: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def descendants(pid: str) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    return children + [further for child in children for further in descendants(child)]


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
