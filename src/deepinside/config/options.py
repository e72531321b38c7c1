"""How a configuration is written down: a dataclass field with its help line and its valid values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from numbers import Integral, Real
from types import UnionType
from typing import Any, cast, get_args, get_origin

from deepinside.errors import UserError, did_you_mean

LARGEST = 2**31 - 1  # of whole numbers without a bound of their own: beyond it libraries fail in ways of their own


def option(default: Any, doc: str, choices: Sequence[str] = (), low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field with its help line and its valid values."""
    metadata = {"doc": doc, "choices": tuple(choices), "low": low, "high": high}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def complaint(f: Field[Any], value: Any) -> str:
    """What is wrong with a field's value, to be read after `key=value`; "" if nothing is."""
    kinds, choices = kinds_of(f.type), f.metadata["choices"]
    if value is None:
        return "" if kinds & {type(None), Any} else "must have a value"
    if choices and value not in choices:
        return f"is not one of {', '.join(choices)}{did_you_mean(str(value), choices)}"
    if Any not in kinds and isinstance(value, list | tuple) != (list in kinds):
        return f"must be {'a list' if list in kinds else 'one value'}, not {type(value).__name__}"
    low, high = f.metadata["low"], f.metadata["high"]
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, bool) != (bool in kinds) and kinds & {bool, int, float}:
            return "must be true or false" if bool in kinds else "must be a number, not true or false"
        if kinds & {int, float} and not isinstance(one, Real if float in kinds else Integral):
            return f"must be a {'' if float in kinds else 'whole '}number, not {type(one).__name__}"
        if isinstance(one, Real) and not isinstance(one, Integral) and not math.isfinite(one):
            return "must be a finite number"
        if isinstance(one, Integral) and float not in kinds and high == math.inf and int(one) > LARGEST:
            return f"must be at most {LARGEST}"
        if isinstance(one, Real) and not low <= one <= high:
            return f"must be at least {low:g}" + (f" and at most {high:.10g}" if high < math.inf else "")
    return ""


def kinds_of(annotation: Any) -> set[Any]:
    """list[float] | None -> {list, float, NoneType}"""
    parts = get_args(annotation)
    return {get_origin(annotation)}.union(*map(kinds_of, parts)) - {UnionType} if parts else {annotation}


class Section:
    """Base of every section. Raises UserError, in a line that names the field, where a value is not valid."""

    def __post_init__(self) -> None:
        for f in fields(cast(Any, self)):
            value = getattr(self, f.name)
            if f.metadata and (told := complaint(f, value)):
                raise UserError(f"{type(self).__name__}: {f.name}={value} {told}")


def section(schema: type[Section]) -> Any:
    return field(default_factory=schema)


def default_of(f: Field[Any]) -> Any:
    """A field's default, whether it is a value or made anew."""
    return f.default if f.default is not MISSING else cast(Any, f.default_factory)()


def as_typed(value: Any) -> str:
    """A value as one types it: null, true, 0.5."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every (key, value) of a nested configuration, keys with dots."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def options(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for f in fields(schema):
        if is_dataclass(f.type):
            yield from options(cast(type, f.type), f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f
