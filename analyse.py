"""Look inside a trained ConvNet: see `python analyse.py --help`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from deepinside.config import TASKS, AnalyseConfig, DataConfig, ModelConfig, TrainerConfig, help_text
from deepinside.errors import UserError
from deepinside.launch import (
    check_run,
    make_folder,
    make_trainer,
    newest_run,
    print_results,
    print_table,
    run_script,
    write_json,
)
from deepinside.load_config import argument_value, load_config, save_config

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from torch import Tensor

    from deepinside.classifier import Classifier
    from deepinside.models.convnet import ConvNet

RECIPES = Path(__file__).resolve().parent / "configs"
USAGE = """\
python analyse.py task=TASK [run=DIR|latest] [config=FILE,...] [key=value ...]

{tasks}

  python analyse.py task=class_model run=latest classes=all
  python analyse.py task=saliency model.name=resnet18 model.weights=DEFAULT images=photo.jpg,holidays/*.jpg
  python analyse.py task=relation run=latest
  python analyse.py task=localise data.name=ilsvrc data.root=DIR model.name=vgg16 model.weights=DEFAULT

With run=, data and model are the run's own unless they are given too."""


def main(arguments: list[str]) -> None:
    if {"--help", "-h"} & set(arguments):
        tasks = "\n".join(f"  task={name:<12} {doc}" for name, doc in TASKS.items())
        print(help_text(AnalyseConfig, USAGE.format(tasks=tasks)))
        return
    given = argument_value(arguments, "run")
    run = newest_run(Path("runs")) if given == "latest" else Path(given) if given else None
    below = check_run(run, "run") / "config.yaml" if run else None
    # A preset that is asked for is taken whole: the run's or the recipe's own numbers do not mix into it.
    own = ["class_models"] if argument_value(arguments, "class_models.preset") else []
    config = load_config(AnalyseConfig, arguments, RECIPES, below, without=("name", "out", "trainer", *own))
    if config.task is None:
        raise UserError(f"task is needed: one of {', '.join(TASKS)}")
    config.run = str(run) if run else None
    if run and argument_value(arguments, "model.weights") is None:
        config.model.weights = str(run / "checkpoints" / "last.ckpt")
    for key, tasks in (("classes", ["class_model"]), ("images", ["saliency", "relation"])):
        if getattr(config, key) is not None and config.task not in tasks:
            raise UserError(f"{key} belongs to task={' and '.join(tasks)}, not to task={config.task}")
    if config.model.weights == "none":
        raise UserError(
            "there is nothing to analyse: give run=DIR, run=latest, or model.name=... with model.weights=..."
        )
    base = run or Path("runs") / (config.name or config.model.name)
    analyse(config, Path(config.out) if config.out else base / config.task)


def analyse(config: AnalyseConfig, out: Path) -> None:
    from lightning.pytorch import seed_everything
    from lightning.pytorch.utilities import rank_zero_only

    from deepinside.classifier import Classifier
    from deepinside.models.build import build_convnet

    say = rank_zero_only(print)
    seed_everything(config.seed, workers=True, verbose=False)
    convnet = build_convnet(config.model, config.data)
    say(f"deepinside: {config.task} -> {out}\n{convnet.summary()}")
    if rank_zero_only.rank == 0:
        make_folder(out)
        for old in (*out.glob("events.out.tfevents.*"), *out.glob("pictures/*.png"), *out.glob("*.png")):
            old.unlink()  # an analysis that is made again replaces itself
        save_config(config, out / "config.yaml")
    tasks = {"class_model": class_model, "mean_image": mean_image, "saliency": saliency, "relation": relation}
    tasks["localise"] = localise
    metrics = tasks[config.task or ""](config, Classifier(convnet), out)
    if rank_zero_only.rank == 0:
        write_json(out / "metrics.json", metrics)
        print(f"results: {out}   (metrics.json, pictures/)")
        print(f"look:    tensorboard --logdir {out} --samples_per_plugin images=100")


def enough(trainer: TrainerConfig, items: int) -> TrainerConfig:
    """One device for a handful of things: a process with nothing to do would stop the others."""
    return replace(trainer, devices=1) if trainer.devices == "auto" and items < 64 else trainer


def class_model(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Devices share the classes as predict batches."""
    import torch
    from torch.utils.data import DataLoader

    from callbacks import ClassModels, spread
    from callbacks.class_model_pages import class_model_table
    from deepinside.data.picture import find_classes

    settings, known = config.class_models, module.convnet.classes
    classes = find_classes(config.classes, known) if config.classes else spread(settings.count, len(known))
    shows = config.trainer.enable_progress_bar
    judge = open_judge(config) if settings.judge else None
    callback = ClassModels(
        settings, classes, out, mean_image=open_mean_image(config, module), judge=judge, progress=shows
    )
    quiet = replace(enough(config.trainer, len(classes)), enable_progress_bar=False)  # the callback has its own
    trainer = make_trainer(quiet, out, [callback], own_samplers=False)
    if trainer.world_size > len(classes):
        raise UserError(f"trainer.devices: {trainer.world_size} processes cannot share {len(classes)} classes")
    batches = DataLoader(torch.tensor(classes), batch_size=settings.batch or 32)
    trainer.predict(module, batches, return_predictions=False)
    if trainer.is_global_zero:
        print_table(class_model_table(callback.results), 160)
    return {"classes": callback.results}


def open_judge(config: AnalyseConfig) -> "ConvNet":
    from deepinside.models.build import build_convnet

    settings = config.class_models
    model = ModelConfig(name=settings.judge_name or config.model.name, weights=settings.judge or "none")
    return build_convnet(model, DataConfig())


def mean_image_file(config: AnalyseConfig) -> Path | None:
    """Beside the run's checkpoints."""
    return Path(config.run) / "checkpoints" / "mean_image.pt" if config.run else None


def open_mean_image(config: AnalyseConfig, module: "Classifier") -> "Tensor | None":
    """The one that is named, else the run's own where there is one."""
    from callbacks.mean_image import load_mean_image

    named, own = config.class_models.mean_image, mean_image_file(config)
    if named is None and (own is None or not own.is_file()):
        return None
    return load_mean_image(Path(named) if named else cast(Path, own), module.convnet.preprocessing.crop)


def mean_image(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Of the training split's centre crops."""
    from callbacks import MeanImage, gather, progress
    from deepinside.data.module import PictureData, open_split

    source = open_split(config.data, "train", config.seed)
    callback = MeanImage(mean_image_file(config) or out / "mean_image.pt", out)
    data = PictureData(config.data, module.convnet, val=source)
    trainer = make_trainer(
        enough(config.trainer, len(source)),
        out,
        [callback, *progress(config.trainer.enable_progress_bar)],
        own_samplers=True,
    )
    trainer.predict(module, data, return_predictions=False)
    return callback.results | {"unreadable": sorted(gather(list(data.unreadable)))}


def saliency(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    from callbacks import SaliencyMaps

    callback = SaliencyMaps(config.saliency, out, every_picture=bool(config.images))
    unreadable = look_at_pictures(config, module, out, callback)
    return {"pictures": callback.results, "unreadable": unreadable}


def relation(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    from lightning.pytorch.utilities import rank_zero_only

    from callbacks import Relation
    from callbacks.relation import relation_table

    callback = Relation(None if config.images else config.relation.images, out)
    unreadable = look_at_pictures(config, module, out, callback)
    if callback.results and rank_zero_only.rank == 0:
        print_table(relation_table(callback.results), 110)
    return callback.results | {"unreadable": unreadable}


def look_at_pictures(config: AnalyseConfig, module: "Classifier", out: Path, callback: "Callback") -> list[str]:
    """Runs predict over `images` or the validation split; returns which pictures were unreadable."""
    from callbacks import gather, progress
    from deepinside.data.folder import PictureFiles
    from deepinside.data.module import PictureData, open_split

    if config.images:
        source = PictureFiles(config.images.split(","), module.convnet.classes)
    else:
        source = open_split(config.data, "val", config.seed)
    data = PictureData(config.data, module.convnet, val=source)
    trainer = make_trainer(
        enough(config.trainer, len(source)),
        out,
        [callback, *progress(config.trainer.enable_progress_bar)],
        own_samplers=True,
    )
    trainer.predict(module, data, return_predictions=False)
    return sorted(gather(list(data.unreadable)))


def localise(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Boxes for the whole validation split, scored."""
    from callbacks import Localisation, gather, progress
    from deepinside.data.module import PictureData, open_split

    source = open_split(config.data, "val", config.seed)
    if not source.has_boxes:
        raise UserError(f"task=localise needs boxes to score against: there are none for {config.data.root}")
    callback = Localisation(config.localisation, out)
    small_batches = replace(config.data, batch_size=8)  # the boxes take the time, not the batch: let progress show
    data = PictureData(small_batches, module.convnet, val=source)
    trainer = make_trainer(
        config.trainer, out, [callback, *progress(config.trainer.enable_progress_bar)], own_samplers=True
    )
    trainer.test(module, data, verbose=False)
    if trainer.is_global_zero:
        print_results(callback.results)
    return callback.results | {"unreadable": sorted(gather(list(data.unreadable)))}


if __name__ == "__main__":
    run_script(main)
