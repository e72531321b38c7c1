"""What was found in each picture, as a file: `pictures.jsonl`, a line a picture, which reports and comparisons read.

Plain values only, so that it is read without torch. Boxes are [x0, y0, x1, y1], half-open edges in pixels of the
original picture.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepinside.errors import UserError
from deepinside.files import replacing

FILE = "pictures.jsonl"
Box = list[float]

KINDS = {
    "right": "IoU >= 0.5 with any true box",
    "wrong_class": "the first guess is of another class (only where the class is guessed)",
    "several_instances": "the box holds at least half of each of two or more true boxes",
    "too_large": "it holds at least 80% of the true box nearest to it",
    "too_small": "at least 80% of it lie in the nearest true box, it has at least a quarter of that one's area",
    "a_part": "at least 80% of it lie in the nearest true box, it has less than a quarter of that one's area",
    "wrong_instance": "IoU < 0.1 with every true box: on another thing, or an instance that has no box",
    "shifted": "everything else: it overlaps the nearest true box, and neither holds the other",
}
"""Kinds of error and their rules, tried in this order (`metrics.box_errors`). Nearest: the true box of greatest IoU."""


@dataclass(frozen=True)
class Guess:
    """A guessed class and its box, None where only the class was guessed; iou: the best with any true box, right: by
    ILSVRC's rule; None without boxes."""

    class_id: str
    class_name: str
    posterior: float
    box: Box | None
    iou: float | None = None
    right: bool | None = None


@dataclass(frozen=True)
class PictureRecord:
    """One evaluated picture.

    size: (height, width) of the original. class_id, class_name: its label. boxes: the true ones. known_box: predicted
    for the label, None where only the class was guessed, from the centre crop. measures: this picture's own value of
    every measure that metrics.json averages, by the same names, in `classification` and `localisation`. first_guess,
    class_known: kinds of error (see `metrics.box_errors`), "" without boxes. picture, saliency: files beside the
    record, None where they were not kept: the resized picture, and the map of the label's class as an 8-bit grey
    picture of the same aspect.
    """

    index: int
    image: str
    size: tuple[int, int]
    class_id: str
    class_name: str
    boxes: list[Box]
    guesses: list[Guess]
    known_box: Box | None
    classification: dict[str, float]
    localisation: dict[str, float] = field(default_factory=dict)
    first_guess: str = ""
    class_known: str = ""
    picture: str | None = None
    saliency: str | None = None


def write_records(path: Path, records: Iterable[PictureRecord]) -> None:
    """Raises UserError for NaN and infinity."""
    try:
        with replacing(path) as part, part.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(asdict(record), allow_nan=False, ensure_ascii=False) + "\n")
    except ValueError:
        raise UserError(f"{path}: {record.image} has a result that is not a finite number; are the weights?") from None


def read_records(path: Path) -> list[PictureRecord]:
    """All of them in the order of the file. Raises UserError that names the line."""
    return list(_read(path))


def _read(path: Path) -> Iterator[PictureRecord]:
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007  # the errors below tell it
                yield _record(json.loads(line))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}, after line {number}: not a text file (UTF-8)") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}, line {number}: not a picture that was evaluated ({error})") from None


def _record(values: dict[str, Any]) -> PictureRecord:
    """Keys that are not known are left out: a later version may have written them."""
    values = {key: value for key, value in values.items() if key in PictureRecord.__dataclass_fields__}
    (values.get("localisation") or values["classification"])["top1_error"]  # what every reader asks for
    values["guesses"] = [Guess(**guess) for guess in values["guesses"]]
    values["size"] = tuple(values["size"])
    return PictureRecord(**values)
