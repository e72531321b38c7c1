"""Lightning's Trainer, with a TensorBoard logger in the folder of results and without Lightning's own talk."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer, profilers
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from deepinside.config import TrainerConfig
from deepinside.errors import UserError, first_line
from deepinside.launch import hear_sigterm

BEGINS = ("on_train_start", "on_validation_start", "on_test_start", "on_predict_start")
PROFILERS = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}


class EventLogger(TensorBoardLogger):
    """Logs into `out` itself; options: those of TensorBoard's SummaryWriter."""

    def __init__(self, out: Path, **options: Any) -> None:
        super().__init__(out, name="", version="", default_hp_metric=False, **options)

    def save(self) -> None:
        """Without Lightning's hparams.yaml: it would be empty, config.yaml holds what the run was given."""
        self.experiment.flush()


def make_trainer(
    config: TrainerConfig,
    out: Path,
    callbacks: Sequence[Callback],
    own_samplers: bool,
    lost_from: int | None = None,
) -> Trainer:
    """Lightning's Trainer with a TensorBoard logger in `out`. What Lightning refuses becomes a UserError.

    lost_from: what was logged at this step and later is marked as lost (see `first_lost_step`).
    """
    quieten()
    if any(word in config.strategy for word in ("spawn", "fork", "notebook")):
        raise UserError(f"trainer.strategy={config.strategy}: results would stay in its processes; ddp gives them back")
    if any(word in config.strategy for word in ("fsdp", "deepspeed", "model_parallel")):
        raise UserError(f"trainer.strategy={config.strategy}: no device would hold a whole net to look into; ddp's do")
    options = asdict(config) | {"enable_progress_bar": False}  # callbacks/progress.py shows it
    logger = EventLogger(out, purge_step=lost_from)
    if config.profiler:  # by name alone it would tell the log that `quieten` silences
        options["profiler"] = getattr(profilers, PROFILERS[config.profiler])(dirpath=out, filename="profile")
    try:
        return Trainer(
            **options,
            logger=logger,
            callbacks=[LambdaCallback(**dict.fromkeys(BEGINS, hear_sigterm)), *callbacks],
            enable_model_summary=False,
            use_distributed_sampler=not own_samplers,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UserError(f"trainer: {first_line(error)}") from None


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
        ".*The dirpath has changed.*",  # a moved run whose best.ckpt did not come along
        ".*Be aware that when using `ckpt_path`.*",  # of callbacks that only older checkpoints hold
    ):
        warnings.filterwarnings("ignore", message)
