"""Runs on the same pictures -> every number of their comparison."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepinside.compare.disagreement import Disagreement, by_disagreement
from deepinside.compare.pairing import label_runs, pair_pictures
from deepinside.compare.settings import differing_settings
from deepinside.compare.statistics import Difference, paired_differences
from deepinside.records import PictureRecord
from deepinside.runs import Run, open_run

OF_TRAINING = ("seed", "data.", "model.", "optim.", "trainer.")  # settings that make another net
TOLD = 500  # pictures in comparison.json, those of most disagreement


@dataclass(frozen=True)
class Measure:
    """One measure: its mean in each run, of as many `images`; `differences` of each further run to the first.

    part (classification or localisation) and name (top1_error) are those of metrics.json; centre_box: what the centred
    72% box reaches with each run's guesses, None where that was not measured.
    """

    part: str
    name: str
    images: int
    values: list[float]
    centre_box: list[float | None]
    differences: list[Difference]

    @property
    def lower_is_better(self) -> bool:
        return self.name.endswith("_error")


@dataclass(frozen=True)
class Comparison:
    """Two or more runs side by side. Lists over runs are in the order of `labels`, those over further runs in the order
    of labels[1:].

    pictures: every run's records, paired. disagreements: of all pictures, most first.
    """

    labels: list[str]
    runs: list[Run]
    pictures: list[list[PictureRecord]]
    settings: dict[str, list[str | None]]
    measures: list[Measure]
    disagreements: list[Disagreement]

    @property
    def caveat(self) -> str:
        """What the intervals do not cover, where the runs were trained apart: chance in training."""
        if list(self.settings) == ["seed"]:
            return "The runs differ in their seed alone: what is seen here is chance in training."
        if any(key.startswith(OF_TRAINING) for key in self.settings):
            return "Intervals and p hold for these nets; what a setting does, only nets of several seeds tell."
        return ""

    def as_json(self) -> dict[str, Any]:
        """The schema of comparison.json, fractions in [0, 1]:

        {"runs": [{"label", "folder"}], "images": pictures that every run was evaluated on,
         "settings": {key: [value, ...]}: the differing ones, null: the run does not have the key,
         "measures": [{"part": "classification" | "localisation", "name", "images", "values": [mean, ...],
                       "centre_box": [mean | null, ...], "differences": [{"difference", "low", "high",
                       "mcnemar": {"only_first", "only_this", "p"} | null}, ...] of each further run}],
         "disagreements": [{"place", "image", "class_name", "right", "iou", "overlap": null without boxes}]: 500}
        """
        return {
            "runs": [
                {"label": label, "folder": str(run.folder)} for label, run in zip(self.labels, self.runs, strict=True)
            ],
            "images": len(self.pictures[0]),
            "settings": self.settings,
            "measures": [asdict(measure) for measure in self.measures],
            "disagreements": [asdict(one) for one in self.disagreements[:TOLD]],
        }


def compare(runs: Sequence[Run]) -> Comparison:
    """Of two or more runs. UserError, one line, where they cannot be paired (see `pairing`)."""
    labels = label_runs([run.folder for run in runs])
    pictures = pair_pictures(runs)
    measures = [
        *_measures("classification", pictures, runs, lambda record: record.classification),
        *_measures("localisation", pictures, runs, lambda record: record.localisation),
    ]
    settings = differing_settings(runs)
    return Comparison(labels, list(runs), pictures, settings, measures, by_disagreement(pictures))


def _measures(
    part: str,
    pictures: list[list[PictureRecord]],
    runs: Sequence[Run],
    values_of: Callable[[PictureRecord], dict[str, float]],
) -> list[Measure]:
    """Those that every run knows of every picture that was scored in this part."""
    scored = [records for records in zip(*pictures, strict=True) if all(values_of(record) for record in records)]
    if len(scored) < 2:
        return []
    names = [
        name for name in values_of(scored[0][0]) if all(name in values_of(r) for records in scored for r in records)
    ]
    tables = [np.array([[values_of(r[i])[name] for r in scored] for name in names]) for i in range(len(runs))]
    errors = [name.endswith("_error") for name in names]
    differences = [paired_differences(tables[0], table, errors) for table in tables[1:]]
    centre = [_centre_box(run) if part == "localisation" else {} for run in runs]
    return [
        Measure(
            part,
            name,
            len(scored),
            [float(table[row].mean()) for table in tables],
            [baseline.get(name) for baseline in centre],
            [found[row] for found in differences],
        )
        for row, name in enumerate(names)
    ]


def _centre_box(run: Run) -> dict[str, float]:
    """Beside the records, where they are those of a later analysis."""
    place = run.pictures_folder
    metrics = open_run(place).metrics if place and (place / "config.yaml").is_file() else run.metrics
    return dict(metrics.get("baselines", {}).get("centre_box", {}))
