"""task=class_model and task=mean_image (paper, section 2)."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks import ClassModels, MeanImage
from callbacks.class_model_pages import class_model_table
from callbacks.class_model_store import check_judge
from callbacks.gathering import spread
from callbacks.mean_image import load_mean_image
from deepinside.class_model_numbers import chosen_numbers, recipe
from deepinside.classifier import Classifier
from deepinside.config import AnalyseConfig, DataConfig, ModelConfig
from deepinside.data.picture import find_classes
from deepinside.data.source import open_split
from deepinside.errors import UserError
from deepinside.folders import last_checkpoint
from deepinside.launch import if_stopped
from deepinside.load_config import load_config
from deepinside.models.build import build_convnet
from deepinside.models.convnet import ConvNet
from deepinside.result_tables import print_table
from deepinside.tasks.analysis import enough, predict, shows, start
from deepinside.trainer import make_trainer
from deepinside.words import counted


def class_model(config: AnalyseConfig, module: Classifier, out: Path) -> dict[str, Any]:
    """Devices share the classes as predict batches."""
    settings, known = config.class_models, module.convnet.classes
    if settings.compare and settings.compare == chosen_numbers(vars(settings)).objective:
        raise UserError(f"class_models.compare={settings.compare} is what is maximised already: name the other one")
    classes = find_classes(config.classes, known) if config.classes else spread(settings.count, len(known))
    if not classes:
        raise UserError("task=class_model has no class to show: class_models.count=0; give classes=all or their names")
    judge = open_judge(config, module.convnet, classes)
    mean, shown = open_mean_image(config, module), config.trainer.enable_progress_bar
    callback = ClassModels(settings, out, classes=classes, mean_image=mean, judge=judge, progress=shown)
    trainer = make_trainer(enough(config.trainer, len(classes)), out, [callback], own_samplers=False)
    if trainer.world_size > len(classes):
        raise UserError(f"trainer.devices: {trainer.world_size} processes cannot share {len(classes)} classes")
    batches: DataLoader[Tensor] = DataLoader(torch.tensor(classes), batch_size=settings.batch or 32)  # type: ignore[arg-type]  # a tensor is a sequence of its rows
    start(config, out)
    if trainer.is_global_zero:
        print(f"{counted(len(classes), 'class', 'classes')}: {recipe(vars(settings))}", flush=True)
    with if_stopped(lambda: _how_many_are_kept(callback, classes)):
        trainer.predict(module, batches, return_predictions=False)
    if trainer.is_global_zero:
        print_table(class_model_table(callback.results), 160)
    return {"classes": callback.results, "recipe": recipe(vars(settings))}


def _how_many_are_kept(callback: ClassModels, classes: list[int]) -> str:
    """After Ctrl-C."""
    if (store := getattr(callback, "store", None)) is None:
        return "no class model was begun; the same command starts anew"
    kept = sum(all(store.load(index, objective) for objective in callback.objectives) for index in classes)
    rest = "goes on with the others" if kept < len(classes) else "draws them"
    return f"{kept} of {len(classes)} class models are kept in {store.folder}; the same command {rest}"


def open_judge(config: AnalyseConfig, convnet: ConvNet, classes: list[int]) -> ConvNet | None:
    """The other net that is asked whether it sees the classes, if one is named. Raises UserError."""
    settings = config.class_models
    if settings.judge is None:
        if settings.judge_name:
            raise UserError(f"class_models.judge_name={settings.judge_name} needs class_models.judge, its weights")
        return None
    try:
        judge = build_convnet(ModelConfig(settings.judge_name or config.model.name, settings.judge), DataConfig())
    except UserError as error:
        own = str(error).replace("model.weights", "class_models.judge").replace("model.name", "class_models.judge_name")
        raise UserError(own) from None
    check_judge(judge, convnet, classes)
    return judge


def mean_image_file(config: AnalyseConfig) -> Path | None:
    """Beside the run's checkpoints, if what is analysed is the run's own net on the run's own data."""
    if config.run is None:
        return None
    own = load_config(AnalyseConfig, [], Path(), Path(config.run) / "config.yaml", without=("name", "out", "trainer"))
    own.model.weights = str(last_checkpoint(Path(config.run)))
    own.model.classes = None
    same = own.model == config.model and own.seed == config.seed
    for key in ("name", "root", "resize", "crop", "shapes_train"):
        same = same and getattr(own.data, key) == getattr(config.data, key)
    return Path(config.run) / "checkpoints" / "mean_image.pt" if same else None


def open_mean_image(config: AnalyseConfig, module: Classifier) -> Tensor | None:
    """The one that is named, else the run's own where there is one."""
    named, own = config.class_models.mean_image, mean_image_file(config)
    if named is None and (own is None or not own.is_file()):
        return None
    return load_mean_image(Path(named) if named else cast(Path, own), module.convnet.preprocessing.crop)


def mean_image(config: AnalyseConfig, module: Classifier, out: Path) -> dict[str, Any]:
    """Of the training split's centre crops."""
    source = open_split(config.data, "train", config.seed, shows(config))
    own = mean_image_file(config) if config.data.limit is None else None
    callback = MeanImage(own or out / "mean_image.pt", out)
    unreadable = predict(config, module, out, callback, source, config.data)
    return callback.results | {"unreadable": unreadable}
