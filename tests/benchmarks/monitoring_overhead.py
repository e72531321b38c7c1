"""What watching a run costs: python -m tests.benchmarks.monitoring_overhead [key=value ...]

Trains the default run, `python train.py`, without looks and with them (arguments as for train.py), an epoch of each in
turn, and prints a markdown table: processor and wall-clock seconds of both, their ratio, and what the callbacks' own
clocks said.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback, seed_everything
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import ClassModels, Localisation, SaliencyMaps, spread
from deepinside.classifier import Classifier
from deepinside.config import TrainConfig
from deepinside.data.module import PictureData, open_split
from deepinside.launch import make_trainer
from deepinside.load_config import load_config
from deepinside.models.build import build_convnet

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
        looks: list[Callback] = [
            ClassModels(config.class_models, spread(config.class_models.count, 10), out / "class_models", **budget),
            SaliencyMaps(config.saliency, out / "saliency", **budget),
            Localisation(config.localisation, out / "localisation", **budget),
        ]
        self.trainer = make_trainer(config.trainer, out, looks if watched else [], own_samplers=True)
        self.processor = self.wall = 0.0

    def go_on(self, epochs: int) -> None:
        self.trainer.fit_loop.max_epochs = epochs
        wall, processor = time.monotonic(), time.process_time()
        self.trainer.fit(self.module, self.data)
        self.processor += time.process_time() - processor
        self.wall += time.monotonic() - wall


def main() -> None:
    config = load_config(TrainConfig, sys.argv[1:], RECIPES)
    with tempfile.TemporaryDirectory() as folder:
        alone, watched = (Run(config, looks, Path(folder) / str(looks)) for looks in (False, True))
        for epochs in range(1, config.trainer.max_epochs + 1):
            alone.go_on(epochs)
            watched.go_on(epochs)
        events = EventAccumulator(str(Path(folder) / "True")).Reload()
        shares = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"] if tag.startswith("overhead/")}
    print(f"{config.trainer.max_epochs} epochs, {torch.get_num_threads()} threads\n")
    print("| | without looks | with looks | overhead |\n|---|---|---|---|")
    rows = {"processor": (alone.processor, watched.processor), "wall-clock": (alone.wall, watched.wall)}
    for what, (off, on) in rows.items():
        print(f"| {what} seconds | {off:.0f} | {on:.0f} | {100 * (on / off - 1):.1f} % |")
    for tag, share in shares.items():
        print(f"| {tag} | | | {100 * share:.1f} % |")


if __name__ == "__main__":
    main()
