"""What both scripts need around the Trainer: its construction, quiet logs, and errors as one line with exit code 2."""

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from deepinside.config import TrainerConfig
from deepinside.errors import UserError
from deepinside.words import counted

# Spinning OpenMP threads slow training down fivefold when anything else uses the CPU. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:  # torch and lightning take seconds to import: not before --help and the configuration's errors
    from lightning.pytorch import Callback, Trainer


class Terminated(KeyboardInterrupt):
    """SIGTERM, from `kill`, Slurm or docker: what Ctrl-C does is done."""


def run_script(main: Callable[[list[str]], None]) -> None:
    """Calls `main` with the command line; a UserError becomes one line on stderr and exit code 2, Ctrl-C code 130,
    SIGTERM code 143."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        main(sys.argv[1:])
    except (KeyboardInterrupt, SystemExit, RuntimeError) as error:
        interrupt = _interrupt(error)
        if interrupt is None:
            raise
        _say_stopped(interrupt)
        sys.exit(143 if isinstance(interrupt, Terminated) else 130)
    except BrokenPipeError:  # `--help | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except UserError as error:
        print(f"error: {error}".replace("error: config error", "config error"), file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":  # Lightning's word for a setting that cannot work
            raise
        print(f"error: trainer: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        sys.exit(2)


@contextmanager
def if_stopped(words: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM in here end the script with these words: what was saved, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, RuntimeError) as error:
        interrupt = _interrupt(error)
        if interrupt is None:
            raise
        _hear_no_more()  # the words may take a moment
        raise type(interrupt)(str(interrupt) or words()) from None


def _terminate(*_: object) -> None:
    _hear_no_more()
    raise Terminated


def _hear_no_more() -> None:
    """A second Ctrl-C while Python ends would print a traceback, a second SIGTERM end what the first began."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(error: BaseException) -> KeyboardInterrupt | None:
    """Lightning's Trainer turns Ctrl-C into SystemExit(1), raised while it handles the KeyboardInterrupt. SIGTERM to a
    process group, as from `timeout` and Slurm, ends the workers that read pictures, too, which torch reports first."""
    if isinstance(error, RuntimeError):
        return Terminated() if "killed by signal: Terminated" in str(error) else None
    return next((one for one in (error, error.__context__) if isinstance(one, KeyboardInterrupt)), None)


def _say_stopped(interrupt: KeyboardInterrupt) -> None:
    _hear_no_more()
    if os.environ.get("LOCAL_RANK", "0") == "0":  # Ctrl-C reaches every process of a terminal, one of them speaks
        print(f"stopped: {str(interrupt) or 'the same command starts anew'}", file=sys.stderr)


def make_trainer(
    config: TrainerConfig,
    out: Path,
    callbacks: Sequence["Callback"],
    own_samplers: bool,
    resumed: Path | None = None,
) -> "Trainer":
    """Lightning's Trainer with a TensorBoard logger in `out`. What Lightning refuses becomes a UserError.

    resumed: the checkpoint that is gone on from; what was logged after it is marked as lost.
    """
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    quieten()
    if any(word in config.strategy for word in ("spawn", "fork", "notebook")):
        raise UserError(f"trainer.strategy={config.strategy}: results would stay in its processes; ddp gives them back")
    options = asdict(config) | {"enable_progress_bar": False}  # callbacks/progress.py shows it
    lost = first_lost_step(resumed) if resumed else None
    logger = TensorBoardLogger(out, name="", version="", default_hp_metric=False, purge_step=lost)
    try:
        return Trainer(
            **options,
            logger=logger,
            callbacks=list(callbacks),
            enable_model_summary=False,
            use_distributed_sampler=not own_samplers,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UserError(f"trainer: {str(error).strip().splitlines()[0]}") from None


def first_lost_step(checkpoint: Path) -> int:
    """The first step that a run which goes on from the checkpoint takes anew."""
    import torch

    try:
        return int(torch.load(checkpoint, weights_only=True, mmap=True)["global_step"]) + 1
    except KeyError:
        raise UserError(f"{checkpoint} is no checkpoint of a run, so the run cannot go on") from None
    except Exception as error:  # damaged files are answered with many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{checkpoint} cannot be read, so the run cannot go on: {reason}") from None


def quieten() -> None:
    """Lightning's hints about devices, workers and its products stay out of the way of the project's own lines."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*exists and is not empty.*",
        ".*treespec, LeafSpec.*",
        ".*predict returned None.*",
        ".*GPU available but not used.*",
        ".*Be aware that when using `ckpt_path`.*",  # of callbacks that only older checkpoints hold
    ):
        warnings.filterwarnings("ignore", message)


COLUMNS = {
    "top-1 error": "top1_error",
    "top-5 error": "top5_error",
    "GT-known": "gt_known_accuracy",
    "mean IoU": "mean_iou",
    "pointing": "pointing_game",
    "MaxBoxAccV2": "max_box_acc_v2",
}


def print_results(metrics: Mapping[str, Any]) -> None:
    """The main numbers of metrics.json as a table on the terminal, in percent, and the kinds of error below."""
    table = Table(title=counted(metrics["images"], "validation picture"), title_justify="left")
    rows = {"classification": metrics["classification"]}
    if "localisation" in metrics:
        rows |= {"localisation": metrics["localisation"], **metrics["baselines"]}
    told = {head: key for head, key in COLUMNS.items() if any(key in row for row in rows.values())}
    for column in ("", *told):
        table.add_column(column, justify="left" if not column else "right")
    intervals = metrics.get("intervals", {})
    for name, row in rows.items():
        table.add_row(name.replace("_", " "), *(_percent(row, intervals.get(name, {}), key) for key in told.values()))
    print_table(table)
    less = intervals.get("minus_centre_box", {})
    differences = [f"{head} {_difference(less[key])}" for head, key in COLUMNS.items() if key in less]
    if differences:
        print(f"minus centre box: {', '.join(differences)}")
    for name, counts in metrics.get("errors", {}).items():
        kinds = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in counts.items())
        print(f"{name.replace('_', ' ')}: {kinds}")


def print_trivial_boxes(figures: Mapping[str, Any]) -> None:
    """`scoring.trivial_boxes` as a table, in percent."""
    table = Table(
        title=f"{counted(figures['images'], 'picture')}, {counted(figures['boxes'], 'box', 'boxes')}; class known",
        title_justify="left",
    )
    table.add_column("box")
    table.add_column("IoU >= 0.5", justify="right")
    table.add_column("95%", justify="right")
    for row in figures["rows"]:
        low, high = row["interval"]
        table.add_row(row["box"], f"{100 * row['accuracy']:.2f}", f"[{100 * low:.2f}, {100 * high:.2f}]")
    print_table(table)


def _percent(row: Mapping[str, float], intervals: Mapping[str, Any], key: str) -> str:
    """In percent, with half the width of the 95% interval."""
    if key not in row:
        return ""
    half = f" ±{50 * (intervals[key][1] - intervals[key][0]):.1f}" if key in intervals else ""
    return f"{100 * row[key]:.1f}{half}"


def _difference(numbers: Sequence[float]) -> str:
    return "{:+.1f} [{:.1f}, {:.1f}]".format(*(100 * number for number in numbers))


def print_table(table: Table, width: int = 120) -> None:
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
