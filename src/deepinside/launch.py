"""What both scripts need around the Trainer: its construction, quiet logs, and errors as one line with exit code 2."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from deepinside.config import TrainerConfig
from deepinside.errors import UserError

# Spinning OpenMP threads slow training down fivefold when anything else uses the CPU. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:  # torch and lightning take seconds to import: not before --help and the configuration's errors
    from lightning.pytorch import Callback, Trainer


def run_script(main: Callable[[list[str]], None]) -> None:
    """Calls `main` with the command line; a UserError becomes one line on stderr and exit code 2."""
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}".replace("error: config error", "config error"), file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":  # Lightning's word for a setting that cannot work
            raise
        print(f"error: trainer: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        sys.exit(2)


def make_trainer(config: TrainerConfig, out: Path, callbacks: Sequence["Callback"], own_samplers: bool) -> "Trainer":
    """Lightning's Trainer with a TensorBoard logger in `out`. What Lightning refuses becomes a UserError."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    quieten()
    options = asdict(config) | {"enable_progress_bar": config.enable_progress_bar and sys.stdout.isatty()}
    logger = TensorBoardLogger(out, name="", version="", default_hp_metric=False)
    try:
        return Trainer(
            **options,
            logger=logger,
            callbacks=list(callbacks),
            enable_model_summary=False,
            use_distributed_sampler=not own_samplers,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer: {str(error).strip().splitlines()[0]}") from None


def quieten() -> None:
    """Lightning's hints about devices, workers and its products stay out of the way of the project's own lines."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*exists and is not empty.*",
        ".*treespec, LeafSpec.*",
        ".*predict returned None.*",
    ):
        warnings.filterwarnings("ignore", message)


def newest_run(runs: Path) -> Path:
    """The folder below `runs` whose checkpoint was written last: what `run=latest` means."""
    found = sorted(runs.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"run=latest: there is no run in {runs} yet; `python train.py` makes one")
    return found[-1].parent.parent


def make_folder(out: Path) -> None:
    """Creates the folder of results, or says why that is impossible."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out} cannot be a folder: {error.strerror}") from None


def check_run(folder: Path, key: str) -> Path:
    """`folder` if it is a run with a checkpoint, else a UserError that names what is missing."""
    for needed in ("config.yaml", "checkpoints/last.ckpt"):
        if not (folder / needed).is_file():
            raise UserError(f"{key}={folder} is not a run that train.py made: there is no {folder / needed}")
    return folder


def classification_results(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics.json holds where there are no boxes: the test's errors of the centre crop."""
    errors = {key: float(measured[f"test/{key}"]) for key in ("top1_error", "top5_error")}
    return {"images": int(measured["test/images"]), "classification": errors}


def print_results(metrics: Mapping[str, Any]) -> None:
    """metrics.json as tables on the terminal, in percent."""
    table = Table(title=f"{metrics['images']} validation pictures", title_justify="left")
    for column in ("", "top-1 error", "top-5 error", "ground-truth-known", "mean IoU"):
        table.add_column(column, justify="left" if not column else "right")
    rows = {"classification": metrics["classification"]}
    if "localisation" in metrics:
        rows |= {"localisation": metrics["localisation"], **metrics["baselines"]}
    for name, row in rows.items():
        keys = ("top1_error", "top5_error", "gt_known_accuracy", "mean_iou")
        table.add_row(name.replace("_", " "), *(f"{100 * row[key]:.1f}" if key in row else "" for key in keys))
    print_table(table)


def print_table(table: Table, width: int = 100) -> None:
    """On the terminal at its own width, elsewhere `width` characters wide."""
    Console(width=None if sys.stdout.isatty() else width).print(table)


def write_json(path: Path, content: Any) -> None:
    """Written beside and moved into place: a reader never sees half a file. Raises UserError for NaN and infinity."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError:
        raise UserError(f"{path}: a result is not a finite number, so nothing is written; are the weights?") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(path)
