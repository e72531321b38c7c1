"""What `--help` shows: for train.py its keys by section, for analyse.py the tasks, each with the keys it heeds."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from deepinside.config import TASKS, AnalyseConfig
from deepinside.config.heeded import LOOKING_ONLY, heeds
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


@dataclass(frozen=True)
class TaskHelp:
    """What a task does, and commands to begin with."""

    about: str
    examples: tuple[str, ...]


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
    ),
    "saliency": TaskHelp(
        "The gradient of the class score at each pixel, of photographs or of the validation split: one back-prop pass, "
        "or another of `saliency.method`.",
        (
            "task=saliency model.name=resnet18 model.weights=DEFAULT images=photo.jpg,holidays/*.jpg",
            "task=saliency run=latest saliency.images=16 saliency.method=guided",
        ),
    ),
    "mean_image": TaskHelp(
        "Averages the training pictures' centre crops, once; class models of the run are shown on it from then on.",
        ("task=mean_image run=latest",),
    ),
    "sanity": TaskHelp(
        "Randomises a copy of the net's weights from the last layer down and tells how much of the saliency maps, and "
        "of the boxes cut from them, stays (Adebayo et al. 2018): what stays does not depend on what was learnt.",
        ("task=sanity run=latest", "task=sanity run=latest saliency.method=guided sanity.stages=4"),
    ),
    "relation": TaskHelp(
        "Reconstructs pictures from every layer by DeconvNet and by the gradient and tells, layer by layer, where the "
        "two are the same and where the ReLU parts them.",
        ("task=relation run=latest", "task=relation model.name=vgg16 model.weights=DEFAULT images=photo.jpg"),
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
    ),
    "compare": TaskHelp(
        "Runs that were measured on the same pictures: what of their configurations differs, their measures with the "
        "paired difference to the first run, where they disagree, side by side.",
        ("task=compare runs=runs/a,runs/b", "task=compare runs=runs/a,runs/b,runs/c out=runs/a_b_c"),
    ),
    "report": TaskHelp(
        "Makes report.html of a run or an analysis anew from the files in its folder. Every run and analysis leaves "
        "one at its end by itself.",
        ("task=report run=latest", "task=report run=runs/shapes/localise"),
    ),
    "doctor": TaskHelp(
        "Looks at your pictures, your machine and your weights, and says in one table what it found and how to mend "
        "it. Exit code 1 if something blocks, else 0; with out=DIR also doctor.json.",
        (
            "task=doctor data.root=DIR",
            "task=doctor data.root=DIR data.name=ilsvrc model.name=vgg16 model.weights=DEFAULT",
            "task=doctor",
        ),
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
    return f"{usage}\n{_keys(schema, lambda key: key not in LOOKING_ONLY)}"


def analysis_help(task: str | None) -> str:
    """The overview of the tasks with every key; of one task its own. Raises UserError for an unknown task."""
    if task is None:
        tasks = "\n".join(f"  task={name:<12} {about}" for name, about in TASKS.items())
        examples = "\n".join(_example(TASK_HELP[name].examples[0]) for name in TASKS)
        return f"{OVERVIEW.format(tasks=tasks, examples=examples)}\n{_keys(AnalyseConfig, lambda key: True)}"
    if task not in TASKS:
        raise UserError(f"config error: task={task} is not one of {', '.join(TASKS)}{did_you_mean(task, TASKS)}")
    told = TASK_HELP[task]
    about = "\n".join(textwrap.wrap(told.about, 100))
    examples = "\n".join(map(_example, told.examples))
    keys = _keys(AnalyseConfig, partial(heeds, task))
    return f"task={task}: {TASKS[task]}\n\n{about}\n\n{examples}\n{keys}"


def _example(arguments: str) -> str:
    return f"  python analyse.py {arguments}"


def _keys(schema: type, wanted: Callable[[str], bool]) -> str:
    """`key=default  # help`, a heading above each section."""
    shown = [(key, f) for key, f in options(schema) if wanted(key)]
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
