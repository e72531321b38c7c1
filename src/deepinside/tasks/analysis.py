"""What every analysis does: its folder, the pictures it looks at, its devices."""

import os
from dataclasses import replace
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only

from callbacks.gathering import gather, spread
from callbacks.progress import progress_bars
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig, DataConfig, TrainerConfig
from deepinside.data.chosen import ChosenPictures
from deepinside.data.folder import PictureFiles
from deepinside.data.module import PictureData
from deepinside.data.source import PictureSource, check_readable, open_split
from deepinside.errors import UserError
from deepinside.folders import ANALYSIS_MARK, make_folder
from deepinside.load_config import save_config
from deepinside.trainer import make_trainer

MEASURED = ["found/picture_*", "kept/*.jpg", "kept/*.png"]  # what task=localise goes on with
MADE = [  # not all of found/: class models resume from it
    *("events.out.tfevents.*", "*.png", "pictures/*.png", "films/*.png", "gallery/*.png"),
    *("metrics.json", "predictions.csv", "submission.txt", "pictures.jsonl", "provenance.json", "report.html"),
    *("comparison.json", "curves/**/events.out.tfevents.*"),
]


@rank_zero_only
def start(config: AnalyseConfig, out: Path, *, goes_on: bool = False) -> None:
    """When everything is checked: an analysis that is made again replaces itself, and nothing else. goes_on: with the
    pictures that an earlier start has measured."""
    make_folder(out)
    if any(out.iterdir()) and not (out / ANALYSIS_MARK).exists():
        raise UserError(f"out={out} holds files that no analysis made: give an empty or a new folder")
    (out / ANALYSIS_MARK).touch()
    patterns = MADE if goes_on else MADE + MEASURED
    for old in [file for pattern in patterns for file in out.glob(pattern)]:
        old.unlink()
    save_config(config, out / "config.yaml")


def shows(config: AnalyseConfig) -> bool:
    """Whether this process shows progress."""
    return config.trainer.enable_progress_bar and rank_zero_only.rank == 0  # type: ignore[attr-defined]  # Lightning's


def enough(trainer: TrainerConfig, items: int) -> TrainerConfig:
    """One device for a handful of things: a process with nothing to do would stop the others."""
    return replace(trainer, devices=1) if trainer.devices == "auto" and items < 64 else trainer


def look_at_pictures(config: AnalyseConfig, module: Classifier, out: Path, callback: Callback, count: int) -> list[str]:
    """Runs predict over `images`, or `count` of the validation split; returns which pictures were unreadable."""
    if config.images:
        whole = os.path.exists(config.images)  # a name may hold a comma
        parts = [config.images] if whole else config.images.split(",")
        given = [one for one in parts if one.strip()]
        if not given:
            raise UserError(f"images={config.images} names no picture: give files or folders, separated by commas")
        source: PictureSource = PictureFiles(given, module.convnet.classes)
    else:
        split = open_split(config.data, "val", config.seed, shows(config))
        source = ChosenPictures(split, spread(count, len(split)))
    if not len(source):
        raise UserError(f"task={config.task} has no pictures to look at: {config.task}.images={count}")
    one_by_one = replace(config.data, batch_size=1)  # the looks take the time: let progress show
    return predict(config, module, out, callback, source, one_by_one)


def predict(
    config: AnalyseConfig, module: Classifier, out: Path, callback: Callback, source: PictureSource, batches: DataConfig
) -> list[str]:
    """Runs predict over a source, in batches as the last argument says; returns which pictures were unreadable."""
    check_readable(source)
    data = PictureData(batches, module.convnet, val=source)
    trainer = make_trainer(
        enough(config.trainer, len(source)),
        out,
        [callback, *progress_bars(config.trainer.enable_progress_bar)],
        own_samplers=True,
    )
    start(config, out)
    trainer.predict(module, data, return_predictions=False)
    return sorted(gather(list(data.unreadable)))
