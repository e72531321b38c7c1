"""Train or fine-tune a ConvNet, watch what it looks at, and measure it: see `python train.py --help`."""

import time
from contextlib import nullcontext
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from deepinside.config import TrainConfig, recipe_name
from deepinside.config.heeded import check_training_heeds
from deepinside.config.help import training_help
from deepinside.config.options import options
from deepinside.endings import early_end, how_to_go_on
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.folders import END, check_out, check_run, clear_last_looks, clear_run, last_checkpoint, newest_run
from deepinside.launch import if_stopped, is_further_process, run_script
from deepinside.load_config import argument_value, given_value, load_config, save_config
from deepinside.result_tables import print_results
from deepinside.words import counted

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from deepinside.classifier import Classifier
    from deepinside.data.module import PictureData
    from deepinside.data.source import PictureSource
    from deepinside.models.convnet import ConvNet

LIMITS = ("limit_train_batches", "limit_val_batches")
RECIPES = Path(__file__).resolve().parent / "configs"
USAGE = """\
python train.py [config=FILE,...] [key=value ...]

  python train.py                                      ten shapes, drawn here: minutes on a CPU
  python train.py data.name=ilsvrc data.root=DIR       the paper's ConvNet on ImageNet
  python train.py data.name=folder data.root=DIR model.name=resnet18 model.weights=DEFAULT
                                                       fine-tune a torchvision ConvNet on your own pictures
  python train.py resume=runs/shapes                   go on where a run stopped; resume=latest: the newest one

Defaults that depend on what is trained come from configs/: shapes.yaml, imagenet.yaml, finetune.yaml."""


def main(arguments: list[str]) -> None:
    if {"--help", "-h"} & set(arguments):
        print(training_help(TrainConfig, USAGE))
        return
    resumed = argument_value(arguments, "resume")
    if "" in (argument_value(arguments, "name"), resumed):
        raise UserError("name= and resume= take a value: a name in runs/, and a folder or latest")
    run = newest_run(Path("runs"), "resume") if resumed == "latest" else Path(resumed) if resumed else None
    below = check_run(run, "resume") / "config.yaml" if run else None
    config = load_config(TrainConfig, arguments, RECIPES, below)
    check_training_heeds(arguments)
    moved = config.out or config.overwrite or given_value(TrainConfig, arguments, "name")
    if config.resume != resumed or (run and moved):
        raise UserError("resume=FOLDER stands on the command line, without out, name and overwrite: it is the same run")
    if run:
        config.resume = str(run)
        _check_unchanged(config, load_config(TrainConfig, [], RECIPES, below))
    _check(config)
    train(config)


def _check(config: TrainConfig) -> None:
    """Raises UserError for what cannot name a run, and for what cannot be learnt."""
    if not config.resume:
        if config.name and (Path(config.name).name != config.name or config.name == ".."):
            raise UserError(f"name={config.name} cannot name a folder in runs/: it must be without '/'")
        if "," in (config.out or config.name or ""):
            raise UserError("out= and name= are without commas, which part the runs of task=compare runs=A,B")
        if config.optim.freeze and config.model.weights == "none":
            raise UserError("optim.freeze=true needs model.weights=...: the layers that it freezes would stay random")
    for key in ("max_steps", *LIMITS):
        value = getattr(config.trainer, key)
        if value == 0 and not isinstance(value, bool):
            raise UserError(f"trainer.{key}=0: nothing can be learnt and judged without training and validation")
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if key in LIMITS and not (value is None or whole or (isinstance(value, float) and 0 < value <= 1)):
            raise UserError(f"trainer.{key}={value} must be a share in (0, 1] or a whole number of batches, at least 1")


def _check_unchanged(config: TrainConfig, before: TrainConfig) -> None:
    """The checkpoint holds the net and the optimiser's state: what made them stays. Says what else is new."""
    changes = []
    for key, _ in options(TrainConfig):
        was, now = map(attrgetter(key), (before, config))
        if now == was or key == "resume":
            continue
        moved = key in ("model.weights", "model.classes")  # a file may have
        if key.startswith(("model.", "optim.")) and not moved:
            raise UserError(
                f"{key} stays {was} in a run that is resumed, it cannot become {now}: name=... starts another run"
            )
        changes.append(f"{key}={now} (was {was})")
    if changes and not is_further_process():
        print(f"goes on with {', '.join(changes)}")


