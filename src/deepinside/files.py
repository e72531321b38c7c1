"""Files that are whole or not there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepinside.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what is moved to `path` once it is whole: a reader never sees half a file. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)  # it may be a link to somewhere else
    try:
        yield part
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Raises UserError for NaN and infinity."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError:
        raise UserError(f"{path}: a result is not a finite number, so nothing is written; are the weights?") from None
    with replacing(path) as part:
        part.write_text(text + "\n")
