"""What TensorBoard shows of many runs together: its HPARAMS tab and its custom charts."""

import time
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import custom_scalars

from deepinside.config import TrainConfig
from deepinside.config.options import kinds_of, options

# The event files that are written here: a run that goes on replaces them. TensorBoard reads a folder's files in the
# order of their names and may leave a file for good once there is a later one: the curves' must not come before this.
FILE = "events.out.tfevents.{seconds:010d}.session"
SECTIONS = ("data", "model", "optim")
KEYS = (
    "seed",
    "trainer.max_epochs",
    "trainer.precision",
    "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_val",
    "class_models.preset",
    "localisation.preset",
    "localisation.blur",
)
LEFT_OUT = ("data.workers",)
FIRST = ("data.batch_size", "model.name", "model.weights", "optim.lr", "trainer.max_epochs")
FINAL = (
    "test/top1_error",
    "test_localisation/gt_known_accuracy",
    "test_localisation_centre_box/gt_known_accuracy",
    "test_localisation/top1_error",
    "val/top1_error",
    "test/top5_error",
    "test_localisation/top5_error",
    "test_localisation/mean_iou",
    "test_localisation/pointing_game",
    "test_localisation/max_box_acc_v2",
    "sanity/spearman",
    "sanity/ssim",
    "val/loss",
    "train/loss",
)
"""The first five are the columns that TensorBoard shows unasked."""


def _beside(measure: str) -> list[str]:
    """A measure of localisation with its flat lines."""
    return [f"localisation{row}/{measure}" for row in ("", "_centre_box", "_whole_image")]


LAYOUT = {
    "Training": {"loss": ["train/loss"], "learning rate": ["lr-.*"]},
    "Validation": {"top-1 error": ["val/top1_error"], "top-5 error": ["val/top5_error"], "loss": ["val/loss"]},
    "Localisation": {
        "ground-truth known, beside the centre box and the whole picture": _beside("gt_known_accuracy"),
        "top-1 error": _beside("top1_error"),
        "top-5 error": _beside("top5_error"),
        "pointing game": _beside("pointing_game"),
        "saliency mass in the true boxes": _beside("saliency_mass"),
    },
    "Saliency drift": {"between looks": ["saliency/drift_spearman", "saliency/drift_ssim"]},
    "Sanity": {
        "maps after randomising so many layers, beside those of other pictures": [
            f"sanity{row}/{key}" for key in ("spearman", "ssim") for row in ("", "_chance")
        ],
        "ground-truth known after randomising so many layers": [
            f"sanity{row}/gt_known_accuracy" for row in ("", "_centre_box")
        ],
    },
    "Overhead": {"share of training time": ["overhead/.*"]},
}
"""{category: {chart: regular expressions of tags}}: the same in every run, so that TensorBoard merges them to one."""


class HyperParameters(Callback):
    """A run's row in TensorBoard's HPARAMS tab, and the layout of its CUSTOM SCALARS tab.

    Hyper-parameters: every key of the sections data, model and optim but data.workers, the KEYS, and `processes`, how
    many share an optimiser step; numbers as numbers, lists as text, none for null. Metrics: the last values of the
    FINAL curves, empty where a run has none. Written when fit starts, so that a run that dies is listed too; its end is
    written after test (success) or at an exception (failure). A run that is resumed replaces its own row.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.started = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = True
        start = SessionStartInfo(start_time_secs=time.time())
        infos = []
        for key, option, value in compared(self.config):
            infos.append(_declare(key, option))
            _set_value(start, key, value)
        infos.append(api_pb2.HParamInfo(name="processes", type=api_pb2.DATA_TYPE_FLOAT64))
        _set_value(start, "processes", trainer.world_size)
        metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in FINAL]
        # Without this declaration TensorBoard would work the keys out by itself, but take every tag for a metric.
        experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
        layout = {
            category: {chart: ["Multiline", [f"^{tag}$" for tag in tags]] for chart, tags in charts.items()}
            for category, charts in LAYOUT.items()
        }
        for folder in _folders(trainer):
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob(FILE.replace("{seconds:010d}", "*")):
                old.unlink()
            _write(
                folder / FILE.format(seconds=0),
                _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
                _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
                custom_scalars(layout),
            )

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(trainer, api_pb2.STATUS_SUCCESS)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end(trainer, api_pb2.STATUS_FAILURE)

    def _end(self, trainer: Trainer, status: Any) -> None:
        """In a file of its own, since TensorBoard takes the first end of a run that it finds."""
        now = int(time.time())
        end = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=now))
        for folder in _folders(trainer) if self.started else ():
            _write(folder / FILE.format(seconds=now), _summary(metadata.SESSION_END_INFO_TAG, end))
        self.started = False


def compared(config: TrainConfig) -> Iterator[tuple[str, Any, Any]]:
    """What a person compares of two runs: (key, its field, its value) by the rule of `HyperParameters`."""
    for key, option in options(type(config)):
        if key in KEYS or (key.split(".")[0] in SECTIONS and key not in LEFT_OUT):
            yield key, option, attrgetter(key)(config)


def _declare(key: str, option: Any) -> api_pb2.HParamInfo:
    """A column of the table: by the field, not by the value, so that every run declares the same."""
    kinds = kinds_of(option.type) - {type(None)}
    info = api_pb2.HParamInfo(name=key, description=option.metadata["doc"], type=api_pb2.DATA_TYPE_STRING)
    if kinds == {bool}:
        info.type = api_pb2.DATA_TYPE_BOOL
    elif kinds <= {int, float}:
        info.type = api_pb2.DATA_TYPE_FLOAT64
    elif option.metadata["choices"]:
        info.domain_discrete.extend(option.metadata["choices"])
    info.differs = key in FIRST  # TensorBoard shows five columns unasked, those that are said to differ
    return info


def _set_value(start: SessionStartInfo, key: str, value: Any) -> None:
    if isinstance(value, bool):
        start.hparams[key].bool_value = value
    elif isinstance(value, int | float):
        start.hparams[key].number_value = value
    elif value is not None:
        start.hparams[key].string_value = str(value)


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    about = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _write(path: Path, *summaries: Summary) -> None:
    now = time.time()
    events = [Event(wall_time=now, summary=summary) for summary in summaries]
    with path.open("wb") as file:
        records = RecordWriter(file)
        for event in (Event(wall_time=now, file_version="brain.Event:2"), *events):
            records.write(event.SerializeToString())


def _folders(trainer: Trainer) -> list[Path]:
    """Where the first process logs to; on the others none."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [Path(logger.log_dir) for logger in loggers if isinstance(logger, TensorBoardLogger)]
