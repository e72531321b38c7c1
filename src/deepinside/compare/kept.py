"""The pictures that compared runs kept, copied beside the report: it can be moved, and the runs can go."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepinside.compare.comparison import Comparison
from deepinside.compare.disagreement import Disagreement
from deepinside.records import PictureRecord

FOLDER = "kept"
GALLERY = 500  # pictures in the report


@dataclass(frozen=True)
class Shown:
    """A picture of the gallery: `photo`, and of each run its record and its map, None where the run kept none.

    alike: Spearman's correlation of each further run's map with the first run's, None where there is none.
    """

    found: Disagreement
    records: list[PictureRecord]
    photo: Path
    maps: list[Path | None]
    alike: list[float | None]


def kept_maps(comparison: Comparison) -> list[list[Path | None]]:
    """Every run's file of every picture's map, where it was kept."""
    columns = zip(comparison.runs, comparison.pictures, strict=True)
    return [[run.kept(record.saliency) for record in records] for run, records in columns]


def keep_pictures(comparison: Comparison, alike: Sequence[Mapping[int, float]], out: Path) -> list[Shown]:
    """Copies what at least one run kept, the most disagreement first, at most 500 pictures. alike: for each further run
    the correlation of maps by place in the pairing."""
    shown: list[Shown] = []
    maps = kept_maps(comparison)
    for one in comparison.disagreements:
        records = [of_run[one.place] for of_run in comparison.pictures]
        photos = [run.kept(record.picture) for run, record in zip(comparison.runs, records, strict=True)]
        photo = next((file for file in photos if file), None)
        if photo and len(shown) < GALLERY:
            copies = [
                _copy(file, out, f"{one.place:05d}_map{i}") if file else None
                for i, file in enumerate(of_run[one.place] for of_run in maps)
            ]
            correlations = [of_run.get(one.place) for of_run in alike]
            shown.append(Shown(one, records, _copy(photo, out, f"{one.place:05d}"), copies, correlations))
    return shown


def keep_class_models(comparison: Comparison, out: Path) -> dict[str, list[Path | None]]:
    """{class: the copy of its picture of each run or None}; only classes of at least two runs.

    Classes go by their names, as nets of other classes number them otherwise, but by number and name where a run has
    several of one name (ImageNet has two cranes).
    """
    counts = [Counter(stem.partition("_")[2] for stem in run.class_models) for run in comparison.runs]
    several = {name for count in counts for name, times in count.items() if times > 1}
    by_name = [
        {name if (name := stem.partition("_")[2]) not in several else stem: file for stem, file in models.items()}
        for models in (run.class_models for run in comparison.runs)
    ]
    names = dict.fromkeys(name for models in by_name for name in models)
    shared = [name for name in names if sum(name in models for models in by_name) > 1]
    return {
        name: [
            _copy(models[name], out, f"class_{name}_{i}") if name in models else None
            for i, models in enumerate(by_name)
        ]
        for name in shared
    }


def _copy(file: Path, out: Path, stem: str) -> Path:
    to = out / FOLDER / f"{stem}{file.suffix}"
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)
    return to
