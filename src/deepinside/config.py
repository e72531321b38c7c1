"""The configuration of both scripts: dataclasses, one line of help a field. `load_config` fills them.

Nothing here imports torch: `--help` is instant.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, cast

TASKS = {
    "class_model": "the picture that maximises a class score (paper, section 2)",
    "saliency": "where a picture supports its class (paper, section 3.1)",
    "mean_image": "the training pictures' mean, which class models are shown on; kept in the run's checkpoints/",
    "relation": "DeconvNet against back-prop, layer by layer and side by side (paper, section 4)",
    "localise": "boxes by GraphCut, scored by ILSVRC's rules (paper, section 3.2)",
}


def option(default: Any, doc: str, choices: Sequence[str] = (), low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field with its help line and its valid values."""
    metadata = {"doc": doc, "choices": tuple(choices), "low": low, "high": high}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(schema: type) -> Any:
    return field(default_factory=schema)


@dataclass
class DataConfig:
    name: str = option("shapes", "shapes (drawn here), ilsvrc (CLS-LOC tree), folder", ("shapes", "ilsvrc", "folder"))
    root: str | None = option(None, "folder of the pictures, for ilsvrc and folder")
    batch_size: int = option(128, "pictures in a training batch of one device", low=1)
    workers: int | None = option(
        None, "loading processes a device; null: 0 for shapes, else up to 8 of the CPUs", low=0
    )
    limit: int | None = option(None, "use only the first N pictures of each split", low=1)
    resize: int | None = option(None, "short side of the whole picture; null: what the weights ask for", low=8)
    crop: int | None = option(None, "side of the crops the ConvNet sees; null: what the weights ask for", low=8)
    colour_noise: float = option(0.1, "PCA colour noise while training: standard deviation", low=0)
    contrast: list[float] = option([1.0, 1.0], "contrast while training: factor drawn from [low, high]", low=0)
    noise: float = option(
        0.0, "Gaussian noise while training: its sigma is drawn from [0, noise], pixels in [0, 1]", low=0
    )
    erase: float = option(0.5, "probability of zeroing-out a random part while training", low=0, high=1)
    shapes_train: int = option(12000, "training pictures drawn (shapes)", low=1)
    shapes_val: int = option(1000, "validation pictures drawn (shapes)", low=1)


@dataclass
class ModelConfig:
    name: str = option("simonyan2013", "simonyan2013, shapes_convnet, or a torchvision classification net")
    weights: str = option(
        "none", "none, a torchvision weights name (DEFAULT), a state_dict file, one of our checkpoints"
    )
    num_classes: int | None = option(
        None, "outputs; null: the data's classes (train.py), the weights' (analyse.py)", low=1
    )
    mean: list[float] | None = option(
        None, "channel means of the input in [0, 1]; null: they come with the weights", low=0
    )
    std: list[float] | None = option(
        None, "channel deviations of the input; null: they come with the weights", low=1e-6
    )


@dataclass
class TrainerConfig:
    accelerator: str = option("auto", "cpu, gpu, auto, ...: every field here goes to Lightning's Trainer")
    devices: Any = option("auto", "how many devices, or which")
    num_nodes: int = option(1, "machines", low=1)
    strategy: str = option("auto", "ddp, auto, ...")
    precision: str = option("32-true", "32-true, 16-mixed, bf16-mixed", ("32-true", "16-mixed", "bf16-mixed"))
    max_epochs: int = option(90, "epochs", low=1)
    max_steps: int = option(-1, "stop after so many optimiser steps; -1: no limit", low=-1)
    max_time: str | None = option(None, "stop after DD:HH:MM:SS")
    accumulate_grad_batches: int = option(1, "batches in an optimiser step", low=1)
    gradient_clip_val: float | None = option(None, "clip the gradient's norm", low=0)
    check_val_every_n_epoch: int = option(1, "validate every so many epochs", low=1)
    limit_train_batches: Any = option(1.0, "share (float) or number (int) of training batches")
    limit_val_batches: Any = option(1.0, "share or number of validation batches")
    num_sanity_val_steps: int = option(0, "validation batches tried before training", low=-1)
    log_every_n_steps: int = option(10, "training steps between two logged values", low=1)
    deterministic: bool = option(False, "insist on deterministic algorithms")
    benchmark: bool | None = option(None, "let cuDNN measure its algorithms")
    sync_batchnorm: bool = option(False, "one BatchNorm over all devices")
    profiler: str | None = option(None, "simple, advanced, pytorch")
    enable_progress_bar: bool = option(True, "show progress")


