"""Look inside a trained ConvNet: see `python analyse.py --help`."""

import sys
import time
from pathlib import Path
from shlex import quote

from deepinside.config import TASKS, AnalyseConfig, recipe_name
from deepinside.config.heeded import NOT_SCORED, WITHOUT_NET, check_heeded, heeds
from deepinside.config.help import analysis_help
from deepinside.config.looking import LocalisationConfig
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.folders import check_run, newest_run
from deepinside.launch import if_stopped, is_further_process, run_script
from deepinside.load_config import argument_value, given_value, load_config

RECIPES = Path(__file__).resolve().parent / "configs"
NOT_TAKEN = ("name", "out", "trainer")  # of a run's config.yaml: an analysis has its own

# Keys that one task or some have, and what may be given.
OWNERS = (
    ("classes", ("class_model",), "give all, or names, identifiers or indices"),
    (
        "images",
        ("saliency", "sanity", "relation", "localise"),
        "give photo.jpg, folder/*.jpg or folder, separated by commas",
    ),
    ("boxes", ("localise",), "give a folder of XML files, LOC_val_solution.csv or localization.txt"),
    ("predictions", ("localise",), "give predictions.csv or submission.txt"),
    ("runs", ("compare",), "give folders of runs, separated by commas: runs/a,runs/b"),
)


def main(arguments: list[str]) -> None:
    if {"--help", "-h"} & set(arguments):
        print(analysis_help(argument_value(arguments, "task")))
    elif given_value(AnalyseConfig, arguments, "task") == "report":  # of any folder of results, which need not be a run
        from deepinside.tasks.report import report_again

        config = load_config(AnalyseConfig, arguments, RECIPES)
        check_heeded("report", arguments)
        report_again(config)
    else:
        config = _configured(arguments)
        _check(config, arguments)
        _take_preset_whole(config, arguments)
        _start(config)


def _configured(arguments: list[str]) -> AnalyseConfig:
    """With run=, what is not given is as the run has it, and the net is its last checkpoint's."""
    given = given_value(AnalyseConfig, arguments, "run")
    run = newest_run(Path("runs")) if given == "latest" else Path(given) if given else None
    below = check_run(run, "run") / "config.yaml" if run else None
    # A preset that is asked for is taken whole: the run's or the recipe's own numbers do not mix into it.
    own = ["class_models"] if given_value(AnalyseConfig, arguments, "class_models.preset") else []
    config = load_config(AnalyseConfig, arguments, RECIPES, below, without=(*NOT_TAKEN, *own))
    config.run = str(run) if run else None
    if run:  # the classes that it began with were those of other weights, if any
        config.model.classes = given_value(AnalyseConfig, arguments, "model.classes")
        if given_value(AnalyseConfig, arguments, "model.weights") is None:
            config.model.weights = str(run / "checkpoints" / "last.ckpt")
    return config


def _take_preset_whole(config: AnalyseConfig, arguments: list[str]) -> None:
    """A localisation preset that is asked for comes without the blur that went with another one, and says so."""
    settings, plain = config.localisation, LocalisationConfig.blur
    asked = given_value(AnalyseConfig, arguments, "localisation.preset") is not None
    kept = not asked or given_value(AnalyseConfig, arguments, "localisation.blur") is not None
    looks = heeds(config.task or "", "localisation.blur") and not (config.boxes or config.predictions)
    if kept or not looks or settings.blur == plain:
        return
    owner = Path(config.run) / "config.yaml" if config.run else RECIPES / f"{recipe_name(config)}.yaml"
    if load_config(AnalyseConfig, [], RECIPES, owner, without=NOT_TAKEN).localisation.preset == settings.preset:
        return
    if not is_further_process():
        named = "the run" if config.run else f"configs/{owner.name}"
        print(f"localisation.blur={settings.blur} of {named} does not go with the preset asked for: {plain}")
    settings.blur = plain


def _check(config: AnalyseConfig, arguments: list[str]) -> None:
    """Raises UserError for what does not go with the task, or with each other."""
    if config.task is None:
        raise UserError(f"task is needed: one of {', '.join(TASKS)}")
    for key, owners, valid in OWNERS:
        if getattr(config, key) is not None and config.task not in owners:
            raise UserError(f"{key} belongs to task={' or '.join(owners)}, not to task={config.task}")
        if argument_value(arguments, key) == "":
            raise UserError(f"{key}= is empty: {valid}")
    without_net = config.boxes or config.predictions
    if without_net and config.images:
        raise UserError("images= are looked at with a net: boxes= and predictions= score files without one")
    if config.task == "compare" and config.run:
        raise UserError("task=compare takes runs=runs/a,runs/b, not run=")
    idle = NOT_SCORED if config.images else WITHOUT_NET if without_net else ()
    check_heeded(config.task, arguments, idle if config.task == "localise" else ())
    if config.model.weights == "none" and config.task not in ("compare", "doctor") and not without_net:
        raise UserError(
            "there is nothing to analyse: give run=DIR, run=latest, or model.name=... with model.weights=..."
        )


def _start(config: AnalyseConfig) -> None:
    if config.boxes or config.predictions:
        from deepinside.tasks.localise import score_files

        score_files(config)
    elif config.task == "compare":
        from deepinside.tasks.compare import compare_runs

        compare_runs(config)
    elif config.task == "doctor":
        from deepinside.tasks.doctor import examine

        if not examine(config):
            sys.exit(1)
    else:
        base = Path(config.run or Path("runs") / (config.name or config.model.name))
        analyse(config, Path(config.out) if config.out else base / str(config.task))


def analyse(config: AnalyseConfig, out: Path) -> None:
    # Imported here, since torch takes seconds: --help and the configuration's errors come at once.
    from lightning.pytorch import seed_everything
    from lightning.pytorch.utilities import rank_zero_only

    from callbacks.outcome_store import forget_outcomes
    from deepinside.classifier import Classifier
    from deepinside.models.build import build_convnet
    from deepinside.tasks.class_model import class_model, mean_image
    from deepinside.tasks.localise import localise
    from deepinside.tasks.pictures import relation, saliency, sanity
    from deepinside.tasks.report import leave_report

    started, say = time.time(), rank_zero_only(print)
    seed_everything(config.seed, workers=True, verbose=False)
    convnet = build_convnet(config.model, config.data, report=say)
    say(f"deepinside: {config.task} -> {out}\n{convnet.summary()}")
    tasks = {"class_model": class_model, "mean_image": mean_image, "saliency": saliency, "relation": relation}
    tasks |= {"sanity": sanity, "localise": localise}
    with if_stopped(lambda: _what_is_left(config.task or "", out)):
        metrics = tasks[config.task or ""](config, Classifier(convnet), out)
    if rank_zero_only.rank == 0:
        write_json(out / "metrics.json", metrics)
        forget_outcomes(out / "found")
        folders = [f"{name}/" for name in ("pictures", "films", "gallery") if any((out / name).glob("*"))]
        print(f"results: {out}   ({', '.join(['metrics.json', *folders])})")
        print(f"look:    tensorboard --logdir {quote(str(out))} --samples_per_plugin images=100")
        leave_report(out, started)


def _what_is_left(task: str, out: Path) -> str:
    """After Ctrl-C: an analysis replaces the earlier one of its folder when it begins, and has results at its end."""
    if (out / "metrics.json").exists():
        return f"task={task} had not begun, the earlier results in {out} are as they were"
    how = "goes on" if any((out / "found").glob("*")) else "starts anew"
    return f"task={task} had not come to its end, so {out} holds no complete results; the same command {how}"


if __name__ == "__main__":
    run_script(main)