def train(config: TrainConfig) -> None:
    # Imported here, since torch takes seconds: --help and the configuration's errors come at once.
    from lightning.pytorch import seed_everything
    from lightning.pytorch.utilities import rank_zero_only

    from callbacks.gathering import gather
    from callbacks.training import training_callbacks
    from deepinside.classifier import Classifier
    from deepinside.data.module import PictureData
    from deepinside.models.build import build_convnet
    from deepinside.tasks.report import leave_report

    started, say = time.time(), rank_zero_only(print)
    name = config.name or f"{config.data.name}_{config.model.name}"
    out = Path(config.resume or config.out or f"runs/{name}")
    say(f"deepinside: {name} -> {out}   defaults: configs/{recipe_name(config)}.yaml, seed {config.seed}")

    if rank_zero_only.rank == 0:
        check_out(config, out)
    seed_everything(config.seed, workers=True, verbose=False)
    shows = config.trainer.enable_progress_bar and rank_zero_only.rank == 0
    pictures = _open_pictures(config, shows)
    tell = (lambda _: None) if config.resume else say  # of the file's weights, which the checkpoint's will replace
    convnet = build_convnet(config.model, config.data, pictures["train"].classes, tell)
    data = PictureData(config.data, convnet, **pictures, seed=config.seed)
    say(_summary(config, pictures, convnet))

    final = replace(config, name=name, out=None, resume=None, overwrite=False)
    measured, sanity, callbacks = training_callbacks(final, out, len(convnet.classes), pictures["val"].has_boxes, shows)
    trainer = _fit_and_test(config, final, out, Classifier(convnet, config.optim), data, callbacks, started)

    unreadable = sorted(set(gather(list(data.unreadable))))
    if trainer.is_global_zero:
        metrics = measured.results | {"classes": len(convnet.classes)}
        metrics |= {"sanity": sanity.results} if sanity.results else {}
        write_json(out / "metrics.json", metrics | {"unreadable": unreadable})
        _last_words(out, metrics, unreadable)
        leave_report(out, started, config.resume is not None)


def _fit_and_test(
    config: TrainConfig,
    final: TrainConfig,
    out: Path,
    module: "Classifier",
    data: "PictureData",
    callbacks: "list[Callback]",
    started: float,
) -> "Trainer":
    """The training and its measurement, in the run's folder. final: the configuration as the run keeps it."""
    from deepinside.checkpoint import first_lost_step, load_net
    from deepinside.provenance import FILE, provenance
    from deepinside.trainer import EventLogger, make_trainer

    resumed = last_checkpoint(out) if config.resume else None
    first = first_lost_step(resumed) if resumed else None
    if resumed:
        load_net(module, resumed)
    batches = max(1, len(data.train) // config.data.batch_size)  # small sets have a loss an epoch, too
    logged = replace(config.trainer, log_every_n_steps=min(config.trainer.log_every_n_steps, batches))
    trainer = make_trainer(logged, out, callbacks, own_samplers=True, lost_from=first)
    _check_shares(config, data, trainer.world_size)
    held = clear_run(config, out) if trainer.is_global_zero else nullcontext()

    def what_is_left() -> str:
        if trainer.is_global_zero:
            write_json(out / FILE, provenance(started, out if resumed else None))
        return how_to_go_on(out, trainer.max_epochs, measuring=trainer.state.fn == "test")

    with held, if_stopped(what_is_left):
        trainer.fit(module, data, ckpt_path=str(resumed) if resumed else None, weights_only=True)
        if trainer.is_global_zero:
            if told := early_end(trainer, config.trainer, first):
                print(told)
            save_config(final, out / "config.yaml")  # of a run that had nothing left to train, too
            clear_last_looks(out)
        trainer.strategy.barrier()
        trainer.loggers = [EventLogger(out, filename_suffix=END)]
        trainer.test(module, data, verbose=False)
    return trainer


def _check_shares(config: TrainConfig, data: "PictureData", processes: int) -> None:
    """Of batches, each at least one: Lightning tells it only when the run that is replaced is gone."""
    size = config.data.batch_size
    for key, source in zip(LIMITS, (data.train, data.val), strict=True):
        share = getattr(config.trainer, key)
        if source is data.train:  # padded over processes, the last batch dropped
            batches = max(1, -(-len(source) // processes) // size)
        else:  # of the process that has the fewest
            batches = max(1, -(-(len(source) // processes) // size))
        if isinstance(share, float) and share * batches < 1:
            raise UserError(f"trainer.{key}={share} of {counted(batches, 'batch', 'batches')} is less than one")


def _open_pictures(config: TrainConfig, shows: bool) -> "dict[str, PictureSource]":
    from deepinside.data.source import check_readable, open_split

    pictures = {split: open_split(config.data, split, config.seed, shows) for split in ("train", "val")}
    if len(pictures["train"].classes) < 2:
        raise UserError(
            f"{config.data.root} has one class, {pictures['train'].classes.ids[0]}: there is nothing to tell apart"
        )
    for source in pictures.values():
        check_readable(source)
    return pictures


def _summary(config: TrainConfig, pictures: "dict[str, PictureSource]", convnet: "ConvNet") -> str:
    train, val = pictures["train"], pictures["val"]
    lines = [f"{len(train)} training and {len(val)} validation pictures, {convnet.summary()}"]
    if getattr(val, "set_apart", False):
        lines.append(
            f"  every tenth picture of a class is set apart for validation: {config.data.root} has no train/ and val/"
        )
    if config.localisation.enabled and not val.has_boxes:
        lines.append("  the validation pictures have no boxes: classes are measured, boxes are not")
    return "\n".join(lines)


def _last_words(out: Path, metrics: dict[str, Any], unreadable: list[str]) -> None:
    print_results(metrics)
    if unreadable:
        print(f"{counted(len(unreadable), 'picture')} could not be read, left out; metrics.json has the names")
    folders = [f"{path.name}/" for path in sorted(out.iterdir()) if path.is_dir()]
    print(f"results: {out}   (metrics.json, {', '.join(folders)})")
    logs = out.parent if out.parent == Path("runs") else out  # runs/ holds nothing else
    print(f"look:    tensorboard --logdir {quote(str(logs))} --samples_per_plugin images=100")
    print(f"deeper:  python analyse.py task=class_model {quote(f'run={out}')} classes=all")


if __name__ == "__main__":
    run_script(main)
