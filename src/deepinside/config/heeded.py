"""Which keys a task heeds: `--help` shows them, and others are refused on the command line."""

from collections.abc import Sequence

from deepinside.errors import UserError

DEVICES = tuple(f"trainer.{key}" for key in ("accelerator", "devices", "num_nodes", "strategy", "precision"))
SHARED = ("task", "run", "name", "out", "seed", "model.", *DEVICES, "trainer.enable_progress_bar")
PICTURES = tuple(
    f"data.{key}" for key in ("name", "root", "limit", "batch_size", "workers", "resize", "crop", "shapes_val")
)
CUT = tuple(f"localisation.{key}" for key in ("preset", "blur", "blacklist"))
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
LOOKING_ONLY = tuple(f"class_models.{key}" for key in ("compare", "judge", "judge_name", "mean_image"))

# Of each task: `data.limit` is one key, `data.` a section's all but those that `-data.limit` takes away.
HEEDED: dict[str, tuple[str, ...]] = {
    "class_model": (*SHARED, "classes", "data.crop", "class_models."),
    "saliency": (*SHARED, "images", *PICTURES, "saliency."),
    "mean_image": (*SHARED, *PICTURES, "data.shapes_train"),
    "sanity": (*SHARED, "images", *PICTURES, "sanity.", "saliency.", "-saliency.images", *CUT),
    "relation": (*SHARED, "images", *PICTURES, "relation."),
    "localise": (*SHARED, "images", "boxes", "predictions", *PICTURES, "localisation."),
    "compare": ("task", "runs", "out", "trainer.enable_progress_bar"),
    "report": ("task", "run"),
    "doctor": ("task", "run", "out", "data.name", "data.root", "model.", "doctor.", "trainer.enable_progress_bar"),
}


def heeds(task: str, key: str, idle: Sequence[str] = ()) -> bool:
    """Whether a key has an effect on the task. idle: what has none as it is asked, as in HEEDED, each with a `-`."""
    patterns = (*HEEDED[task], *TRAINING_ONLY, *idle)
    taken_away = any(_fits(key, pattern[1:]) for pattern in patterns if pattern.startswith("-"))
    return not taken_away and any(_fits(key, pattern) for pattern in patterns)


def check_heeded(task: str, arguments: Sequence[str], idle: Sequence[str] = ()) -> None:
    """Raises UserError for the first of the `key=value`s that the task does not heed; idle: as for `heeds`."""
    for key in (argument.partition("=")[0] for argument in arguments):
        if key != "config" and not heeds(task, key, idle):
            here = " as it is asked here" if heeds(task, key) else ""
            raise UserError(f"{key} has no effect on task={task}{here}; python analyse.py task={task} --help: what has")


def check_training_heeds(arguments: Sequence[str]) -> None:
    """Raises UserError for the first of the `key=value`s that is of use to analyse.py alone."""
    for key in (argument.partition("=")[0] for argument in arguments):
        if key in LOOKING_ONLY:
            raise UserError(f"{key} has no effect on training; python analyse.py task=class_model run=... heeds it")


def _fits(key: str, pattern: str) -> bool:
    return key.startswith(pattern) if pattern.endswith(".") else key == pattern
