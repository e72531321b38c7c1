"""The numbers of metrics.json with their intervals and baselines, in the order in which one reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CLASSIFICATION = {"top1_error": "Classification error, top-1", "top5_error": "Classification error, top-5"}
LOCALISATION = {
    "gt_known_accuracy": "Boxes right, class known",
    "mean_iou": "Mean IoU, class known",
    "top1_error": "Localisation error, top-1",
    "top5_error": "Localisation error, top-5",
    "pointing_game": "Pointing game",
    "max_box_acc_v2": "MaxBoxAccV2",
    "saliency_mass": "Saliency inside the boxes",
    "max_box_acc": "MaxBoxAcc",
    "gt_known_accuracy_30": "Boxes right at IoU ≥ 0.3",
    "gt_known_accuracy_70": "Boxes right at IoU ≥ 0.7",
    "top2_error": "Localisation error, top-2",
    "top3_error": "Localisation error, top-3",
    "top4_error": "Localisation error, top-4",
}
HEADLINES = (
    ("classification", "top1_error"),
    ("localisation", "gt_known_accuracy"),
    ("localisation", "top1_error"),
    ("localisation", "mean_iou"),
    ("localisation", "pointing_game"),
    ("localisation", "max_box_acc_v2"),
)


@dataclass(frozen=True)
class Figure:
    """One measure, fractions in [0, 1]: the method's value and 95% interval, the trivial boxes' values, and the
    (difference, low, high) of method and centre box; None where it was not measured."""

    part: str
    key: str
    name: str
    value: float
    interval: Sequence[float] | None = None
    centre_box: float | None = None
    whole_image: float | None = None
    minus_centre: Sequence[float] | None = None

    @property
    def lower_is_better(self) -> bool:
        return self.key.endswith("error")


def figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """All that there are: those of the classification, then those of the localisation."""
    intervals, baselines = _table(metrics, "intervals"), _table(metrics, "baselines")
    found = []
    for part, names in (("classification", CLASSIFICATION), ("localisation", LOCALISATION)):
        measured, told = _table(metrics, part), _table(intervals, part)
        beside: dict[str, Mapping[str, Any]] = {"centre": {}, "whole": {}, "minus": {}}
        if part == "localisation":
            beside = {"centre": _table(baselines, "centre_box"), "whole": _table(baselines, "whole_image")}
            beside["minus"] = _table(intervals, "minus_centre_box")
        for key, name in names.items():
            if isinstance(measured.get(key), int | float):
                others = (beside[row].get(key) for row in ("centre", "whole", "minus"))
                found.append(Figure(part, key, name, measured[key], told.get(key), *others))
    return found


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """{} where the file holds something else there."""
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def headlines(found: list[Figure]) -> list[Figure]:
    """The few that stand at the top; without boxes the classification's."""
    chosen = [figure for wanted in HEADLINES for figure in found if (figure.part, figure.key) == wanted]
    return chosen if len(chosen) > 1 else found


def figure_rows(found: list[Figure]) -> list[list[Any]]:
    """Rows for the table: name, value, centre box, whole picture, difference to the centre box."""
    return [
        [
            figure.name,
            _cell(figure.value, figure.interval),
            _cell(figure.centre_box),
            _cell(figure.whole_image),
            _cell(figure.minus_centre[0], figure.minus_centre[1:], sign=True) if figure.minus_centre else None,
        ]
        for figure in found
    ]


def _cell(value: float | None, interval: Sequence[float] | None = None, sign: bool = False) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "interval": interval, "sign": sign}
