"""Guessed boxes as files: predictions.csv, and submission.txt as ILSVRC's development kit evaluates it."""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepinside.boxes import from_inclusive, to_inclusive
from deepinside.data.annotations import FURTHEST
from deepinside.data.devkit import read_label_ids
from deepinside.errors import UserError, name_nearby

COLUMNS = ("image", "rank", "class_index", "wnid", "score", "xmin", "ymin", "xmax", "ymax", "iou", "correct")
"""Of predictions.csv. Pixels of the original picture, 0-based, inclusive; image: the file's name without extension."""
NEEDED = ("image", "rank", "wnid", "xmin", "ymin", "xmax", "ymax")
MAX_GUESSES = 5
NO_GUESS = "0 0 0 0 0"
"""The line of a picture without a guess: the kit counts lines, and no class has the number 0."""


@dataclass(frozen=True)
class Guesses:
    """One picture's guesses, best first: identifiers of classes, and boxes (K, 4), half-open edges."""

    ids: tuple[str, ...]
    boxes: Tensor


def read_predictions(
    path: Path, images: Sequence[str], ids: Collection[str], label_ids: str | None
) -> dict[str, Guesses]:
    """predictions.csv (any file called *.csv) or submission.txt (any other) as {image: guesses}.

    A submission needs the names of its pictures, their classes' identifiers, and `label_ids`, where its numbers come
    from (see `read_label_ids`). Raises UserError.
    """
    if path.is_dir():
        raise UserError(f"predictions={path} is a folder: predictions.csv or submission.txt is needed")
    if not path.is_file():
        raise UserError(f"predictions={path}: no such file{name_nearby(path)}")
    if path.suffix != ".csv" and label_ids is None:
        wanted = "localisation.label_ids=FILE (the devkit's meta.mat or map_clsloc.txt) or wnid"
        raise UserError(f"{path} does not tell how its classes are numbered: {wanted} is needed")
    try:
        if label_ids is None or path.suffix == ".csv":
            return read_csv(path)
        return read_submission(path, images, read_label_ids(label_ids, ids))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"predictions={path} is not a text in UTF-8: {error}") from None


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """predictions.csv: a row for each guess, with COLUMNS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> dict[str, Guesses]:
    """A file like predictions.csv as {image: guesses}; of the columns only NEEDED count, the others may be empty or
    missing. Raises UserError that names the line, for more than 5 guesses or two of one rank too."""
    found: dict[str, list[tuple[int, str, list[float]]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        rows.fieldnames = have = [name.strip() for name in rows.fieldnames or []]
        if missing := [column for column in NEEDED if column not in have]:
            boxes = " (it has the form of true boxes, LOC_val_solution.csv)" if "PredictionString" in have else ""
            raise UserError(f"{path}: no column {missing[0]}{boxes}; needed: {', '.join(NEEDED)}")
        for row in rows:
            try:
                if None in row or any(row[column] is None for column in NEEDED):
                    raise ValueError("not as many columns as the first line has")
                row = {column: row[column].strip() for column in NEEDED}
                edges = [float(row[edge]) for edge in NEEDED[3:]]
                if not sum(map(abs, edges)) < FURTHEST:
                    raise ValueError("an edge is not a finite number")
                if edges[0] > edges[2] or edges[1] > edges[3]:
                    raise ValueError("xmin > xmax or ymin > ymax")
                guess = int(row["rank"]), row["wnid"], edges
                if guess[0] in [rank for rank, *_ in found.setdefault(row["image"], [])]:
                    raise ValueError(f"a second guess of rank {guess[0]} for {row['image']}")
                found[row["image"]].append(guess)
            except ValueError as error:
                raise UserError(f"{path}, line {rows.line_num}: {error}") from None
            if len(found[row["image"]]) > MAX_GUESSES:
                raise UserError(f"{path}, line {rows.line_num}: more than {MAX_GUESSES} guesses for {row['image']}")
    return {image: _guesses([guess[1:] for guess in sorted(of)], first=0) for image, of in found.items()}


def write_submission(path: Path, guesses: Iterable[tuple[str, Guesses | None]], numbers: Mapping[str, int]) -> None:
    """submission.txt: a line for each picture in the alphabetical order of their names, which the kit asks for, `label
    x1 y1 x2 y2 label x1 ...`, pixels from 1, inclusive, labels by `numbers`. guesses: name and guesses of every
    picture; class folders may hold several of one name, which keep the order given."""
    lines = []
    for _, one in sorted(guesses, key=itemgetter(0)):
        words: list[str] = []
        if one is not None:
            for identifier, box in zip(one.ids, to_inclusive(one.boxes, first=1).tolist(), strict=True):
                words += [str(numbers[identifier]), *(f"{edge:.9g}" for edge in box)]
        lines.append(" ".join(words) or NO_GUESS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def read_submission(path: Path, images: Sequence[str], numbers: Mapping[str, int]) -> dict[str, Guesses]:
    """A submission.txt about these images as {image: guesses}; its lines are in the alphabetical order of their names.
    Raises UserError that names the line."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    while len(lines) > len(images) and not lines[-1].strip():
        lines.pop()
    if len(lines) != len(images):
        raise UserError(
            f"{path} has {len(lines)} lines for {len(images)} pictures; it must have one each, sorted by their names"
        )
    ids = {number: identifier for identifier, number in numbers.items()}
    found = {}
    for number, (image, line) in enumerate(zip(sorted(images), lines, strict=True), start=1):
        try:
            words = [_number(word) for word in line.replace(",", " ").split()]
            if not sum(map(abs, words)) < FURTHEST:
                raise ValueError("not all of its numbers are finite")
            if len(words) % 5 or len(words) > 5 * MAX_GUESSES:
                raise ValueError(f"{len(words)} numbers; a guess has 5, a picture at most {MAX_GUESSES} guesses")
            guesses = [(words[i], words[i + 1 : i + 5]) for i in range(0, len(words), 5)]
            while guesses and guesses[-1] == (0, [0, 0, 0, 0]):  # as NO_GUESS
                guesses.pop()
            unknown = [label for label, _ in guesses if label not in ids]
            if unknown:
                raise ValueError(f"no class has the number {unknown[0]:g}; they are {min(ids)} to {max(ids)}")
            if any(edges[0] > edges[2] or edges[1] > edges[3] for _, edges in guesses):
                raise ValueError("x1 > x2 or y1 > y2")
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        found[image] = _guesses([(ids[int(label)], edges) for label, edges in guesses], first=1)
    return found


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word} is no number; a guess is `label x1 y1 x2 y2`, its class by number") from None


def _guesses(guesses: Sequence[tuple[str, list[float]]], first: int) -> Guesses:
    edges = torch.tensor([edges for _, edges in guesses], dtype=torch.float32).reshape(-1, 4)
    return Guesses(tuple(identifier for identifier, _ in guesses), from_inclusive(edges, first))
