"""Folders of runs and analyses: which one is meant, whether it may be written to, and what of it is removed."""

import os
import shutil
from pathlib import Path
from typing import IO, Any

from deepinside.config import TrainConfig
from deepinside.errors import UserError, name_nearby

# Files that lie where a run or an analysis began: only there is anything removed.
RUN_MARK, ANALYSIS_MARK = ".deepinside_run", ".deepinside"
END = ".end"  # of the file of events in which a run's end lies, what is measured and drawn after the training
LOOKS = ("class_models", "saliency_maps", "sanity_check", "localisation", "classification")


def last_checkpoint(run: Path) -> Path:
    """The newest net of a run, with all that the training needs to go on."""
    return run / "checkpoints" / "last.ckpt"


def newest_run(runs: Path, key: str = "run") -> Path:
    """The folder below `runs` whose checkpoint was written last: what `run=latest` means."""
    found = sorted(runs.glob(str(last_checkpoint(Path("*")))), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"{key}=latest: there is no run in {runs} yet; `python train.py` makes one")
    return found[-1].parent.parent


def make_folder(out: Path) -> None:
    """Creates the folder of results, or says why that is impossible."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out} cannot be a folder: {error.strerror}") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise UserError(f"out={out} cannot be written to: give a folder that is yours")


def check_run(folder: Path, key: str) -> Path:
    """`folder` if it is a run with a checkpoint, else a UserError that names what is missing."""
    for needed in (folder / "config.yaml", last_checkpoint(folder)):
        if not needed.is_file():
            raise UserError(
                f"{key}={folder} is not a run that train.py made: there is no {needed}{name_nearby(needed)}"
            )
    return folder


def check_out(config: TrainConfig, out: Path) -> None:
    """Nothing that exists is in the way: a finished or resumable run is never overwritten unasked, others never."""
    if not out.exists():
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"out={out} cannot be a folder: {above} is a file")
        if not os.access(above, os.W_OK | os.X_OK):
            raise UserError(f"out={out} cannot be made: {above} cannot be written to")
        return
    make_folder(out)
    if config.resume:
        return
    if any(out.glob("checkpoints/*.ckpt")) and not config.overwrite:
        raise UserError(
            f"{out} holds a run: resume={out} continues it, name=... starts another, overwrite=true replaces it"
        )
    ours = (out / RUN_MARK).exists() or all((path / ANALYSIS_MARK).exists() for path in out.iterdir())
    unmarked = (out / "config.yaml").exists() and (out / "provenance.json").exists()  # as runs were once
    if (out / ANALYSIS_MARK).exists() or not (ours or unmarked):
        raise UserError(f"{out} holds files that no run made: give out= an empty or a new folder")


def clear_run(config: TrainConfig, out: Path) -> IO[str]:
    """Makes the folder, and holds it until the answer is closed: two runs would mix their files. What a run writes is
    removed, and localise/, whose records would pass for the new net's."""
    make_folder(out)
    mark = _held(out)
    if not config.resume:
        for folder in ("checkpoints", "localise", *LOOKS):
            shutil.rmtree(out / folder, ignore_errors=True)
        for file in (
            "events.out.tfevents.*",
            "metrics.json",
            "provenance.json",
            "report.html",
            "fit-profile*",
            "test-profile*",
        ):
            for old in out.glob(file):
                old.unlink()
    return mark


def _held(out: Path) -> IO[str]:
    """The run's mark, locked where the system can; a lock ends with its process."""
    mark = (out / RUN_MARK).open("a")
    try:
        import fcntl  # not on Windows

        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mark.close()
        raise UserError(f"{out} is being trained by another process: name=... starts another run") from None
    except (ImportError, OSError):  # or not on this file system
        pass
    return mark


def follow_moved(callbacks: dict[str, Any], checkpoints: Path) -> None:
    """Lightning's ModelCheckpoint forgets which epoch was the best where its folder has another name than before: its
    state among those of the callbacks is told that best.ckpt now lies in `checkpoints`, if it does."""
    for key, state in callbacks.items():
        if key.startswith("ModelCheckpoint") and (checkpoints / "best.ckpt").is_file():
            state["dirpath"] = folder = os.path.realpath(checkpoints)
            for place in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[place] = _within(folder, state[place])
            state["best_k_models"] = {_within(folder, path): score for path, score in state["best_k_models"].items()}


def _within(folder: str, path: str) -> str:
    return os.path.join(folder, os.path.basename(path)) if path else path


def clear_last_end(out: Path) -> None:
    """What was measured of a resumed run's net, before it changes: it would pass for the new one's, in a run that is
    stopped before its end, too, and in localise/."""
    clear_last_looks(out)
    shutil.rmtree(out / "localise", ignore_errors=True)
    for file in ("metrics.json", "report.html"):
        (out / file).unlink(missing_ok=True)


def clear_last_looks(out: Path) -> None:
    """What the earlier end of a resumed run drew and logged, before a new one is; what grows over the epochs stays."""
    for old in out.glob(f"events.out.tfevents.*{END}"):
        old.unlink()
    for folder in LOOKS:
        for pattern in ("*.png", "pictures/*.png", "gallery/*.png", "kept/*", "pictures.jsonl", "*.csv", "*.txt"):
            for old in (out / folder).glob(pattern):
                old.unlink()
    for old in out.glob("class_models/films/*.png"):
        old.unlink()
