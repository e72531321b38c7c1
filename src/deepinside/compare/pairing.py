"""The same pictures in every run, or one line that says why they are not the same."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from deepinside.errors import UserError
from deepinside.folders import last_checkpoint
from deepinside.records import FILE, PictureRecord
from deepinside.runs import Run

Key = tuple[str, str, int]


def label_runs(folders: Sequence[Path]) -> list[str]:
    """What each folder is called: its path below the nearest folder that holds all of them.

    runs/a, runs/b -> a, b;  runs/a, runs/b/localise -> a, b/localise. UserError for fewer than two folders, or for the
    same one twice.
    """
    if len(folders) < 2:
        raise UserError("runs= needs at least two folders, separated by commas: runs=runs/a,runs/b")
    places = [Path(os.path.abspath(folder)) for folder in folders]
    real = [os.path.realpath(folder) for folder in folders]
    twice = [str(folder) for folder, place in zip(folders, real, strict=True) if real.count(place) > 1]
    if twice:
        raise UserError(f"runs={','.join(map(str, folders))} names the same folder twice: {twice[0]}")
    if len({place.anchor for place in places}) > 1:  # drives of Windows
        return [place.as_posix() for place in places]
    above = Path(os.path.commonpath([place.parent for place in places]))
    return [place.relative_to(above).as_posix() for place in places]


def pair_pictures(runs: Sequence[Run]) -> list[list[PictureRecord]]:
    """Every run's pictures, in the order of the first run's.

    A picture is known by its name and its label's identifier. UserError, one line, where a run has no records, other
    pictures, other labels, other true boxes, or other crops: nothing would be paired.
    """
    found = [_keyed(run) for run in runs]
    for run, pictures in zip(runs[1:], found[1:], strict=True):
        _check_same(runs[0], found[0], run, pictures)
    return [[pictures[key] for key in found[0]] for pictures in found]


def _keyed(run: Run) -> dict[Key, PictureRecord]:
    """By name and class; folders of one class may hold the same name again: counted in the order of the data set."""
    if not run.pictures:
        raise UserError(
            f"{run.folder} has no {FILE}, no record of what was found in each picture: {_how_to_record(run)}"
        )
    if len(run.pictures) < 2:
        raise UserError(f"{run.folder} was evaluated on one picture: there is nothing to resample")
    seen: Counter[tuple[str, str]] = Counter()
    keyed = {}
    for record in sorted(run.pictures, key=lambda record: record.index):
        name = record.image, record.class_id
        keyed[(*name, seen[name])] = record
        seen[name] += 1
    return keyed


def _how_to_record(run: Run) -> str:
    task = run.config.get("task")
    if task == "localise" and not run.config.get("images"):
        return "task=localise was stopped before its end; the same command goes on"
    if task:
        photographs = " images=" if task == "localise" else ""
        return f"task={task}{photographs} leaves none; give the folder of a run of train.py, or of task=localise"
    if not last_checkpoint(run.folder).is_file():
        return "its training was stopped before its first epoch was done"
    return f"`python train.py {quote(f'resume={run.folder}')}` makes it at its end"


def _check_same(first: Run, ours: dict[Key, PictureRecord], run: Run, theirs: dict[Key, PictureRecord]) -> None:
    if ours.keys() != theirs.keys():
        if Counter(name for name, *_ in ours) == Counter(name for name, *_ in theirs):
            raise UserError(_other_classes(first, ours, run, theirs))
        raise UserError(_other_pictures(first, ours, run, theirs))
    other = [key for key, record in ours.items() if _truth(record) != _truth(theirs[key])]
    if other:
        raise UserError(
            f"{run.folder} and {first.folder} cannot be paired: {len(other)} of {len(ours)} pictures have another size "
            f"or other true boxes, the first is {other[0][0]} (another data.root, localisation.blacklist or seed of "
            "the shapes?)"
        )
    bare = [one for one, pictures in ((first, ours), (run, theirs)) if _classified_only(pictures)]
    if len(bare) == 1:
        measure = f"`python analyse.py task=localise {quote(f'run={bare[0].folder}')}` measures them"
        raise UserError(
            f"{run.folder} and {first.folder} cannot be paired: {bare[0].folder} measured the classes of the centre "
            f"crop, the other those of ten crops; {measure}"
        )


def _other_pictures(first: Run, ours: Iterable[Key], run: Run, theirs: Iterable[Key]) -> str:
    ours, theirs = list(ours), list(theirs)
    here, there = _missing(ours, theirs), _missing(theirs, ours)
    told = [
        f"{len(names)} of {total} pictures of {one.folder} are not in {other.folder}, the first is {names[0]}"
        for names, total, one, other in ((here, len(ours), first, run), (there, len(theirs), run, first))
        if names
    ]
    return f"{run.folder} and {first.folder} cannot be paired: {'; '.join(told)}"


def _missing(keys: list[Key], others: list[Key]) -> list[str]:
    known = set(others)
    return [key[0] for key in keys if key not in known]


def _other_classes(first: Run, ours: dict[Key, PictureRecord], run: Run, theirs: dict[Key, PictureRecord]) -> str:
    labels = {key[0]: key[1] for key in theirs}
    other = [key for key in ours if key not in theirs]
    name, label, _ = other[0]
    return (
        f"{run.folder} and {first.folder} cannot be paired: {len(other)} of {len(ours)} pictures have other classes, "
        f"the first is {name}: {label} in {first.folder}, {labels[name]} in {run.folder}"
    )


def _classified_only(pictures: dict[Key, PictureRecord]) -> bool:
    return any(record.known_box is None for record in pictures.values())


def _truth(record: PictureRecord) -> tuple[tuple[int, int], list[list[float]]]:
    return record.size, record.boxes
