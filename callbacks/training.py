"""What train.py hangs on the Trainer: what is kept of a run, what looks at it, and what measures it at its end."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback, LearningRateMonitor, ModelCheckpoint

from callbacks.class_models import ClassModels
from callbacks.classified import Classified
from callbacks.gathering import spread
from callbacks.hparams import HyperParameters
from callbacks.localisation import Localisation
from callbacks.monitor import Monitor, check_finite
from callbacks.progress import progress_bars
from callbacks.saliency_maps import SaliencyMaps
from callbacks.sanity import Randomisation
from deepinside.config import TrainConfig
from deepinside.folders import clear_last_end, follow_moved, last_checkpoint
from deepinside.load_config import save_config


def training_callbacks(
    config: TrainConfig, out: Path, classes: int, has_boxes: bool, shows: bool
) -> tuple[Localisation | Classified, Randomisation, list[Callback]]:
    """What measures the net at the end, what tries whether its maps depend on what was learnt, and all callbacks."""
    localised = config.localisation if config.localisation.enabled and has_boxes else None
    chosen, budget = spread(config.class_models.count, classes), config.monitor.max_overhead
    measured: Localisation | Classified = Classified(out / "classification", config.localisation.kept)
    if localised:
        measured = Localisation(localised, out / "localisation", max_overhead=budget)
    sanity = Randomisation(
        config.sanity, config.saliency, localised, out / "sanity_check", seed=config.seed, progress=shows
    )
    looks: list[Callback] = [
        ClassModels(config.class_models, out / "class_models", classes=chosen, progress=shows, max_overhead=budget),
        SaliencyMaps(config.saliency, out / "saliency_maps", max_overhead=budget),
        measured,
    ]
    before, behind = _keep_run(config, out, looks)
    # Looks may take a while and be stopped. Lightning's ModelCheckpoint always comes last.
    shown = [before, *progress_bars(config.trainer.enable_progress_bar), HyperParameters(config)]
    best = ModelCheckpoint(
        *(out / "checkpoints", "best", "val/top1_error"),
        mode="min",
        save_on_train_epoch_end=False,  # but after the validation: last.ckpt knows then which is the best
        enable_version_counter=False,
    )
    return measured, sanity, [*shown, *looks, sanity, behind, LearningRateMonitor("step"), best]


def _keep_run(config: TrainConfig, out: Path, looks: list[Callback]) -> tuple[Callback, Callback]:
    """The run's folder: config.yaml, last.ckpt and nothing of an earlier net. An epoch is kept before it is looked at,
    and behind its looks, which it then knows."""
    checkpoints, cleared = out / "checkpoints", False

    def find_best(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        follow_moved(checkpoint["callbacks"], checkpoints)

    def keep_config(trainer: Trainer, _: object) -> None:
        if trainer.is_global_zero:  # of a resumed run not before its checkpoint was taken
            save_config(config, out / "config.yaml")

    def keep_epoch(trainer: Trainer, module: LightningModule) -> None:
        nonlocal cleared
        check_finite(module, trainer.global_step)
        if trainer.is_global_zero and not cleared:  # not before: a run stopped earlier still is what was measured
            clear_last_end(out)
            cleared = True
        trainer.save_checkpoint(last_checkpoint(out))

    def keep_looks(trainer: Trainer, module: LightningModule) -> None:
        if any(isinstance(one, Monitor) and one.looked_at == trainer.global_step for one in looks):
            trainer.save_checkpoint(last_checkpoint(out))

    before = LambdaCallback(on_load_checkpoint=find_best, on_train_start=keep_config, on_train_epoch_end=keep_epoch)
    return before, LambdaCallback(on_train_epoch_end=keep_looks)
