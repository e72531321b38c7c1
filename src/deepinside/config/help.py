"""What `--help` shows: for train.py every key by section, for analyse.py the tasks, each with the keys it heeds."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deepinside.config import TASKS, AnalyseConfig
from deepinside.config.options import as_typed, default_of, options
from deepinside.errors import UserError, did_you_mean

SECTIONS = {
    "": "What is done, and where it goes",
    "data": "The pictures",
    "model": "The ConvNet and its weights",
    "optim": "The optimiser",
    "trainer": "Devices and loops, as Lightning's Trainer takes them",
    "monitor": "What monitoring may cost",
    "class_models": "Class models (paper, section 2)",
    "saliency": "Saliency maps (paper, section 3.1)",
    "localisation": "Boxes (paper, section 3.2)",
    "sanity": "Whether maps depend on what was learnt",
    "relation": "DeconvNet against back-prop (paper, section 4)",
    "doctor": "How closely the data are looked at",
}
LAST = ("name", "out", "seed")
DEVICES = tuple(f"trainer.{key}" for key in ("accelerator", "devices", "num_nodes", "strategy", "precision"))
SHARED = ("task", "run", *LAST, "model.", *DEVICES, "trainer.enable_progress_bar")
PICTURES = tuple(
    f"data.{key}" for key in ("name", "root", "limit", "batch_size", "workers", "resize", "crop", "shapes_val")
)


@dataclass(frozen=True)
class TaskHelp:
    """What a task does, commands to begin with, and the keys it heeds: `data.limit` one, `data.` a section's all but
    those that `-data.limit` takes away."""

    about: str
    examples: tuple[str, ...]
    keys: tuple[str, ...]


CUT = ("localisation.preset", "localisation.blur")
# Of task=localise: with images=, and with boxes= or predictions=.
NOT_SCORED = tuple(f"-localisation.{key}" for key in ("workers", "gallery", "kept", "blacklist", "label_ids"))
WITHOUT_NET = (
    *("-run", "-model.", *(f"-data.{key}" for key in ("batch_size", "workers", "resize", "crop"))),
    *(f"-localisation.{key}" for key in ("preset", "repeat_classes", "blur", "workers", "pictures", "gallery", "kept")),
)
TRAINING_ONLY = (
    *(f"-{section}.{key}" for section in ("class_models", "saliency", "localisation") for key in ("every", "unit")),
    *("-class_models.look_steps", "-class_models.warm_start", "-localisation.images", "-localisation.enabled"),
)
LOOKING_ONLY = tuple(f"-class_models.{key}" for key in ("compare", "judge", "judge_name", "mean_image"))

TASK_HELP = {
    "class_model": TaskHelp(
        "Climbs from the zero image to the picture I that maximises S_c(I) - lambda ||I||^2, for any number of "
        "classes. Each class is kept as soon as it is found: the same command goes on after an interruption. Leaves "
        "pictures, film strips, traces and a sheet, in the folder and in TensorBoard.",
        (
            "task=class_model run=latest classes=all",
            "task=class_model model.name=alexnet model.weights=DEFAULT classes=goose,ostrich,n02056570",
            "task=class_model run=latest class_models.preset=natural class_models.compare=softmax",
        ),
        (*SHARED, "classes", "data.crop", "class_models."),
    ),
    "saliency": TaskHelp(
        "The gradient of the class score at each pixel, of photographs or of the validation split: one back-prop pass, "
        "or another of `saliency.method`.",
        (
            "task=saliency model.name=resnet18 model.weights=DEFAULT images=photo.jpg,holidays/*.jpg",
            "task=saliency run=latest saliency.images=16 saliency.method=guided",
        ),
        (*SHARED, "images", *PICTURES, "saliency."),
    ),
    "mean_image": TaskHelp(
        "Averages the training pictures' centre crops, once; class models of the run are shown on it from then on.",
        ("task=mean_image run=latest",),
        (*SHARED, *PICTURES, "data.shapes_train"),
    ),
    "sanity": TaskHelp(
        "Randomises a copy of the net's weights from the last layer down and tells how much of the saliency maps, and "
        "of the boxes cut from them, stays (Adebayo et al. 2018): what stays does not depend on what was learnt.",
        ("task=sanity run=latest", "task=sanity run=latest saliency.method=guided sanity.stages=4"),
        (*SHARED, "images", *PICTURES, "sanity.", "saliency.", "-saliency.images", *CUT, "localisation.blacklist"),
    ),
    "relation": TaskHelp(
        "Reconstructs pictures from every layer by DeconvNet and by the gradient and tells, layer by layer, where the "
        "two are the same and where the ReLU parts them.",
        ("task=relation run=latest", "task=relation model.name=vgg16 model.weights=DEFAULT images=photo.jpg"),
        (*SHARED, "images", *PICTURES, "relation."),
    ),
    "localise": TaskHelp(
        "Five classes and a box for each from saliency and GraphCut, no box having been learnt from, scored by "
        "ILSVRC's rules beside boxes that know nothing; each picture is kept as soon as it is measured: the same "
        "command goes on after an interruption. In photographs (images=) boxes are found and not scored. With boxes="
        " or predictions= it scores files, without a net.",
        (
            "task=localise run=latest",
            "task=localise data.name=ilsvrc data.root=DIR model.name=vgg16 model.weights=DEFAULT "
            "localisation.preset=best",
            "task=localise model.name=vgg16 model.weights=DEFAULT localisation.preset=best images=photo.jpg",
            "task=localise predictions=predictions.csv boxes=LOC_val_solution.csv",
            "task=localise boxes=Annotations/CLS-LOC/val",
        ),
        (*SHARED, "images", "boxes", "predictions", *PICTURES, "localisation."),
    ),
    "compare": TaskHelp(
        "Runs that were measured on the same pictures: what of their configurations differs, their measures with the "
        "paired difference to the first run, where they disagree, side by side.",
        ("task=compare runs=runs/a,runs/b", "task=compare runs=runs/a,runs/b,runs/c out=runs/a_b_c"),
        ("task", "runs", "out", "trainer.enable_progress_bar"),
    ),
    "report": TaskHelp(
        "Makes report.html of a run or an analysis anew from the files in its folder. Every run and analysis leaves "
        "one at its end by itself.",
        ("task=report run=latest", "task=report run=runs/shapes/localise"),
        ("task", "run"),
    ),
    "doctor": TaskHelp(
        "Looks at your pictures, your machine and your weights, and says in one table what it found and how to mend "
        "it. Exit code 1 if something blocks, else 0; with out=DIR also doctor.json.",
        (
            "task=doctor data.root=DIR",
            "task=doctor data.root=DIR data.name=ilsvrc model.name=vgg16 model.weights=DEFAULT",
            "task=doctor",
        ),
        ("task", "run", "out", "data.name", "data.root", "model.", "doctor.", "trainer.enable_progress_bar"),
    ),
}

OVERVIEW = """\
python analyse.py task=TASK [run=DIR|latest] [config=FILE,...] [key=value ...]

