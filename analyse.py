"""Look inside a trained ConvNet: see `python analyse.py --help`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepinside.config import TASKS, AnalyseConfig, TrainerConfig, help_text
from deepinside.errors import UserError
from deepinside.launch import (
    check_run,
    make_folder,
    make_trainer,
    newest_run,
    print_results,
    print_trivial_boxes,
    run_script,
    write_json,
)
from deepinside.load_config import argument_value, load_config, save_config

if TYPE_CHECKING:
    from deepinside.classifier import Classifier

RECIPES = Path(__file__).resolve().parent / "configs"
USAGE = """\
python analyse.py task=TASK [run=DIR|latest] [config=FILE,...] [key=value ...]

{tasks}

  python analyse.py task=class_model run=latest classes=all
  python analyse.py task=saliency model.name=resnet18 model.weights=DEFAULT images=photo.jpg,holidays/*.jpg
  python analyse.py task=localise data.name=ilsvrc data.root=DIR model.name=vgg16 model.weights=DEFAULT
  python analyse.py task=localise boxes=DIR_OR_FILE            # what boxes that know nothing reach
  python analyse.py task=localise predictions=FILE boxes=DIR_OR_FILE

With run=, data and model are the run's own unless they are given too."""


def main(arguments: list[str]) -> None:
    if {"--help", "-h"} & set(arguments):
        tasks = "\n".join(f"  task={name:<12} {doc}" for name, doc in TASKS.items())
        print(help_text(AnalyseConfig, USAGE.format(tasks=tasks)))
        return
    given = argument_value(arguments, "run")
    run = newest_run(Path("runs")) if given == "latest" else Path(given) if given else None
    below = check_run(run, "run") / "config.yaml" if run else None
    config = load_config(AnalyseConfig, arguments, RECIPES, below, without=("name", "out", "trainer"))
    if config.task is None:
        raise UserError(f"task is needed: one of {', '.join(TASKS)}")
    if run and argument_value(arguments, "model.weights") is None:
        config.model.weights = str(run / "checkpoints" / "last.ckpt")
    owners = {"classes": "class_model", "images": "saliency", "boxes": "localise", "predictions": "localise"}
    for key, task in owners.items():
        if getattr(config, key) is not None and config.task != task:
            raise UserError(f"{key} belongs to task={task}, not to task={config.task}")
    if config.boxes or config.predictions:
        score_files(config)
        return
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
        for made in ("events.out.tfevents.*", "pictures/*.png", "gallery/*.png", "sheet.png", "submission.txt"):
            for old in out.glob(made):
                old.unlink()  # an analysis that is made again replaces itself
        save_config(config, out / "config.yaml")
    task = {"class_model": class_model, "saliency": saliency, "localise": localise}[config.task or ""]
    metrics = task(config, Classifier(convnet), out)
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

    from callbacks import ClassModels, progress, spread
    from deepinside.data.picture import find_classes

    known = module.convnet.classes
    classes = find_classes(config.classes, known) if config.classes else spread(config.class_models.count, len(known))
    callback = ClassModels(config.class_models, classes, out)
    trainer = make_trainer(
        enough(config.trainer, len(classes)),
        out,
        [callback, *progress(config.trainer.enable_progress_bar)],
        own_samplers=False,
    )
    trainer.predict(module, DataLoader(torch.tensor(classes), batch_size=16), return_predictions=False)
    return {"classes": callback.results}


def saliency(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    from callbacks import SaliencyMaps, gather, progress
    from deepinside.data.folder import PictureFiles
    from deepinside.data.module import PictureData, open_split

    if config.images:
        source = PictureFiles(config.images.split(","), module.convnet.classes)
    else:
        source = open_split(config.data, "val", config.seed)
    callback = SaliencyMaps(1, None if config.images else config.saliency.images, config.saliency.crops, out)
    data = PictureData(config.data, module.convnet, val=source)
    trainer = make_trainer(
        enough(config.trainer, len(source)),
        out,
        [callback, *progress(config.trainer.enable_progress_bar)],
        own_samplers=True,
    )
    trainer.predict(module, data, return_predictions=False)
    return {"pictures": callback.results, "unreadable": sorted(gather(list(data.unreadable)))}


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


def score_files(config: AnalyseConfig) -> None:
    """Without a net: guesses in a file, or boxes that know nothing, against boxes in files or of the data set."""
    from deepinside.data.box_files import boxed_pictures, read_boxes
    from deepinside.data.devkit import read_blacklist
    from deepinside.predictions import read_predictions
    from deepinside.scoring import score_guesses_in_files, trivial_boxes, without_boxes

    if config.boxes:
        pictures = read_boxes(Path(config.boxes))
    else:
        from deepinside.data.module import open_split

        pictures = boxed_pictures(open_split(config.data, "val", config.seed))
    if config.localisation.blacklist:
        pictures = without_boxes(pictures, read_blacklist(Path(config.localisation.blacklist)))
    if config.predictions:
        images, ids = [p.name for p in pictures], {p.label_id for p in pictures if p.label_id}
        guesses = read_predictions(Path(config.predictions), images, ids, config.localisation.label_ids)
        metrics = score_guesses_in_files(pictures, guesses)
        print_results(metrics)
        if metrics["without_guess"]:
            print(f"{metrics['without_guess']} of {len(pictures)} pictures have no guess and count as wrong")
    else:
        metrics = trivial_boxes(pictures)
        print_trivial_boxes(metrics)
    if config.out:
        write_json(Path(config.out) / "metrics.json", metrics)


if __name__ == "__main__":
    run_script(main)
