"""Numbers and names within sentences."""

import math
from collections.abc import Sequence


def counted(number: int, one: str, many: str = "") -> str:
    """`1 class`, `1,000 classes`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def some(names: Sequence[str], shown: int = 3) -> str:
    """`a, b, c and 5 more`."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def kind_name(kind: str) -> str:
    """`too large` of too_large. wrong_instance, as files have it, is `elsewhere`: the picture may hold one object."""
    return "elsewhere" if kind == "wrong_instance" else kind.replace("_", " ")


def scored(score: float, posterior: float) -> str:
    """`S = 12.3   P = 0.99`: a class score and its posterior, as captions tell them; no score of -0.0."""
    return f"S = {tenths(score)}   P = {posterior:.2f}"


def tenths(score: float) -> str:
    """`12.3`; `0.0`, not `-0.0`, of what rounds to zero from below."""
    return f"{round(score, 1) + 0.0:.1f}"


def hundredths(share: float) -> str:
    """`0.49` of 0.498: rounded down, for a box whose IoU is below a half is wrong."""
    return f"{math.floor(100 * share + 1e-9) / 100:.2f}"
