"""The kept pictures as the gallery shows them: with maps and boxes, kinds of error, and words for each."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepinside.records import KINDS, Box, Guess, PictureRecord
from deepinside.runs import Run
from deepinside.words import hundredths, kind_name

NO_BOXES, RIGHT_CLASS = "no_boxes", "right_class"
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
        """By judge; where only classes were guessed there is but the first guess, and its class is right or not."""
        if self.record.known_box is None:
            return {"first_guess": RIGHT_CLASS if self.first.class_id == self.record.class_id else "wrong_class"}
        return {"first_guess": self.record.first_guess or NO_BOXES, "class_known": self.record.class_known or NO_BOXES}

    @property
    def boxes(self) -> list[tuple[Box, str]]:
        """Boxes with the classes of their style; of the two predicted ones the page shows one."""
        looks = [(self.first.box, "guess by-first"), (self.record.known_box, "guess by-known")]
        return [*((box, "truth") for box in self.record.boxes), *((box, look) for box, look in looks if box)]

    @property
    def alt(self) -> str:
        """Class, kinds of error and IoU in words."""
        guessed = f"{self.record.class_name}; first guess {self.first.class_name}, P {self.first.posterior:.2f}"
        if self.record.known_box is None:
            return f"{guessed}: {kind_name(self.kinds['first_guess'])}"
        if not self.record.boxes:
            return f"{guessed}; no true boxes"
        first, known = (kind_name(kind) for kind in self.kinds.values())
        known_iou = f"IoU {hundredths(self.known_iou)}" if self.known_iou is not None else "IoU unknown"
        return f"{guessed}: {first}, IoU {hundredths(self.first.iou or 0)}; class known: {known}, {known_iou}"

    @property
    def about(self) -> dict[str, Any]:
        """For the large view: lines about the picture, its guesses, and last, if there is one, the box for its own
        class."""
        record, iou = self.record, self.known_iou
        guesses = [
            _guess(guess.class_name, guess.posterior, guess.box, guess.iou, guess.right) for guess in record.guesses
        ]
        own = next((guess.posterior for guess in record.guesses if guess.class_id == record.class_id), None)
        right = iou >= 0.5 if iou is not None else None
        boxes = f", {len(record.boxes)} true box{'' if len(record.boxes) == 1 else 'es'}"
        if record.known_box is None:
            boxes = ""
        else:
            guesses.append(_guess(f"{record.class_name} (class known)", own, record.known_box, iou, right))
        size = f"{record.size[1]}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{record.size[0]}"
        lines = [f"{record.image}, {size}{boxes}"]
        told = [f"{JUDGES[judge].lower()}: {kind_name(kind)}" for judge, kind in self.kinds.items()]
        return {"class": record.class_name, "lines": [*lines, "; ".join(told)], "guesses": guesses}


def cards(run: Run) -> list[Card]:
    """Of every picture that was kept, is still there and has a guess; without its map where that is gone."""
    there = [(record, run.kept(record.picture)) for record in run.pictures if record.guesses]
    return [Card(record, photo, run.kept(record.saliency)) for record, photo in there if photo]


def kinds_of(cards: list[Card]) -> dict[str, str]:
    """The kinds that occur, by either judge, in their order, with their rules."""
    there = Counter(kind for card in cards for kind in card.kinds.values())
    rules = KINDS | {NO_BOXES: "there are no true boxes to judge by", RIGHT_CLASS: "the first guess is of its class"}
    return {kind: rule for kind, rule in rules.items() if there[kind]}


def judges_of(cards: list[Card]) -> dict[str, str]:
    """Those that have something to judge, with their names."""
    return {judge: name for judge, name in JUDGES.items() if any(judge in card.kinds for card in cards)}


def class_names(cards: list[Card]) -> list[str]:
    return sorted({card.record.class_name for card in cards}, key=str.lower)


def _guess(name: str, p: float | None, box: Box | None, iou: float | None, right: bool | None) -> dict[str, Any]:
    judged = "" if iou is None else f"IoU {hundredths(iou)}{', right' if right else ''}"
    return {"name": name, "told": "" if p is None else f"P {p:.2f}", "below": judged, "box": box}
