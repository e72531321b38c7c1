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
    print_trivial_boxes,
    run_script,
    write_json,
)
from deepinside.load_config import argument_value, load_config, save_config

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from torch import Tensor

    from deepinside.classifier import Classifier
    from deepinside.data.module import PictureSource
    from deepinside.models.convnet import ConvNet

RECIPES = Path(__file__).resolve().parent / "configs"
MARK = ".deepinside"  # lies in every folder that an analysis made: only there is anything deleted
MADE = ("events.out.tfevents.*", "*.png", "pictures/*.png", "films/*.png", "gallery/*.png", "metrics.json")
MADE += ("predictions.csv", "submission.txt")  # not found/: class models resume from it
USAGE = """\
python analyse.py task=TASK [run=DIR|latest] [config=FILE,...] [key=value ...]

{tasks}

  python analyse.py task=class_model run=latest classes=all
  python analyse.py task=saliency model.name=resnet18 model.weights=DEFAULT images=photo.jpg,holidays/*.jpg
  python analyse.py task=relation run=latest
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
    # A preset that is asked for is taken whole: the run's or the recipe's own numbers do not mix into it.
    own = ["class_models"] if argument_value(arguments, "class_models.preset") else []
    config = load_config(AnalyseConfig, arguments, RECIPES, below, without=("name", "out", "trainer", *own))
    if config.task is None:
        raise UserError(f"task is needed: one of {', '.join(TASKS)}")
    config.run = str(run) if run else None
    if run and argument_value(arguments, "model.weights") is None:
        config.model.weights = str(run / "checkpoints" / "last.ckpt")
    for key, owners, valid in (
        ("classes", ["class_model"], "give all, or names, identifiers or indices"),
        ("images", ["saliency", "relation"], "give photo.jpg, folder/*.jpg or folder, separated by commas"),
        ("boxes", ["localise"], "give a folder of XML files, LOC_val_solution.csv or localization.txt"),
        ("predictions", ["localise"], "give predictions.csv or submission.txt"),
    ):
        if getattr(config, key) is not None and config.task not in owners:
            raise UserError(f"{key} belongs to task={' and '.join(owners)}, not to task={config.task}")
        if argument_value(arguments, key) == "":
            raise UserError(f"{key}= is empty: {valid}")
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
    tasks = {"class_model": class_model, "mean_image": mean_image, "saliency": saliency, "relation": relation}
    tasks["localise"] = localise
    metrics = tasks[config.task or ""](config, Classifier(convnet), out)
    if rank_zero_only.rank == 0:
        write_json(out / "metrics.json", metrics)
        folders = [f"{name}/" for name in ("pictures", "films", "gallery") if any((out / name).glob("*"))]
        print(f"results: {out}   ({', '.join(['metrics.json', *folders])})")
        print(f"look:    tensorboard --logdir {out} --samples_per_plugin images=100")


def start(config: AnalyseConfig, out: Path) -> None:
    """When everything is checked: an analysis that is made again replaces itself, and nothing else."""
    from lightning.pytorch.utilities import rank_zero_only

    if rank_zero_only.rank != 0:
        return
    make_folder(out)
    if config.out and any(out.iterdir()) and not (out / MARK).exists():
        raise UserError(f"out={out} holds files that no analysis made: give an empty or a new folder")
    (out / MARK).touch()
    for old in [file for pattern in MADE for file in out.glob(pattern)]:
        old.unlink()
    save_config(config, out / "config.yaml")


def enough(trainer: TrainerConfig, items: int) -> TrainerConfig:
    """One device for a handful of things: a process with nothing to do would stop the others."""
    return replace(trainer, devices=1) if trainer.devices == "auto" and items < 64 else trainer


def class_model(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Devices share the classes as predict batches."""
    import torch
    from torch.utils.data import DataLoader

    from callbacks import ClassModels, spread
    from callbacks.class_model_pages import class_model_table
    from callbacks.class_model_store import chosen_numbers
    from deepinside.data.picture import find_classes

    settings, known = config.class_models, module.convnet.classes
    if settings.compare and settings.compare == chosen_numbers(settings).objective:
        raise UserError(f"class_models.compare={settings.compare} is what is maximised already: name the other one")
    classes = find_classes(config.classes, known) if config.classes else spread(settings.count, len(known))
    shows = config.trainer.enable_progress_bar
    judge = open_judge(config, module.convnet, classes)
    callback = ClassModels(
        settings, classes, out, mean_image=open_mean_image(config, module), judge=judge, progress=shows
    )
    quiet = replace(enough(config.trainer, len(classes)), enable_progress_bar=False)  # the callback has its own
    trainer = make_trainer(quiet, out, [callback], own_samplers=False)
    if trainer.world_size > len(classes):
        raise UserError(f"trainer.devices: {trainer.world_size} processes cannot share {len(classes)} classes")
    batches = DataLoader(torch.tensor(classes), batch_size=settings.batch or 32)
    start(config, out)
    trainer.predict(module, batches, return_predictions=False)
    if trainer.is_global_zero:
        print_table(class_model_table(callback.results), 160)
    return {"classes": callback.results}


