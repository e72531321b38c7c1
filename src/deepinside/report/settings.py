"""The configuration for reading: what differs from the defaults, and all of it."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from typing import Any, cast

from deepinside.config import AnalyseConfig, TrainConfig
from deepinside.config.options import options


def settings(config: Mapping[str, Any]) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """(key, value, default) where they differ, and every (key, value); keys with dots."""
    defaults = _defaults()
    flat = {key: _told(value) for key, value in _flat(config)}
    changed = [(key, value, defaults[key]) for key, value in flat.items() if defaults.get(key, value) != value]
    return changed, list(flat.items())


def _defaults() -> dict[str, str]:
    found = {}
    for key, f in [*options(AnalyseConfig), *options(TrainConfig)]:
        default = f.default if f.default is not MISSING else cast(Any, f.default_factory)()
        found[key] = _told(default)
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _told(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return ", ".join(map(_told, value)) if isinstance(value, list) else str(value)
