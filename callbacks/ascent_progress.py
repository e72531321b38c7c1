"""How far the ascents of class models are, within batches too."""

from deepinside.progress import Bar


class AscentProgress:
    """Counts class steps: `advance(classes, steps)` after every step. Of use on one process only."""

    def __init__(self, total: int, steps: int) -> None:
        self.steps, self.bar = steps, Bar("class models", total, "classes")

    def advance(self, classes: int, steps: int) -> None:
        self.bar.advance(classes * steps / self.steps)

    def skip(self, classes: int) -> None:
        """These were found by an earlier run: they say nothing about the time that is left."""
        self.bar.skip(classes)

    def close(self) -> None:
        self.bar.close()
