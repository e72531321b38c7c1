"""How a training ended, and how it goes on, in words."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from deepinside.config import TrainerConfig
from deepinside.folders import last_checkpoint

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def early_end(trainer: "Trainer", config: TrainerConfig, first: int | None) -> str | None:
    """After the training, where it did not go through all of its epochs: what ended it. first: of a resumed run, the
    step that it had to take first."""
    from lightning.pytorch.callbacks import Timer

    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    out_of_time = any(left is not None and left <= 0 for left in (timer.time_remaining() for timer in timers))
    out_of_steps = 0 < trainer.max_steps <= trainer.global_step
    limit = f"trainer.max_time={config.max_time}" if out_of_time else f"trainer.max_steps={config.max_steps}"
    if first is not None and trainer.global_step < first:
        if out_of_time:
            return f"nothing is left to train: {limit} is used up, the time before a resume counts, too"
        return f"nothing is left to train: {limit if out_of_steps else f'all {trainer.max_epochs} epochs'} are done"
    whole = trainer.is_last_batch
    if not (out_of_time or out_of_steps) or (whole and trainer.current_epoch == trainer.max_epochs):
        return None
    rest = "" if whole else ", whose rest a resumed run leaves out"
    return f"{limit} ended the training at step {trainer.global_step}, in epoch {trainer.current_epoch}{rest}"


def how_to_go_on(out: Path, epochs: int | None, measuring: bool) -> str:
    """After Ctrl-C: what is kept, and the command that goes on."""
    last = last_checkpoint(out)
    if not last.is_file():
        return f"no epoch was finished, {out} holds nothing to go on from; the same command starts anew"
    resume = f"python train.py {quote(f'resume={out}')}"
    if measuring:
        return f"the training is done, its measurement is not; {resume} makes it"
    from deepinside.checkpoint import finished_epochs  # torch

    return f"{out} holds epoch {finished_epochs(last)} of {epochs}, what came after it is lost; {resume} goes on"
