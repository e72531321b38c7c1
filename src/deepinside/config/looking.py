"""What is looked at: class models, saliency maps, DeconvNet, boxes."""

from dataclasses import dataclass

from deepinside.config.options import Section, option

UNIT = ("epochs", "what `every` counts: epochs, or steps of the optimiser", ("epochs", "steps"))


@dataclass
class ClassModelsConfig(Section):
    every: int = option(0, "epochs or steps between two looks while training; 0: only at the end", low=0)
    unit: str = option(*UNIT)
    warm_start: bool = option(False, "while training: a look begins at what the last one found, not at the zero image")
    look_steps: int | None = option(None, "while training: ascent steps of a look, at most; null: steps", low=1)
    count: int = option(10, "classes shown where none are named, spread over the class list; 0: none", low=0)
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
    blur: float | None = option(
        None, "beyond the paper: the ConvNet sees it through a Gaussian, pixels", low=0, high=100
    )
    octaves: int | None = option(None, "beyond the paper: sizes from coarse to fine; 1: one", low=1, high=10)
    optimiser: str | None = option(None, "adam, or sgd with momentum 0.9", ("adam", "sgd"))
    lr: float | None = option(None, "step size; adam: grey levels", low=0, high=1e30)
    steps: int | None = option(None, "ascent steps, at most", low=1)
    ramp: float | None = option(None, "share of the steps over which the penalty grows", low=0, high=1)
    tolerance: float | None = option(None, "a class stops when it gains less than this share of itself...", low=0)
    patience: int | None = option(None, "... in so many steps", low=1)
    batch: int | None = option(
        None,
        "pictures at once, fewer are filled up; null: 4 on a CPU, 32 on a GPU; it decides rounding",
        low=1,
    )
    frames: int = option(8, "pictures of a class's film strip; 0: none", low=0, high=1000)
    compare: str | None = option(
        None, "class_model: found for this objective too, side by side", ("score", "softmax", "log_softmax")
    )
    judge: str | None = option(None, "class_model: weights of another net that is asked whether it sees the class")
    judge_name: str | None = option(None, "the other net's name; null: model.name")
    mean_image: str | None = option(
        None, "shown below the class model: what task=mean_image made; null: the run's, else the channel means"
    )


@dataclass
class SaliencyConfig(Section):
    every: int = option(1, "epochs or steps between two looks while training; 0: only at the end", low=0)
    unit: str = option(*UNIT)
    images: int = option(8, "validation pictures shown, drawn from the split once; 0: none", low=0)
    crops: str = option(
        "ten",
        "ten: 4 corners, centre, mirrored (paper); square: ten of the central square; one: centre; dense: a grid",
        ("ten", "square", "one", "dense"),
    )
    method: str = option(
        "gradient",
        "gradient (paper), gradient_x_input, smoothgrad, integrated_gradients; deconvnet, guided: other ReLU rules",
        ("gradient", "deconvnet", "guided", "gradient_x_input", "smoothgrad", "integrated_gradients"),
    )
    reduction: str = option("max", "over the channels: max (paper), l1 or l2", ("max", "l1", "l2"))
    score: str = option(
        "score", "what is differentiated: score (paper), softmax, log_softmax", ("score", "softmax", "log_softmax")
    )


@dataclass
class RelationConfig(Section):
    images: int = option(6, "validation pictures reconstructed, drawn from the split once", low=1)


@dataclass
class LocalisationConfig(Section):
    every: int = option(0, "epochs or steps between two measurements while training; 0: only at the end", low=0)
    unit: str = option(*UNIT)
    images: int = option(
        100, "pictures measured while training, drawn from the split once; the end measures all", low=1
    )
    enabled: bool = option(True, "measure boxes at the end, where the data has boxes")
    preset: str = option(
        "vgg",
        "GraphCut's numbers: paper (its text), vgg (its authors' own code) or, beyond both, best",
        ("paper", "vgg", "best"),
    )
    repeat_classes: bool = option(
        False,
        "preset best: guesses go where posterior times the chance of a further box is largest; classes may repeat",
    )
    blur: float = option(
        0.0, "beyond the paper: Gaussian sigma on the map, pixels of the resized picture", low=0, high=100
    )
    pictures: int = option(24, "pictures drawn as PNG and in TensorBoard", low=0)
    gallery: int = option(6, "pictures of each kind of error drawn in gallery/", low=0)
    workers: int | None = option(
        None,
        "processes that cut and score at the end; null: up to 16 of the CPUs beside a GPU, else none",
        low=0,
        high=256,
    )
    kept: int = option(200, "pictures kept with their maps for the report, drawn from the split once", low=0)
    blacklist: str | None = option(None, "file of validation pictures that count for the classification alone")
    label_ids: str | None = option(
        None, "numbers of submission.txt: file of the devkit (meta.mat, map_clsloc.txt), or wnid; null: not written"
    )


@dataclass
class SanityConfig(Section):
    images: int = option(16, "validation pictures whose maps are made anew with randomised weights; 0: none", low=0)
    stages: int = option(8, "stages in which the weights are randomised, from the last layer down", low=1)


@dataclass
class DoctorConfig(Section):
    pictures: int = option(500, "pictures of each split that are decoded, spread over it", low=0)
    annotations: int = option(10000, "XMLs of each split that are read, spread over it", low=0)
