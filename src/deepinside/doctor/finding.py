"""One line of the doctor's table."""

from collections.abc import Sequence
from dataclasses import dataclass

OK, WARN, BLOCKS = "ok", "warn", "blocks"


@dataclass(frozen=True)
class Finding:
    """what: what was looked at; state: `ok`, `warn` (it works, with less) or `blocks`; fix: what mends it."""

    what: str
    found: str
    state: str = OK
    fix: str = ""


def counted(number: int, one: str, many: str = "") -> str:
    """`1 class`, `1,000 classes`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def some(names: Sequence[str], shown: int = 3) -> str:
    """`a, b, c and 5 more`."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")