def open_judge(config: AnalyseConfig, convnet: "ConvNet", classes: list[int]) -> "ConvNet | None":
    from callbacks.class_model_store import check_judge
    from deepinside.models.build import build_convnet

    settings = config.class_models
    if settings.judge is None:
        if settings.judge_name:
            raise UserError(f"class_models.judge_name={settings.judge_name} needs class_models.judge, its weights")
        return None
    judge = build_convnet(ModelConfig(settings.judge_name or config.model.name, settings.judge), DataConfig())
    check_judge(judge, convnet, classes)
    return judge


def mean_image_file(config: AnalyseConfig) -> Path | None:
    """Beside the run's checkpoints, if what is analysed is the run's own net on the run's own data."""
    if config.run is None:
        return None
    own = load_config(AnalyseConfig, [], RECIPES, Path(config.run) / "config.yaml", without=("name", "out", "trainer"))
    own.model.weights = str(Path(config.run) / "checkpoints" / "last.ckpt")
    same = own.model == config.model and own.seed == config.seed
    for key in ("name", "root", "resize", "crop", "shapes_train"):
        same = same and getattr(own.data, key) == getattr(config.data, key)
    return Path(config.run) / "checkpoints" / "mean_image.pt" if same else None


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
    own = mean_image_file(config) if config.data.limit is None else None
    callback = MeanImage(own or out / "mean_image.pt", out)
    data = PictureData(config.data, module.convnet, val=source)
    trainer = make_trainer(
        enough(config.trainer, len(source)),
        out,
        [callback, *progress(config.trainer.enable_progress_bar)],
        own_samplers=True,
    )
    start(config, out)
    trainer.predict(module, data, return_predictions=False)
    return callback.results | {"unreadable": sorted(gather(list(data.unreadable)))}


def saliency(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    from callbacks import SaliencyMaps
    from callbacks.saliency_maps import check_method

    check_method(module.convnet, config.saliency.method)
    callback = SaliencyMaps(config.saliency, out)
    unreadable = look_at_pictures(config, module, out, callback, config.saliency.images)
    return {"pictures": callback.results, "unreadable": unreadable}


def relation(config: AnalyseConfig, module: "Classifier", out: Path) -> dict[str, Any]:
    """Of the photographs `images`, or of pictures spread over the validation split."""
    from lightning.pytorch.utilities import rank_zero_only

    from callbacks import Relation
    from callbacks.relation import relation_table

    callback = Relation(out)
    unreadable = look_at_pictures(config, module, out, callback, config.relation.images)
    if callback.results and rank_zero_only.rank == 0:
        print_table(relation_table(callback.results), 110)
    return callback.results | {"unreadable": unreadable}


def look_at_pictures(
    config: AnalyseConfig, module: "Classifier", out: Path, callback: "Callback", count: int
) -> list[str]:
    """Runs predict over `images`, or `count` of the validation split; returns which pictures were unreadable."""
    from callbacks import gather, progress, spread
    from deepinside.data.chosen import ChosenPictures
    from deepinside.data.folder import PictureFiles
    from deepinside.data.module import PictureData, open_split

    if config.images:
        source: PictureSource = PictureFiles(config.images.split(","), module.convnet.classes)
    else:
        split = open_split(config.data, "val", config.seed)
        source = ChosenPictures(split, spread(count, len(split)))
    if not len(source):
        raise UserError(f"task={config.task} has no pictures to look at: {config.task}.images={count}")
    data = PictureData(config.data, module.convnet, val=source)
    trainer = make_trainer(
        enough(config.trainer, len(source)),
        out,
        [callback, *progress(config.trainer.enable_progress_bar)],
        own_samplers=True,
    )
    start(config, out)
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
    start(config, out)
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
