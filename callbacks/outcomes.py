"""One picture localised, scored and ready to be drawn; the drawings of all of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from callbacks.gathering import panel_file, save_picture, show_picture
from callbacks.kept import keep_files, make_record
from deepinside.attribution.crops import CropSaliency, ten_crops
from deepinside.boxes import iou, scale_boxes, to_inclusive, to_whole_pixels
from deepinside.config import LocalisationConfig
from deepinside.data.picture import Classes
from deepinside.data.views import WholePicture
from deepinside.localisation.locate import Located, Question, find_boxes, look
from deepinside.metrics import (
    PictureScore,
    box_error,
    centre_hits,
    guess_error,
    score_guesses,
    score_picture,
    threshold_hits,
)
from deepinside.models.convnet import ConvNet
from deepinside.plots import Explanation, draw_explanation
from deepinside.predictions import COLUMNS, Guesses
from deepinside.records import KINDS, PictureRecord
from deepinside.tiles import sheet
from deepinside.words import hundredths, kind_name

PAGE = 12  # panels on a page of the gallery
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """One picture: its rows of predictions.csv, its guesses and its score.

    With true boxes also `hits`, its `threshold_hits` and `centre_hits` stacked (2, 4, 100), and the kinds of error of
    its first guess and of the box for its own class. record: its line of pictures.jsonl; explanation: what there is to
    draw of it.
    """

    index: int
    rows: Rows
    guesses: Guesses
    score: PictureScore
    hits: Tensor | None = None
    first_guess: str = ""
    class_known: str = ""
    record: PictureRecord | None = None
    explanation: Explanation | None = None


def look_at(convnet: ConvNet, picture: WholePicture, settings: LocalisationConfig, guesses: int = 5) -> CropSaliency:
    """A picture's scores and maps; `localise` and `measure` take them as `looked`."""
    crops = ten_crops(*_size(picture.frame), convnet.preprocessing.crop)
    return look(convnet, picture.frame, crops, question(picture.label, settings, guesses))


def localise(classes: Classes, picture: WholePicture, looked: CropSaliency, settings: LocalisationConfig) -> Outcome:
    """The picture's guesses and their score."""
    return _outcome(classes, picture, find_boxes(picture.frame, looked, question(picture.label, settings)))[0]


def measure(classes: Classes, picture: WholePicture, looked: CropSaliency, settings: LocalisationConfig) -> Outcome:
    """The same with all that there is to know of the picture."""
    found = find_boxes(picture.frame, looked, question(picture.label, settings))
    outcome, boxes, known = _outcome(classes, picture, found)
    kinds = ("", "")
    hits = None
    if len(picture.boxes):
        first = guess_error(picture.label, found.classes, boxes, picture.boxes)
        kinds = first, box_error(known, picture.boxes)
        truth = scale_boxes(picture.boxes, picture.size, _size(picture.frame))
        hits = torch.stack([threshold_hits(found.saliency, truth), centre_hits(picture.boxes, picture.size)])
    shown = _explanation(classes, picture, found, kinds[1], known)
    record = make_record(classes, picture, found, boxes, known, outcome.score, kinds)
    return replace(outcome, hits=hits, first_guess=kinds[0], class_known=kinds[1], record=record, explanation=shown)


def keep(outcome: Outcome, folder: Path) -> Outcome:
    """The picture and its map as small files in the folder, named by the record."""
    assert outcome.record is not None
    assert outcome.explanation is not None
    return replace(
        outcome,
        record=keep_files(outcome.record, outcome.explanation.frame, outcome.explanation.saliency, folder),
    )


def find(convnet: ConvNet, picture: WholePicture, settings: LocalisationConfig) -> tuple[Rows, Explanation]:
    """The rows of predictions.csv of a picture of which nothing is known, and what there is to draw of it."""
    found = find_boxes(picture.frame, look_at(convnet, picture, settings), question(picture.label, settings))
    boxes = to_whole_pixels(scale_boxes(found.boxes, _size(picture.frame), picture.size))
    return _rows(convnet.classes, picture, found, boxes), _explanation(convnet.classes, picture, found, "", found.box)


