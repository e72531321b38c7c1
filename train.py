"""Train or fine-tune a ConvNet, watch what it looks at, and measure it: see `python train.py --help`."""

import shutil
from pathlib import Path
from typing import Any

from deepinside.config import TrainConfig, help_text, recipe_name
from deepinside.errors import UserError
from deepinside.launch import check_run, classification_results, make_trainer, print_results, run_script, write_json
from deepinside.load_config import argument_value, load_config, save_config

RECIPES = Path(__file__).resolve().parent / "configs"
USAGE = """\
python train.py [config=FILE,...] [key=value ...]

  python train.py                                      ten shapes, drawn here: minutes on a CPU
  python train.py data.name=ilsvrc data.root=DIR       the paper's ConvNet on ImageNet
  python train.py data.name=folder data.root=DIR model.name=resnet18 model.weights=DEFAULT
                                                       fine-tune a torchvision ConvNet on your own pictures
  python train.py resume=runs/shapes                   go on where a run stopped

Defaults that depend on what is trained come from configs/: shapes.yaml, imagenet.yaml, finetune.yaml."""


def main(arguments: list[str]) -> None:
    if {"--help", "-h"} & set(arguments):
        print(help_text(TrainConfig, USAGE))
        return
    resumed = argument_value(arguments, "resume")
    below = check_run(Path(resumed), "resume") / "config.yaml" if resumed else None
    train(load_config(TrainConfig, arguments, RECIPES, below))


def train(config: TrainConfig) -> None:
    # Imported here, since torch takes seconds: --help and the configuration's errors come at once.
    from lightning.pytorch import seed_everything
    from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
    from lightning.pytorch.utilities import rank_zero_only

    from callbacks import ClassModels, Localisation, SaliencyMaps, gather, progress, spread
    from deepinside.classifier import Classifier
    from deepinside.data.module import PictureData, open_split
    from deepinside.models.build import build_convnet

    say = rank_zero_only(print)
    name = config.name or f"{config.data.name}_{config.model.name}"
    out = Path(config.resume or config.out or f"runs/{name}")
    _check_folder(config, out)
    say(f"deepinside: {name} -> {out}   defaults: configs/{recipe_name(config)}.yaml, seed {config.seed}")

    seed_everything(config.seed, workers=True, verbose=False)
    pictures = {split: open_split(config.data, split, config.seed) for split in ("train", "val")}
    convnet = build_convnet(config.model, config.data, pictures["train"].classes, say)
    data = PictureData(config.data, convnet, **pictures, seed=config.seed)
    module = Classifier(convnet, config.optim)
    say(f"{len(pictures['train'])} training and {len(pictures['val'])} validation pictures, {convnet.summary()}")

    localised = config.localisation.enabled and pictures["val"].has_boxes
    classes = spread(config.class_models.count, len(convnet.classes))
    saliency = config.saliency
    looks = [
        ClassModels(config.class_models, classes, out / "class_models"),
        SaliencyMaps(saliency.every, saliency.images, saliency.crops, out / "saliency"),
    ]
    localisation = Localisation(config.localisation, out / "localisation") if localised else None
    checkpoints = [  # two, since Lightning's save_last writes last.ckpt only when best.ckpt is written
        ModelCheckpoint(out / "checkpoints", "best", "val/top1_error", mode="min", enable_version_counter=False),
        ModelCheckpoint(out / "checkpoints", "last", enable_version_counter=False),
    ]
    measured = [localisation] if localisation else []
    callbacks = [*looks, *measured, *checkpoints, LearningRateMonitor("step"), progress()]
    trainer = make_trainer(config.trainer, out, callbacks, own_samplers=True)
    if trainer.is_global_zero:
        out.mkdir(parents=True, exist_ok=True)
        save_config(config, out / "config.yaml")

    last = out / "checkpoints" / "last.ckpt"
    trainer.fit(module, data, ckpt_path=str(last) if config.resume else None, weights_only=True)
    trainer.test(module, data, verbose=False)

    unreadable = sorted(set(gather(list(data.unreadable))))
    if trainer.is_global_zero:
        metrics = localisation.results if localisation else classification_results(trainer.callback_metrics)
        write_json(out / "metrics.json", metrics | {"unreadable": unreadable})
        _last_words(out, metrics, unreadable)


def _check_folder(config: TrainConfig, out: Path) -> None:
    """A run is never overwritten unasked. Only the first process looks: the others start when the folder exists."""
    from lightning.pytorch.utilities import rank_zero_only

    if rank_zero_only.rank != 0 or config.resume or not (out / "config.yaml").exists():
        return
    if not config.overwrite:
        raise UserError(
            f"{out} holds a run: resume={out} continues it, name=... starts another, overwrite=true replaces it"
        )
    shutil.rmtree(out)


def _last_words(out: Path, metrics: dict[str, Any], unreadable: list[str]) -> None:
    print_results(metrics)
    if unreadable:
        print(f"{len(unreadable)} pictures could not be decoded and were left out: {', '.join(unreadable[:5])}, ...")
    print(f"results: {out}   (metrics.json, checkpoints/, class_models/, saliency/, localisation/)")
    print(f"look:    tensorboard --logdir {out.parent} --samples_per_plugin images=100")
    print(f"deeper:  python analyse.py task=class_model run={out} classes=all")


if __name__ == "__main__":
    run_script(main)
