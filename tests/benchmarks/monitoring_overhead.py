"""What watching a run costs: python -m tests.benchmarks.monitoring_overhead [key=value ...]

Trains the default run, `python train.py`, without looks and with them (arguments as for train.py), an epoch of each in
turn, and prints a markdown table: processor and wall-clock seconds of both, their ratio, what the callbacks' own
clocks say at the end, and what the sanity check takes on top of that.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from lightning.pytorch import seed_everything

from callbacks import ClassModels, Localisation, Randomisation, SaliencyMaps
from callbacks.gathering import spread
from callbacks.monitor import Monitor
from deepinside.classifier import Classifier
from deepinside.config import TrainConfig
from deepinside.data.module import PictureData
from deepinside.data.source import open_split
from deepinside.load_config import load_config
from deepinside.models.build import build_convnet
from deepinside.trainer import make_trainer

RECIPES = Path(__file__).resolve().parent.parent.parent / "configs"


class Run:
    """One of the two: goes on by an epoch when it is told to."""

    def __init__(self, config: TrainConfig, watched: bool, out: Path) -> None:
        seed_everything(config.seed, workers=True, verbose=False)
        pictures = {split: open_split(config.data, split, config.seed) for split in ("train", "val")}
        convnet = build_convnet(config.model, config.data, pictures["train"].classes)
        self.data = PictureData(config.data, convnet, **pictures, seed=config.seed)
        self.module = Classifier(convnet, config.optim)
        budget = {"max_overhead": config.monitor.max_overhead}
        chosen = spread(config.class_models.count, 10)
        self.looks: list[Monitor] = [
            ClassModels(config.class_models, out / "class_models", classes=chosen, **budget),
            SaliencyMaps(config.saliency, out / "saliency", **budget),
            Localisation(config.localisation, out / "localisation", **budget),
        ]
        self.trainer = make_trainer(config.trainer, out, self.looks if watched else [], own_samplers=True)
        self.config, self.processor, self.wall = config, 0.0, 0.0

    def go_on(self, epochs: int) -> None:
        self.trainer.fit_loop.max_epochs = epochs
        wall, processor = time.monotonic(), time.process_time()
        self.trainer.fit(self.module, self.data)
        self.processor += time.process_time() - processor
        self.wall += time.monotonic() - wall

    def sanity_seconds(self, out: Path) -> float:
        boxes = self.config.localisation if self.data.val and self.data.val.has_boxes else None
        check = Randomisation(self.config.sanity, self.config.saliency, boxes)
        make_trainer(self.config.trainer, out, [check], own_samplers=True).test(self.module, self.data, verbose=False)
        return float(check.results["seconds"])


def main() -> None:
    config = load_config(TrainConfig, sys.argv[1:], RECIPES)
    with tempfile.TemporaryDirectory() as folder:
        alone, watched = (Run(config, looks, Path(folder) / str(looks)) for looks in (False, True))
        for epochs in range(1, config.trainer.max_epochs + 1):
            alone.go_on(epochs)
            watched.go_on(epochs)
        sanity = watched.sanity_seconds(Path(folder) / "sanity_check")
    print(f"{config.trainer.max_epochs} epochs, {torch.get_num_threads()} threads\n")
    print("| | without looks | with looks | overhead |\n|---|---|---|---|")
    rows = {"processor": (alone.processor, watched.processor), "wall-clock": (alone.wall, watched.wall)}
    for what, (off, on) in rows.items():
        print(f"| {what} seconds | {off:.0f} | {on:.0f} | {100 * (on / off - 1):.1f} % |")
    print(f"| sanity check at the end, seconds | | {sanity:.1f} | {100 * sanity / alone.wall:.1f} % |")
    for look in watched.looks:
        print(f"| {look.name}: {look.looks} looks | | {look.spent:.1f} | {100 * look.spent / look.trained:.1f} % |")


if __name__ == "__main__":
    main()
