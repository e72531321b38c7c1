"""The measures of runs on the same pictures, and by how much the further runs differ from the first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deepinside.compare.statistics import Difference, paired_differences
from deepinside.records import PictureRecord
from deepinside.runs import Run, open_run


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


def measure_runs(runs: Sequence[Run], pictures: list[list[PictureRecord]]) -> list[Measure]:
    """pictures: every run's, paired."""
    return [
        *_measures("classification", pictures, runs, lambda record: record.classification),
        *_measures("localisation", pictures, runs, lambda record: record.localisation),
    ]


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
