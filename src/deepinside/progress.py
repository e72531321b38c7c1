"""How far something is: a live bar on a terminal, plain lines elsewhere, both with the time that is left."""

import sys
import threading
import time
from types import TracebackType
from typing import ClassVar

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

FIRST, LONGEST = 2.0, 60.0  # seconds until the first plain line, and between two lines in the end


class Bar:
    """Shows that `done` of `total` (None: unknown) is done: `with Bar("test", 8, "batches") as bar: bar.advance()`.

    Bars may lie within each other: a terminal shows them all, plain lines tell of the innermost. A thread draws them,
    so that a single long step shows life, too, and `advance` costs nothing. A bar that is closed leaves no trace on a
    terminal. `enabled=False` shows nothing.
    """

    _open: ClassVar[list["Bar"]] = []
    _display: ClassVar[Progress | None] = None

    def __init__(self, what: str, total: float | None = None, unit: str = "", *, enabled: bool = True) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done, self.skipped, self.start = 0.0, 0.0, time.monotonic()
        self._closed, self._task = threading.Event(), None
        if not enabled:
            self._closed.set()
            return
        Bar._open.append(self)
        if Bar._display or sys.stdout.isatty():  # before 15, rich puts a stdout in place that denies being a terminal
            if Bar._display is None:
                Bar._display = Progress(
                    SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Told(), transient=True
                )
                Bar._display.start()
            self._task = Bar._display.add_task(what, total=total, bar=self)
        else:
            threading.Thread(target=self._print_lines, daemon=True).start()

    def advance(self, count: float = 1) -> None:
        self.done += count
        if self._task is not None and Bar._display is not None:
            Bar._display.update(self._task, completed=self.done)

    def skip(self, count: float) -> None:
        """So much was done before: it says nothing about the time that is left."""
        self.skipped += count
        self.advance(count)

    def told(self) -> str:
        """`12 of 188 batches, about 43 s left`, without a total `12 files, 5 s so far`."""
        unit, seconds = f" {self.unit}" if self.unit else "", time.monotonic() - self.start
        if self.total is None:
            return f"{f'{self.done:,.0f}{unit}, ' if self.done else ''}{spell(seconds)} so far"
        words = f"{int(self.done + 1e-6):,} of {self.total:,.0f}{unit}"
        if self.done <= self.skipped or self.done >= self.total:
            return f"{words}, {spell(seconds)} so far"
        return f"{words}, about {spell(seconds * (self.total - self.done) / (self.done - self.skipped))} left"

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        Bar._open.remove(self)
        if self._task is not None and Bar._display is not None:
            Bar._display.remove_task(self._task)
            if not Bar._open:
                Bar._display.stop()
                Bar._display = None

    def _print_lines(self) -> None:
        pause = FIRST
        while not self._closed.wait(pause):
            if Bar._open and Bar._open[-1] is self:
                print(f"{self.what}: {self.told()}", flush=True)
                pause = min(LONGEST, 1.5 * pause)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Told(ProgressColumn):
    """What the plain lines say."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["bar"].told(), style="progress.remaining")


def spell(seconds: float) -> str:
    """`43 s`, `12 min`, `3.4 h`: as exact as one wants to know it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
