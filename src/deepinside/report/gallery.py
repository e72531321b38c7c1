"""The kept pictures as the gallery shows them: with maps and boxes, kinds of error, and words for each."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepinside.records import KINDS, Guess, PictureRecord
from deepinside.runs import Run

NO_BOXES = "no_boxes"
JUDGES = {"first_guess": "First guess", "class_known": "Class known"}


@dataclass(frozen=True)
class Card:
    """A kept picture: files, and what there is to say about it."""

    record: PictureRecord
    photo: Path
    heat: Path | None

    @property
    def first(self) -> Guess:
        return self.record.guesses[0]

    @property
    def known_iou(self) -> float | None:
        """The best IoU of the box for the picture's own class with a true box."""
        return self.record.localisation.get("mean_iou")

    @property
    def kinds(self) -> dict[str, str]:
        return {"first_guess": self.record.first_guess or NO_BOXES, "class_known": self.record.class_known or NO_BOXES}

    @property
    def boxes(self) -> list[tuple[list[float], str]]:
        """Boxes with the classes of their style; of the two predicted ones the page shows one."""
        truth = [(box, "truth") for box in self.record.boxes]
        return [*truth, (self.first.box, "guess by-first"), (self.record.known_box, "guess by-known")]

    @property
    def alt(self) -> str:
        """Class, kinds of error and IoU in words."""
        guessed = f"{self.record.class_name}; first guess {self.first.class_name}, P {self.first.posterior:.2f}"
        if not self.record.boxes:
            return f"{guessed}; no true boxes"
        first, known = (kind.replace("_", " ") for kind in self.kinds.values())
        known_iou = f"IoU {self.known_iou:.2f}" if self.known_iou is not None else "IoU unknown"
        return f"{guessed}: {first}, IoU {self.first.iou or 0:.2f}; class known: {known}, {known_iou}"

    @property
    def about(self) -> dict[str, Any]:
        """For the large view: lines about the picture, its guesses, and last the box for its own class."""
        record, iou = self.record, self.known_iou
        guesses = [
            _guess(guess.class_name, guess.posterior, guess.box, guess.iou, guess.right) for guess in record.guesses
        ]
        own = next((guess.posterior for guess in record.guesses if guess.class_id == record.class_id), None)
        right = iou >= 0.5 if iou is not None else None
        known = _guess(f"{record.class_name} (class known)", own, record.known_box, iou, right)
        boxes = f"{len(record.boxes)} true box{'' if len(record.boxes) == 1 else 'es'}"
        lines = [f"{record.image}, {record.size[1]} \N{MULTIPLICATION SIGN} {record.size[0]}, {boxes}"]
        told = [f"{name.lower()}: {self.kinds[judge].replace('_', ' ')}" for judge, name in JUDGES.items()]
        return {"class": record.class_name, "lines": [*lines, "; ".join(told)], "guesses": [*guesses, known]}


def cards(run: Run) -> list[Card]:
    """Of every picture that was kept and has a guess."""
    folder = run.pictures_folder
    if folder is None:
        return []
    kept = [record for record in run.pictures if record.picture and record.guesses]
    return [Card(r, folder / (r.picture or ""), folder / r.saliency if r.saliency else None) for r in kept]


def kinds_of(cards: list[Card]) -> dict[str, str]:
    """The kinds that occur, by either judge, in their order, with their rules."""
    there = Counter(kind for card in cards for kind in card.kinds.values())
    rules = KINDS | {NO_BOXES: "there are no true boxes to judge by"}
    return {kind: rule for kind, rule in rules.items() if there[kind]}


def class_names(cards: list[Card]) -> list[str]:
    return sorted({card.record.class_name for card in cards}, key=str.lower)


def _guess(name: str, p: float | None, box: list[float], iou: float | None, right: bool | None) -> dict[str, Any]:
    judged = "" if iou is None else f"IoU {iou:.2f}{', right' if right else ''}"
    return {"name": name, "told": "" if p is None else f"P {p:.2f}", "below": judged, "box": box}