def known_box(convnet: ConvNet, picture: WholePicture, settings: LocalisationConfig) -> Tensor:
    """The box for the picture's own class (4,) as `measure` finds it, without any guesses."""
    looked = look_at(convnet, picture, settings, guesses=0)
    found = find_boxes(picture.frame, looked, question(picture.label, settings, guesses=0))
    return to_whole_pixels(scale_boxes(found.box, _size(picture.frame), picture.size))


def draw_outcomes(
    trainer: Trainer, name: str, outcomes: list[Outcome], pictures: set[int], gallery: int, folder: Path | None
) -> None:
    """The panels of `pictures` in TensorBoard, `<name>/pictures`; with a folder as files in pictures/, sheet.png, and
    in gallery/ pages of the first so many of each kind of error of the first guess."""
    panels = {o.index: draw_explanation(o.explanation) for o in outcomes if o.explanation}
    drawn = [outcome for outcome in outcomes if outcome.index in pictures and outcome.index in panels]
    if drawn:
        overview = sheet([panels[outcome.index] for outcome in drawn], min(2, len(drawn)))
        show_picture(trainer, f"{name}/pictures", overview, folder and folder / "sheet.png")
    if folder is None:
        return
    for outcome in drawn:
        save_picture(panels[outcome.index], panel_file(folder, outcome.index, outcome.rows[0]["image"]))
    for kind in KINDS:
        of_kind = [panels[o.index] for o in outcomes if o.first_guess == kind and o.index in panels][:gallery]
        for number, page in enumerate(_pages(of_kind), start=1):
            save_picture(page, folder / "gallery" / f"{kind}_{number}.png")


def _pages(panels: list[Image.Image]) -> list[Image.Image]:
    return [sheet(panels[i : i + PAGE], min(2, len(panels))) for i in range(0, len(panels), PAGE)]


def question(label: int, settings: LocalisationConfig, guesses: int = 5) -> Question:
    """What is asked of a picture of that class. UserError where the settings contradict each other."""
    return Question(label, settings.preset, settings.blur, guesses, settings.repeat_classes)


def _outcome(classes: Classes, picture: WholePicture, found: Located) -> tuple[Outcome, Tensor, Tensor]:
    """The outcome, and in whole pixels of the original picture, as predictions.csv has them, the guessed boxes (K, 4)
    and the own class's box (4,): what is scored is what is written."""
    frame = _size(picture.frame)
    boxes = to_whole_pixels(scale_boxes(found.boxes, frame, picture.size))
    known = to_whole_pixels(scale_boxes(found.box, frame, picture.size))
    arguments = (picture.label, found.classes, boxes)
    score = score_picture(*arguments, known, picture.boxes, picture.size, found.saliency)
    rows = _rows(classes, picture, found, boxes)
    guesses = Guesses(tuple(classes.ids[c] for c in found.classes.tolist()), boxes)
    return Outcome(picture.index, rows, guesses, score), boxes, known


def _rows(classes: Classes, picture: WholePicture, found: Located, boxes: Tensor) -> Rows:
    overlaps, right = score_guesses(picture.label, found.classes, boxes, picture.boxes)
    rows = []
    for rank, (c, posterior) in enumerate(zip(found.classes.tolist(), found.posteriors.tolist(), strict=True)):
        box = to_inclusive(boxes[rank]).int().tolist()
        judged = (f"{float(overlaps[rank]):.4f}", int(right[rank])) if len(picture.boxes) else ("", "")
        values = (picture.name, rank + 1, c, classes.ids[c], f"{posterior:.6f}", *box, *judged)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _explanation(classes: Classes, picture: WholePicture, found: Located, kind: str, known: Tensor) -> Explanation:
    truth = scale_boxes(picture.boxes, picture.size, _size(picture.frame))
    best = f"{classes.short_name(int(found.classes[0]))} P = {float(found.posteriors[0]):.2f}"
    judged = ""
    if kind:
        judged = f": {kind_name(kind)}, IoU {hundredths(float(iou(known[None], picture.boxes).max()))}"
    own = f"{classes.short_name(picture.label)}{judged}   first guess" if picture.label >= 0 else picture.name
    boxes = found.box[None], truth
    return Explanation(picture.frame, found.saliency, f"{own}: {best}", found.mask, *boxes, found.seeds, found.evidence)


def _size(frame: Tensor) -> tuple[int, int]:
    return frame.shape[-2], frame.shape[-1]
