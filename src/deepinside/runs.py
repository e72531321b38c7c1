"""What a folder of results holds: a run of train.py, or an analysis of analyse.py."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from deepinside.errors import UserError
from deepinside.records import FILE, PictureRecord, read_records


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
        """Where pictures.jsonl lies: localisation/ of a run, the folder itself of `task=localise`; None without."""
        for folder in (self.folder / "localisation", self.folder / "localise", self.folder):
            if (folder / FILE).is_file():
                return folder
        return None

    @cached_property
    def pictures(self) -> list[PictureRecord]:
        """Every evaluated picture, [] where there are none."""
        return read_records(self.pictures_folder / FILE) if self.pictures_folder else []

    @property
    def class_models(self) -> dict[str, Path]:
        """{stem of the file, 0012_goose: its PNG}, in the order of classes."""
        folder = self.folder if self.config.get("task") == "class_model" else self.folder / "class_models"
        return {path.stem: path for path in sorted((folder / "pictures").glob("*.png"))}


def open_run(folder: Path) -> Run:
    """Raises UserError where the folder is none, and says what is missing."""
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} is not a folder of results: there is no {folder / 'config.yaml'}")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        metrics = folder / "metrics.json"
        values = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder} cannot be read: {reason}") from None
    if not isinstance(config, dict) or not isinstance(values, dict):
        raise UserError(f"{folder} is not a folder of results: config.yaml or metrics.json is not a table of values")
    return Run(folder, str(config.get("name") or folder.name), config, values)
