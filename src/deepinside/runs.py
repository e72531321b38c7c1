"""What a folder of results holds: a run of train.py, or an analysis of analyse.py."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from deepinside.errors import UserError, first_line, name_nearby
from deepinside.records import FILE, PictureRecord, read_records

FOLDERS = ("localisation", "localise", "classification")  # what says more comes first


@dataclass(frozen=True)
class Run:
    """A folder that train.py or analyse.py wrote; what is large is read when it is asked for.

    config: config.yaml as nested dictionaries; metrics: metrics.json, {} where a run has not come to its end.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    metrics: dict[str, Any]

    @cached_property
    def pictures_folder(self) -> Path | None:
        """Where pictures.jsonl lies: localisation/ of a run, localise/ of its later analysis, classification/ of a run
        without boxes, the folder itself of `task=localise`; None without."""
        for folder in (*(self.folder / name for name in FOLDERS), self.folder):
            if os.path.isfile(folder / FILE):
                return folder
        return None

    @cached_property
    def pictures(self) -> list[PictureRecord]:
        """Every evaluated picture, [] where there are none."""
        return read_records(self.pictures_folder / FILE) if self.pictures_folder else []

    def kept(self, name: str | None) -> Path | None:
        """A file that a record names, None where it was not kept, is gone or lies elsewhere: comparisons copy it."""
        if not name or not self.pictures_folder:
            return None
        file = self.pictures_folder / name
        try:
            inside = file.resolve().is_relative_to(self.pictures_folder.resolve())
        except (OSError, RuntimeError, ValueError):  # links in a ring, a name that is none
            return None
        return file if inside and os.path.isfile(file) else None

    @property
    def class_models(self) -> dict[str, Path]:
        """{stem of the file, 0012_goose: its PNG}, in the order of classes."""
        folder = self.folder if self.config.get("task") == "class_model" else self.folder / "class_models"
        return {path.stem: path for path in sorted((folder / "pictures").glob("*.png"))}


def open_run(folder: Path) -> Run:
    """Raises UserError where the folder is none, and says what is missing."""
    config, metrics = _table(folder / "config.yaml", yaml.safe_load), folder / "metrics.json"
    values = _table(metrics, json.loads) if os.path.lexists(metrics) else {}
    return Run(folder, str(config.get("name") or folder.name), config, values)


def _table(file: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        values = parse(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{file.parent} is not a folder of results: there is no {file}{name_nearby(file)}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"{file} cannot be read: {reason}") from None
    if not isinstance(values, dict):
        raise UserError(f"{file} is not a table of values")
    return values
