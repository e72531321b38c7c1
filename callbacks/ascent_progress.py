"""How far the ascents of class models are, within batches too: a bar on a terminal, else a line every ten seconds."""

import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class AscentProgress:
    """Counts class steps: `advance(classes, steps)` after every step. Of use on one process only."""

    def __init__(self, total: int, steps: int) -> None:
        self.total, self.steps, self.done, self.found = total, steps, 0, 0
        self.start = self.printed = time.monotonic()
        self.bar: Progress | None = None
        if sys.stdout.isatty():
            columns = (TextColumn("class models"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
            self.bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn())
            self.task = self.bar.add_task("", total=total * steps)
            self.bar.start()

    def advance(self, classes: int, steps: int) -> None:
        self.done += classes * steps
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done)
        elif now - self.printed > 10:
            self.printed = now
            whole = self.total * self.steps
            left = (now - self.start) * (whole - self.done) / max(1, self.done - self.found)
            print(
                f"class models: {self.done / self.steps:.1f} of {self.total}, about {left:.0f} s to go",
                flush=True,
            )

    def skip(self, classes: int) -> None:
        """These were found by an earlier run: they say nothing about the time that is left."""
        self.found += classes * self.steps
        self.advance(classes, self.steps)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