{tasks}

{examples}

  python analyse.py task=TASK --help                           # one task: more examples, its keys alone

What you do not give comes from the run's config.yaml with run=, else from configs/ (finetune.yaml for a net with
weights: class_models.preset=natural); what those leave open is as below."""


def training_help(schema: type, usage: str) -> str:
    """The keys that train.py heeds, by section."""
    return f"{usage}\n{_keys(schema, (*(key for key, _ in options(schema)), *LOOKING_ONLY))}"


def check_training_heeds(arguments: Sequence[str]) -> None:
    """Raises UserError for the first of the `key=value`s that is of use to analyse.py alone."""
    for key in (argument.partition("=")[0] for argument in arguments):
        if f"-{key}" in LOOKING_ONLY:
            raise UserError(f"{key} has no effect on training; python analyse.py task=class_model run=... heeds it")


def analysis_help(task: str | None) -> str:
    """The overview of the tasks with every key; of one task its own. Raises UserError for an unknown task."""
    if task is None:
        tasks = "\n".join(f"  task={name:<12} {about}" for name, about in TASKS.items())
        examples = "\n".join(_example(TASK_HELP[name].examples[0]) for name in TASKS)
        return f"{OVERVIEW.format(tasks=tasks, examples=examples)}\n{_keys(AnalyseConfig, None)}"
    if task not in TASKS:
        raise UserError(f"config error: task={task} is not one of {', '.join(TASKS)}{did_you_mean(task, TASKS)}")
    told = TASK_HELP[task]
    about = "\n".join(textwrap.wrap(told.about, 100))
    examples = "\n".join(map(_example, told.examples))
    keys = _keys(AnalyseConfig, (*told.keys, *TRAINING_ONLY))
    return f"task={task}: {TASKS[task]}\n\n{about}\n\n{examples}\n{keys}"


def check_heeded(task: str, arguments: Sequence[str], idle: Sequence[str] = ()) -> None:
    """Raises UserError for the first of the `key=value`s that the task does not heed. idle: what else it does not heed
    as it is asked, as in `TaskHelp.keys`, each with a `-`."""
    for key in (argument.partition("=")[0] for argument in arguments):
        if key != "config" and not heeds(task, key, idle):
            here = " as it is asked here" if heeds(task, key) else ""
            raise UserError(f"{key} has no effect on task={task}{here}; python analyse.py task={task} --help: what has")


def heeds(task: str, key: str, idle: Sequence[str] = ()) -> bool:
    """Whether a key has an effect on the task; idle: as for `check_heeded`."""
    return _heeded(key, (*TASK_HELP[task].keys, *TRAINING_ONLY, *idle))


def _example(arguments: str) -> str:
    return f"  python analyse.py {arguments}"


def _keys(schema: type, wanted: Sequence[str] | None) -> str:
    """`key=default  # help`, a heading above each section."""
    shown = [(key, f) for key, f in options(schema) if wanted is None or _heeded(key, wanted)]
    by_section: dict[str, list[str]] = {"": []}
    for key, f in sorted(shown, key=lambda item: item[0] in LAST):  # stable: the others stay where they are
        lines = _hanging(f"  {f'{key}={as_typed(default_of(f))}':<42} # ", f.metadata["doc"])
        by_section.setdefault(key.rpartition(".")[0], []).extend(lines)
    parts = [["", f"{SECTIONS.get(name, name)}:", *lines] for name, lines in by_section.items()]
    return "\n".join(line for part in parts for line in part)


def _hanging(head: str, doc: str) -> list[str]:
    """On a terminal, long help goes on below itself; elsewhere, where one searches it, a key is a line."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if width < len(head) + 30:
        return [head + doc]
    first, *more = textwrap.wrap(doc, width - len(head))
    return [head + first, *(" " * (len(head) - 2) + "# " + line for line in more)]


def _heeded(key: str, patterns: Iterable[str]) -> bool:
    def fits(pattern: str) -> bool:
        return key.startswith(pattern) if pattern.endswith(".") else key == pattern

    taken_away = any(fits(pattern[1:]) for pattern in patterns if pattern.startswith("-"))
    return not taken_away and any(fits(pattern) for pattern in patterns)
