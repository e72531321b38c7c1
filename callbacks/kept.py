"""What is kept of a picture that was evaluated: its line of pictures.jsonl, and two small files for reports."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from deepinside.data.picture import Classes
from deepinside.data.views import WholePicture
from deepinside.localisation.locate import Located
from deepinside.metrics import ERRORS, MEASURES, PictureScore, possible_errors, score_guesses
from deepinside.plots import grey_map
from deepinside.records import Guess, PictureRecord

FOLDER = "kept"
PICTURE_SIDE, MAP_SIDE = 256, 128  # the short sides at most, pixels
LONG = 16  # the long sides at most, in those: JPEG ends at 65500 pixels


def make_record(
    classes: Classes,
    picture: WholePicture,
    found: Located,
    boxes: Tensor,
    known: Tensor,
    score: PictureScore,
    kinds: tuple[str, str],
) -> PictureRecord:
    """boxes (K, 4), known (4,): what is scored, in whole pixels of the original picture. A measure that could not be
    told of this picture is left out."""
    ids = classes.ids
    overlaps, right = score_guesses(picture.label, found.classes, boxes, picture.boxes)
    judged = len(picture.boxes) > 0
    errors = dict(zip(ERRORS, score.classes.tolist(), strict=True))
    guesses = [
        Guess(ids[c], classes.short_name(c), posterior, box, overlap if judged else None, hit if judged else None)
        for c, posterior, box, overlap, hit in zip(
            found.classes.tolist(),
            found.posteriors.tolist(),
            boxes.tolist(),
            overlaps.tolist(),
            right.tolist(),
            strict=True,
        )
    ]
    return PictureRecord(
        index=picture.index,
        image=picture.name,
        size=picture.size,
        class_id=ids[picture.label],
        class_name=classes.short_name(picture.label),
        boxes=picture.boxes.tolist(),
        guesses=guesses,
        known_box=known.tolist(),
        classification={name: errors[name] for name in possible_errors(len(ids))},
        localisation={} if score.rows is None else _told(MEASURES, score.rows[0]),
        first_guess=kinds[0],
        class_known=kinds[1],
    )


def keep_files(record: PictureRecord, frame: Tensor, saliency: Tensor | None, folder: Path) -> PictureRecord:
    """Writes kept/<index>.jpg, frame uint8 (3, H, W), and, if there is a map, kept/<index>_map.png, saliency (H, W)
    >= 0, both no larger than a report needs; the record with their names."""
    stem = f"{FOLDER}/{record.index:05d}"
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    picture = _at_most(Image.fromarray(frame.permute(1, 2, 0).cpu().numpy()), PICTURE_SIDE)
    picture.save(folder / f"{stem}.jpg", quality=85)
    record = replace(record, picture=f"{stem}.jpg")
    if saliency is None:
        return record
    _at_most(Image.fromarray(grey_map(saliency)), MAP_SIDE).save(folder / f"{stem}_map.png")
    return replace(record, saliency=f"{stem}_map.png")


def _told(names: Sequence[str], values: Tensor) -> dict[str, float]:
    return {name: value for name, value in zip(names, values.tolist(), strict=True) if not math.isnan(value)}


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    """Its short side at most `side`, its long one LONG times that; averaged over what a pixel covers, not enlarged."""
    zoom = min(1.0, side / min(picture.size), LONG * side / max(picture.size))
    size = (max(1, round(picture.width * zoom)), max(1, round(picture.height * zoom)))
    return picture.resize(size, Image.Resampling.BOX) if zoom < 1 else picture
