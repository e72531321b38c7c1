"""The configuration of both scripts: dataclasses, one line of help a field. `load_config` fills them.

Nothing here imports torch: `--help` is instant.
"""

from dataclasses import dataclass

from deepinside.config.looking import (
    ClassModelsConfig,
    DoctorConfig,
    LocalisationConfig,
    RelationConfig,
    SaliencyConfig,
    SanityConfig,
)
from deepinside.config.options import Section, option, section
from deepinside.config.training import DataConfig, ModelConfig, MonitorConfig, OptimConfig, TrainerConfig

__all__ = [
    "TASKS",
    "AnalyseConfig",
    "ClassModelsConfig",
    "DataConfig",
    "DoctorConfig",
    "LocalisationConfig",
    "ModelConfig",
    "MonitorConfig",
    "OptimConfig",
    "RelationConfig",
    "SaliencyConfig",
    "SanityConfig",
    "SharedConfig",
    "TrainConfig",
    "TrainerConfig",
    "recipe_name",
]

TASKS = {
    "class_model": "the picture that maximises a class score (paper, section 2)",
    "saliency": "where a picture supports its class (paper, section 3.1)",
    "mean_image": "the training pictures' mean, which class models are shown on; kept in the run's checkpoints/",
    "sanity": "whether saliency depends on what was learnt: maps of nets with randomised weights",
    "relation": "DeconvNet against back-prop, layer by layer and side by side (paper, section 4)",
    "localise": "boxes by GraphCut, scored by ILSVRC's rules (paper, section 3.2)",
    "compare": "two or more runs on the same pictures: what differs, and by how much",
    "report": "report.html of a run or an analysis, made anew from its files",
    "doctor": "what your pictures, your machine and your weights are like, and what blocks",
}


@dataclass
class SharedConfig(Section):
    name: str | None = option(None, "the run's name; null: from the recipe, or data and model")
    out: str | None = option(None, "folder of results; null: runs/<name> (train.py), <run>/<task> (analyse.py)")
    seed: int = option(0, "seed of weights, shuffling, augmentation and training shapes", low=0, high=2**32 - 1)
    data: DataConfig = section(DataConfig)
    model: ModelConfig = section(ModelConfig)
    trainer: TrainerConfig = section(TrainerConfig)
    class_models: ClassModelsConfig = section(ClassModelsConfig)
    saliency: SaliencyConfig = section(SaliencyConfig)
    sanity: SanityConfig = section(SanityConfig)
    localisation: LocalisationConfig = section(LocalisationConfig)


@dataclass
class TrainConfig(SharedConfig):
    resume: str | None = option(None, "a run's folder, or latest: continue it where it stopped")
    overwrite: bool = option(False, "replace the run that lies in `out`")
    optim: OptimConfig = section(OptimConfig)
    monitor: MonitorConfig = section(MonitorConfig)


@dataclass
class AnalyseConfig(SharedConfig):
    task: str | None = option(None, ", ".join(TASKS), tuple(TASKS))
    run: str | None = option(None, "a run's folder, or latest; null: model.name with model.weights")
    classes: str | None = option(None, "class_model: all, or names, identifiers, indices: goose,n02007558,12")
    images: str | None = option(
        None, "saliency, sanity, relation, localise: photo.jpg,folder/*.jpg; null: the data set's"
    )
    boxes: str | None = option(
        None, "localise, without a net: XML folder, LOC_val_solution.csv or localization.txt to score against"
    )
    predictions: str | None = option(
        None, "localise, without a net: predictions.csv or submission.txt to score; null: boxes that know nothing"
    )
    runs: str | None = option(None, "compare: folders of runs or of task=localise, separated by commas")
    relation: RelationConfig = section(RelationConfig)
    doctor: DoctorConfig = section(DoctorConfig)


def recipe_name(config: SharedConfig) -> str:
    """Which file of `configs/` lies under the user's own values: it depends only on what is trained."""
    if config.data.name == "shapes" and (config.model.weights == "none" or config.model.name == "shapes_convnet"):
        return "shapes"
    return "imagenet" if config.model.weights == "none" else "finetune"
