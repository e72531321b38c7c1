"""On which pictures the runs disagree most."""

from collections.abc import Sequence
from dataclasses import dataclass

from deepinside.records import Box, PictureRecord


@dataclass(frozen=True)
class Disagreement:
    """How the runs differ on one picture; lists hold a value a run.

    place: in the pairing; right: whether the first guess is right, by ILSVRC's rule where there are true boxes, else by
    its class alone; iou: of the box for the label with the true boxes, None without; overlap: the least IoU of that box
    with the first run's, None where only classes were guessed.
    """

    place: int
    image: str
    class_name: str
    right: list[bool]
    iou: list[float | None]
    overlap: float | None

    @property
    def differs(self) -> bool:
        """Whether some runs are right and some are wrong."""
        return len(set(self.right)) > 1

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Larger means more disagreement: right against wrong; then the largest difference of IoU; then 1 - overlap."""
        told = [value for value in self.iou if value is not None]
        return self.differs, max(told, default=0.0) - min(told, default=0.0), 1 - (self.overlap or 0.0)


def by_disagreement(pictures: Sequence[Sequence[PictureRecord]]) -> list[Disagreement]:
    """Every picture of `pairing.pair_pictures`, those on which the runs disagree most first, ties in their order."""
    found = [_disagreement(place, records) for place, records in enumerate(zip(*pictures, strict=True))]
    return sorted(found, key=lambda one: one.rank, reverse=True)


def overlap(first: Box | None, second: Box | None) -> float | None:
    """IoU of two boxes [x0, y0, x1, y1]; 0 for two empty ones, None where one is missing."""
    if first is None or second is None:
        return None
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0.0) * max(height, 0.0)
    either = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - both
    return both / either if either > 0 else 0.0


def _disagreement(place: int, records: Sequence[PictureRecord]) -> Disagreement:
    first = records[0]
    overlaps = [overlap(first.known_box, record.known_box) for record in records]
    return Disagreement(
        place=place,
        image=first.image,
        class_name=first.class_name,
        right=[(record.localisation or record.classification)["top1_error"] == 0 for record in records],
        iou=[record.localisation.get("mean_iou") for record in records],
        overlap=None if None in overlaps else min(one for one in overlaps if one is not None),
    )
