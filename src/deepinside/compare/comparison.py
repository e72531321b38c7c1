"""Runs on the same pictures -> every number of their comparison."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deepinside.compare.disagreement import Disagreement, by_disagreement
from deepinside.compare.measures import Measure, measure_runs
from deepinside.compare.pairing import label_runs, pair_pictures
from deepinside.compare.seeds import OverSeeds, over_seeds
from deepinside.compare.settings import differing_settings
from deepinside.records import PictureRecord
from deepinside.runs import Run

OF_TRAINING = ("seed", "data.", "model.", "optim.", "trainer.")  # settings that make another net
TOLD = 500  # pictures in comparison.json, those of most disagreement


@dataclass(frozen=True)
class Comparison:
    """Two or more runs side by side. Lists over runs are in the order of `labels`, those over further runs in the order
    of labels[1:].

    pictures: every run's records, paired. disagreements: of all pictures, most first. seeds: where runs differ in their
    seed alone.
    """

    labels: list[str]
    runs: list[Run]
    pictures: list[list[PictureRecord]]
    settings: dict[str, list[str | None]]
    measures: list[Measure]
    disagreements: list[Disagreement]
    seeds: OverSeeds | None = None

    @property
    def caveat(self) -> str:
        """What the intervals do not cover, where the runs were trained apart: chance in training."""
        if list(self.settings) == ["seed"]:
            return "The runs differ in their seed alone: what is seen here is chance in training."
        if self.seeds and self.seeds.tells:
            return "Intervals and p of two runs hold for these nets; what a setting does is told over seeds."
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
         "seeds": null where no two runs differ in their seed alone, else
                  {"recipes": [{"label", "runs": [label, ...]}: runs that do],
                   "measures": [{"part", "name", "means": [of each recipe], "deviations": [sample standard deviation
                                 over its runs | null of one run], "differences": [{"difference", "interval":
                                 [low, high] | null of one run} of each further recipe to the first]}]},
         "disagreements": [{"place", "image", "class_name", "right", "iou", "overlap": null without boxes}]: 500}
        """
        return {
            "runs": [
                {"label": label, "folder": str(run.folder)} for label, run in zip(self.labels, self.runs, strict=True)
            ],
            "images": len(self.pictures[0]),
            "settings": self.settings,
            "measures": [asdict(measure) for measure in self.measures],
            "seeds": asdict(self.seeds) if self.seeds else None,
            "disagreements": [asdict(one) for one in self.disagreements[:TOLD]],
        }


def compare(runs: Sequence[Run]) -> Comparison:
    """Of two or more runs. UserError, one line, where they cannot be paired (see `pairing`)."""
    labels = label_runs([run.folder for run in runs])
    pictures = pair_pictures(runs)
    measures, settings = measure_runs(runs, pictures), differing_settings(runs)
    seeds = over_seeds(labels, settings, measures)
    return Comparison(labels, list(runs), pictures, settings, measures, by_disagreement(pictures), seeds)
