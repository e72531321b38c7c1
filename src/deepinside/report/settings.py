"""The configuration for reading: what differs from the defaults, and all of it."""

from collections.abc import Mapping
from typing import Any

from deepinside.config import AnalyseConfig, TrainConfig
from deepinside.config.options import as_typed, default_of, flat, options


def settings(config: Mapping[str, Any]) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """(key, value, default) where they differ, and every (key, value); keys with dots."""
    fields = [*options(AnalyseConfig), *options(TrainConfig)]
    defaults = {key: _told(default_of(f)) for key, f in fields}
    found = {key: _told(value) for key, value in flat(config)}
    changed = [(key, value, defaults[key]) for key, value in found.items() if defaults.get(key, value) != value]
    return changed, list(found.items())


def _told(value: Any) -> str:
    return ", ".join(map(_told, value)) if isinstance(value, list) else as_typed(value)
