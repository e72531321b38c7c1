"""The one exception that stands for a user's mistake; the two scripts print it as one line and exit with code 2."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """Bad input. The message is one line that says what is wrong, where, and what is valid.

    To callers of the library it is a ValueError like any other.
    """


def first_line(error: BaseException) -> str:
    """What another library's error says, for a message of one line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(word: object, valid: Iterable[str], otherwise: str = "") -> str:
    """The end of a message about an unknown word: "; did you mean 'nearest'?", or `otherwise` where none is near."""
    near = difflib.get_close_matches(str(word), list(valid), 1)
    return f"; did you mean '{near[0]}'?" if near else otherwise


def name_nearby(path: Path) -> str:
    """`did_you_mean` for a path that is not there: of what lies beside its first part that is missing."""
    missing = next((part for part in (*reversed(path.parents), path) if not os.path.lexists(part)), None)
    if missing is None:  # it is there, and something else
        return ""
    try:
        beside = os.listdir(missing.parent)
    except OSError:
        beside = []
    return did_you_mean(missing.name, beside)


def is_utf8(name: str) -> bool:
    """Whether files can be written with it: a name of another encoding comes from the system with surrogates."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)
