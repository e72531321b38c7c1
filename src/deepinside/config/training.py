"""What is trained: data, model, Trainer, optimiser."""

from dataclasses import dataclass
from typing import Any

from deepinside.config.options import Section, option


@dataclass
class DataConfig(Section):
    name: str = option("shapes", "shapes (drawn here), ilsvrc (CLS-LOC tree), folder", ("shapes", "ilsvrc", "folder"))
    root: str | None = option(None, "folder of the pictures, for ilsvrc and folder")
    batch_size: int = option(128, "pictures in a training batch of one device", low=1)
    workers: int | None = option(
        None, "loading processes a device; null: 0 for shapes, else its share of the CPUs, 1 to 8", low=0
    )
    limit: int | None = option(None, "use only N pictures of each split, spread over it", low=1)
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
class ModelConfig(Section):
    name: str = option("simonyan2013", "simonyan2013, shapes_convnet, or a torchvision classification net")
    weights: str = option(
        "none", "none, a torchvision weights name (DEFAULT), a state_dict file, one of our checkpoints"
    )
    num_classes: int | None = option(
        None, "outputs; null: the data's classes (train.py), the weights' (analyse.py)", low=1
    )
    classes: str | None = option(
        None, "file that names the classes of weights that do not: a line each, its data folder's name or WNID and name"
    )
    mean: list[float] | None = option(
        None, "channel means of the input in [0, 1]; null: they come with the weights", low=0, high=1
    )
    std: list[float] | None = option(
        None, "channel deviations of the input in [0, 1]; null: they come with the weights", low=1e-6, high=1
    )


@dataclass
class TrainerConfig(Section):
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
    profiler: str | None = option(
        None,
        "where the time goes, in the run's *-profile.txt: simple, advanced, pytorch",
        ("simple", "advanced", "pytorch"),
    )
    enable_progress_bar: bool = option(True, "show progress")


@dataclass
class OptimConfig(Section):
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
class MonitorConfig(Section):
    max_overhead: float | None = option(
        0.05,
        "share of the training time that each kind of look may take: its period grows to keep it; null: any",
        low=0.001,
    )
