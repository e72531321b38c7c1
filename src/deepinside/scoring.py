"""Scores without a net: boxes that know nothing, on any annotations, and guesses that lie in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepinside.bootstrap import interval, resampled_means
from deepinside.boxes import centre_box, iou
from deepinside.data.box_files import BoxedPicture
from deepinside.errors import UserError
from deepinside.metrics import LocalisationError, Outcomes, box_error, guess_error, score_picture, summarise
from deepinside.metrics.max_box import IOUS, centre_hits
from deepinside.predictions import Guesses

STEP = 2  # per cent of a side between two centred boxes of which the best two or three are sought


def without_boxes(pictures: Sequence[BoxedPicture], blacklist: set[str]) -> list[BoxedPicture]:
    """The same pictures; those of the blacklist have no boxes, so that they count for the classification alone."""
    return [replace(p, boxes=p.boxes[:0]) if p.name in blacklist else p for p in pictures]


def trivial_boxes(pictures: Sequence[BoxedPicture]) -> dict[str, Any]:
    """What boxes that know nothing reach, the right class assumed:

    {"images", "boxes", "rows": [{"box", "accuracy", "interval"}, ...]}: shares of the pictures with boxes where IoU is
    >= 0.5 with any true box (of several guesses: with one of them), with 95% intervals. Best sizes are chosen
    on these very pictures. The row against the first true box alone shows what that common mistake does. UserError
    where no picture has boxes, or a size is unknown.
    """
    boxed = _sized(pictures)
    hits = torch.stack([centre_hits(p.boxes, p.size) for p in boxed if p.size])  # (N, 4, 100)
    half = hits[:, 0].float()
    larger = [(centre_box(p.size, 0.75)[None].double(), p.boxes[:1].double()) for p in boxed if p.size]
    first_box = [iou(*both).item() >= 0.5 for both in larger]
    v2 = hits[:, 1:].float().mean(dim=0).max(dim=1)
    single = int(half.mean(dim=0).argmax())
    fractions = [i for i in range(100) if (i + 1) % STEP == 0]
    chosen = {
        "whole image": half[:, 99],
        "centred, 75% of each side": half[:, 74],
        "centred, 72% of each side": half[:, 71],
        f"centred, {single + 1}% (best)": half[:, single],
    }
    for count, name in ((2, "two"), (3, "three")):
        best = [fractions[i] for i in _best(half[:, fractions], count)]
        chosen[f"best {name} centred ({', '.join(f'{i + 1}%' for i in best)})"] = half[:, best].amax(dim=1)
    chosen["75% box against the first true box only (a mistake)"] = torch.tensor(first_box).float()
    sizes = ", ".join(f"{int(i) + 1}% at {level}" for i, level in zip(v2.indices, IOUS[1:], strict=True))
    best_each = torch.stack([hits[:, 1 + row, int(i)] for row, i in enumerate(v2.indices)]).float().mean(dim=0)
    chosen[f"MaxBoxAccV2 of centred boxes ({sizes})"] = best_each
    return {
        "images": len(boxed),
        "boxes": sum(len(picture.boxes) for picture in boxed),
        "rows": [_row(name, values) for name, values in chosen.items()],
    }


def _sized(pictures: Sequence[BoxedPicture]) -> list[BoxedPicture]:
    """Those with boxes, or a UserError."""
    boxed = [picture for picture in pictures if len(picture.boxes)]
    unsized = [picture.name for picture in boxed if picture.size is None]
    if not boxed or unsized:
        wrong = f"the sizes of {len(unsized)} pictures are unknown (first: {unsized[0]})" if unsized else "no boxes"
        raise UserError(f"{wrong}; XMLs have sizes, and so has localization.txt with image_sizes.txt beside it")
    return boxed


def score_guesses_in_files(pictures: Sequence[BoxedPicture], guesses: Mapping[str, Guesses]) -> dict[str, Any]:
    """Guesses scored as ILSVRC does, as `summarise` says, with "without_guess": pictures that have none and count as
    wrong. The known box is a picture's first guess of its own class: figures that need it are given only where every
    picture has one. UserError for guesses about pictures that there are not, and pictures without a class.
    """
    names = {picture.name for picture in pictures}
    strange = [name for name in guesses if name not in names]
    if strange:
        raise UserError(f"{len(strange)} of {len(guesses)} guessed pictures have no true boxes (first: {strange[0]})")
    error, scores, kinds, known_kinds = LocalisationError(), [], [], []
    empty = Guesses((), torch.zeros(0, 4))
    for picture in pictures:
        if not picture.label_id:
            raise UserError(
                f"the class of {picture.name} is unknown: no box tells it, nor class_labels.txt beside localization.txt"
            )
        guess = guesses.get(picture.name, empty)
        own = torch.tensor([identifier == picture.label_id for identifier in guess.ids], dtype=torch.long)
        known = guess.boxes[int(own.argmax())] if own.any() else None
        scores.append(score_picture(1, own, guess.boxes, known, picture.boxes, picture.size))
        error.update(scores[-1])
        if len(picture.boxes):
            kinds.append(guess_error(1, own, guess.boxes, picture.boxes))
            if known is not None:
                known_kinds.append(box_error(known, picture.boxes))
    outcomes = Outcomes(scores, (), kinds, known_kinds if len(known_kinds) == len(kinds) else ())
    without = sum(not guesses.get(name, empty).ids for name in names)
    return summarise(error.compute(), outcomes) | {"without_guess": without}


def _best(hits: Tensor, count: int) -> list[int]:
    """Which two or three columns of (N, F) together hit the most rows."""
    if count == 2:
        return sorted(_best_pair(hits)[1:])
    found = [(*_best_pair(torch.maximum(hits, hits[:, i, None])), i) for i in range(hits.shape[1])]
    return sorted(max(found)[1:])


def _best_pair(hits: Tensor) -> tuple[int, int, int]:
    """How many rows of (N, F) the best two columns hit together, and which they are."""
    alone = hits.sum(dim=0)
    either = alone[:, None] + alone - hits.T @ hits
    return int(either.max()), *divmod(int(either.argmax()), len(alone))


def _row(name: str, values: Tensor) -> dict[str, Any]:
    each = values.double().numpy()
    draws = np.concatenate(list(resampled_means(each)))
    return {"box": name, "accuracy": float(each.mean()), "interval": list(interval(draws, each))}
