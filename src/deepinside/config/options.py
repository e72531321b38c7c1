"""How a configuration is written down: a dataclass field with its help line and its valid values."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any, cast


def option(default: Any, doc: str, choices: Sequence[str] = (), low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field with its help line and its valid values."""
    metadata = {"doc": doc, "choices": tuple(choices), "low": low, "high": high}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(schema: type) -> Any:
    return field(default_factory=schema)


def help_text(schema: type, usage: str) -> str:
    lines = [usage, "", "Every key with its default:"]
    for key, f in options(schema):
        default = f.default if f.default is not MISSING else cast(Any, f.default_factory)()
        value = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
        lines.append(f"  {f'{key}={value}':<42} # {f.metadata['doc']}")
    return "\n".join(lines)


def options(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for f in fields(schema):
        if is_dataclass(f.type):
            yield from options(cast(type, f.type), f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f