@dataclass
class OptimConfig:
    lr: float = option(0.01, "learning rate of SGD", low=0)
    momentum: float = option(0.9, "momentum of SGD", low=0, high=1)
    nesterov: bool = option(False, "Nesterov's momentum")
    weight_decay: float = option(5e-4, "L2 penalty of SGD; the gradient gets weight_decay * w", low=0)
    schedule: str = option("plateau", "plateau, step, cosine", ("plateau", "step", "cosine"))
    factor: float = option(0.1, "what plateau and step multiply the rate by", low=0, high=0.999)
    patience: int = option(5, "plateau: validations without a better top-1 error before a drop", low=0)
    step_epochs: int = option(30, "step: epochs between two drops", low=1)
    warmup_epochs: float = option(0.0, "epochs in which the rate grows linearly from 0 (cosine)", low=0)
    freeze: bool = option(False, "train the head alone")


@dataclass
class ClassModelsConfig:
    every: int = option(
        0, "epochs between two class-model sheets in TensorBoard while training; 0: only at the end", low=0
    )
    count: int = option(10, "classes shown by train.py, spread over the class list; 0: none", low=0)
    preset: str = option(
        "paper",
        "paper; beyond it: fourier, the same objective climbed in Fourier space; natural, random views and smoothness",
        ("paper", "fourier", "natural"),
    )
    parameterisation: str | None = option(
        None, "pixels (paper) or fourier; from here to patience, null: the preset's", ("pixels", "fourier")
    )
    decay: float | None = option(None, "fourier: scales fall with frequency ** -decay", low=0)
    objective: str | None = option(
        None, "what is maximised: score (paper), softmax, log_softmax", ("score", "softmax", "log_softmax")
    )
    lam: float | None = option(None, "lambda of lambda * ||I||_2^2, I mean-subtracted in 0..255", low=0)
    tv: float | None = option(None, "beyond the paper: weight of the total variation", low=0)
    jitter: int | None = option(None, "beyond the paper: random shift each step, pixels", low=0)
    scale: float | None = option(None, "beyond the paper: random zoom each step, 1 +- scale", low=0, high=0.9)
    rotate: float | None = option(None, "beyond the paper: random turn each step, degrees", low=0)
    blur: float | None = option(None, "beyond the paper: the ConvNet sees it through a Gaussian, pixels", low=0)
    octaves: int | None = option(None, "beyond the paper: sizes from coarse to fine; 1: one", low=1)
    optimiser: str | None = option(None, "adam, or sgd with momentum 0.9", ("adam", "sgd"))
    lr: float | None = option(None, "step size; adam: grey levels", low=0)
    steps: int | None = option(None, "ascent steps, at most", low=1)
    ramp: float | None = option(None, "share of the steps over which the penalty grows", low=0, high=1)
    tolerance: float | None = option(None, "a class stops when it gains less than this share of itself...", low=0)
    patience: int | None = option(None, "... in so many steps", low=1)
    batch: int | None = option(None, "pictures at once; null: 4 on a CPU, 32 on a GPU; it decides rounding", low=1)
    frames: int = option(8, "pictures of a class's film strip; 0: none", low=0)
    compare: str | None = option(
        None, "class_model: found for this objective too, side by side", ("score", "softmax", "log_softmax")
    )
    judge: str | None = option(None, "class_model: weights of another net that is asked whether it sees the class")
    judge_name: str | None = option(None, "the other net's name; null: model.name")
    mean_image: str | None = option(
        None, "shown below the class model: what task=mean_image made; null: the run's, else the channel means"
    )


