"""Progress: lines that tell the time left, from long steps too; nested bars; a terminal left clean."""

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from callbacks.ascent_progress import AscentProgress
from deepinside import progress
from deepinside.progress import Bar, spell

ROOT = Path(__file__).resolve().parent.parent


class Clock:
    """Tells the times that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()
    monkeypatch.setattr(progress, "time", told)
    return told


def test_time_left_counts_what_was_done_now(clock: Clock) -> None:
    shown = AscentProgress(20, 10)
    shown.skip(10)
    shown.advance(4, 5)
    clock.now = 11.0
    assert shown.bar.told() == "12 of 20 classes, about 44 s left"  # 2 of the 10 missing took 11 s
    shown.advance(4, 1)
    shown.advance(4, 4)
    clock.now = 22.0
    assert shown.bar.told() == "14 of 20 classes, about 33 s left"
    shown.close()


def test_without_a_total_or_a_pace_there_is_no_time_left(clock: Clock) -> None:
    with Bar("files", None, "files") as files, Bar("test", 8, "batches") as test:
        clock.now = 7.0
        assert (files.told(), test.told()) == ("7 s so far", "0 of 8 batches, 7 s so far")
        files.advance(12345)
        test.advance(8)
        assert (files.told(), test.told()) == ("12,345 files, 7 s so far", "8 of 8 batches, 7 s so far")


@pytest.mark.parametrize(("seconds", "words"), [(43.2, "43 s"), (99, "99 s"), (150, "2 min"), (7200, "2.0 h")])
def test_times_are_spelt_as_one_wants_to_know_them(seconds: float, words: str) -> None:
    assert spell(seconds) == words


def test_lines_come_while_a_single_step_lasts_and_from_the_innermost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.05)
    with Bar("outer", 2, "epochs"), Bar("inner", 3, "batches") as inner, Bar("hidden", enabled=False):
        inner.advance()
        time.sleep(0.3)
    time.sleep(0.1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("inner: 1 of 3 batches, about ") for line in lines)
    assert progress.Bar._open == []


def test_a_terminal_shows_nested_bars_and_is_left_clean() -> None:
    code = """
import time
from deepinside.progress import Bar
with Bar("outer", 2, "epochs") as outer:
    with Bar("inner", 3, "batches") as inner:
        inner.advance()
        time.sleep(0.3)
        print("a line in between")
    outer.advance()
print("done")
"""
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", code], stdout=slave, stderr=slave, check=True, env=environment, timeout=60)
    os.close(slave)
    with open(master, "rb", buffering=0, closefd=True) as file:
        shown = read_all(file)
    assert "outer" in shown
    assert "1 of 3 batches, about" in shown
    assert "a line in between\r\n" in shown
    assert shown.endswith("done\r\n")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is back


def read_all(file: io.RawIOBase) -> str:
    parts = []
    while True:
        try:
            part = file.read(65536)
        except OSError:  # Linux's answer at the end of a pseudo-terminal
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()
