"""How a configuration is written down: a dataclass field with its help line and its valid values."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import field, fields, is_dataclass
from typing import Any, cast


def option(default: Any, doc: str, choices: Sequence[str] = (), low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field with its help line and its valid values."""
    metadata = {"doc": doc, "choices": tuple(choices), "low": low, "high": high}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(schema: type) -> Any:
    return field(default_factory=schema)


def options(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for f in fields(schema):
        if is_dataclass(f.type):
            yield from options(cast(type, f.type), f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f