@dataclass
class SaliencyConfig:
    every: int = option(1, "epochs between two saliency sheets while training; 0: only at the end", low=0)
    images: int = option(8, "validation pictures shown, spread over the split; 0: none", low=0)
    crops: str = option(
        "ten",
        "ten: 4 corners, centre, mirrored (paper); square: ten of the central square; one: centre; dense: a grid",
        ("ten", "square", "one", "dense"),
    )
    method: str = option(
        "gradient",
        "gradient (paper); deconvnet, guided: other ReLU rules (section 4); gradient_x_input; the averaging ones",
        ("gradient", "deconvnet", "guided", "gradient_x_input", "smoothgrad", "integrated_gradients"),
    )
    reduction: str = option("max", "over the channels: max (paper), l1 or l2", ("max", "l1", "l2"))
    score: str = option(
        "score", "what is differentiated: score (paper), softmax, log_softmax", ("score", "softmax", "log_softmax")
    )


@dataclass
class RelationConfig:
    images: int = option(6, "validation pictures reconstructed, spread over the split", low=1)


@dataclass
class LocalisationConfig:
    every: int = option(0, "epochs between two measurements while training; 0: only at the end", low=0)
    images: int = option(100, "pictures measured while training, spread over the split; the end measures all", low=1)
    enabled: bool = option(True, "measure boxes at the end, where the data has boxes")
    preset: str = option("paper", "GraphCut's numbers: paper, vgg or best", ("paper", "vgg", "best"))
    second_guesses: int = option(
        0, "preset best: so many of the best classes get a second, tight box, for fewer classes", low=0, high=2
    )
    blur: float = option(0.0, "beyond the paper: Gaussian sigma on the map, pixels of the resized picture", low=0)
    pictures: int = option(24, "pictures drawn as PNG and in TensorBoard", low=0)
    gallery: int = option(6, "pictures of each kind of error drawn in gallery/", low=0)
    blacklist: str | None = option(None, "file of validation pictures that count for the classification alone")
    label_ids: str | None = option(
        None, "numbers of submission.txt: file of the devkit (meta.mat, map_clsloc.txt), or wnid; null: not written"
    )


@dataclass
class SharedConfig:
    name: str | None = option(None, "the run's name; null: from the recipe, or data and model")
    out: str | None = option(None, "folder of results; null: runs/<name> (train.py), <run>/<task> (analyse.py)")
    seed: int = option(0, "seed of weights, shuffling, augmentation and shapes", low=0, high=2**32 - 1)
    data: DataConfig = section(DataConfig)
    model: ModelConfig = section(ModelConfig)
    trainer: TrainerConfig = section(TrainerConfig)
    class_models: ClassModelsConfig = section(ClassModelsConfig)
    saliency: SaliencyConfig = section(SaliencyConfig)
    localisation: LocalisationConfig = section(LocalisationConfig)


@dataclass
class TrainConfig(SharedConfig):
    resume: str | None = option(None, "a run's folder: continue it where it stopped")
    overwrite: bool = option(False, "replace the run that lies in `out`")
    optim: OptimConfig = section(OptimConfig)


@dataclass
class AnalyseConfig(SharedConfig):
    task: str | None = option(None, ", ".join(TASKS), tuple(TASKS))
    run: str | None = option(None, "a run's folder, or latest; null: model.name with model.weights")
    classes: str | None = option(None, "class_model: all, or names, identifiers, indices: goose,n02007558,12")
    images: str | None = option(None, "saliency, relation: photo.jpg,folder/*.jpg; null: the data set's")
    boxes: str | None = option(
        None, "localise, without a net: XML folder, LOC_val_solution.csv or localization.txt to score against"
    )
    predictions: str | None = option(
        None, "localise, without a net: predictions.csv or submission.txt to score; null: boxes that know nothing"
    )
    relation: RelationConfig = section(RelationConfig)


def recipe_name(config: SharedConfig) -> str:
    """Which file of `configs/` lies under the user's own values: it depends only on what is trained."""
    if config.data.name == "shapes" and (config.model.weights == "none" or config.model.name == "shapes_convnet"):
        return "shapes"
    return "imagenet" if config.model.weights == "none" else "finetune"


def help_text(schema: type[SharedConfig], usage: str) -> str:
    lines = [usage, "", "Every key with its default:"]
    for key, f in options(schema):
        default = f.default if f.default is not MISSING else cast(Any, f.default_factory)()
        value = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
        lines.append(f"  {f'{key}={value}':<42} # {f.metadata['doc']}")
    return "\n".join(lines)


def options(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for f in fields(schema):
        if is_dataclass(f.type):
            yield from options(cast(type, f.type), f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f
