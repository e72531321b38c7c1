"""A comparison as tables of words: what the terminal and TensorBoard show."""

from deepinside.compare.comparison import Comparison
from deepinside.compare.measures import Measure
from deepinside.compare.seeds import OverSeeds, RecipeMeasure

MEASURES = {
    "top1_error": "top-1 error",
    "top5_error": "top-5 error",
    "gt_known_accuracy": "GT-known",
    "gt_known_accuracy_30": "GT-known, IoU 0.3",
    "gt_known_accuracy_70": "GT-known, IoU 0.7",
    "mean_iou": "mean IoU",
    "pointing_game": "pointing",
    "saliency_mass": "saliency mass",
}
NOTE = (
    "difference: this minus first, 95% interval, paired over the pictures; only first, only this: pictures that one "
    "alone has right; p: McNemar's exact test on them, not corrected for several comparisons"
)


def difference_rows(comparison: Comparison, place: int) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of run number `place` against the first, in percent. The runs' names may be long."""
    head = ["", "first", "this", "difference [95%]", "p", "only first", "only this", "centre box"]
    rows = []
    for measure in comparison.measures:
        if measure.name not in MEASURES:
            continue
        found = measure.differences[place - 1]
        told = [f"{100 * measure.values[i]:.1f}" for i in (0, place)]
        told.append(f"{100 * found.difference:+.1f}{_interval(found.low, found.high)}")
        test = found.mcnemar
        told += [_p(test.p), str(test.only_first), str(test.only_this)] if test else ["", "", ""]
        rows.append([title(measure), *told, _centre(measure, place)])
    return head, rows


def seeds_rows(seeds: OverSeeds) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table over seeds, in percent."""
    rows = []
    for measure in seeds.measures:
        if measure.name not in MEASURES:
            continue
        told = [
            f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} ±{100 * deviation:.1f}"
            for mean, deviation in zip(measure.means, measure.deviations, strict=True)
        ]
        for found in measure.differences:
            told.append(f"{100 * found.difference:+.1f}{_interval(*found.interval) if found.interval else ''}")
        rows.append([title(measure), *told])
    return ["", *seeds.titles], rows


def seeds_note(seeds: OverSeeds) -> str:
    """What the figures of that table are."""
    note = "mean ± standard deviation over runs that differ in their seed alone"
    if seeds.tells:
        note += "; minus: Welch's 95% interval, which covers chance in training, not the choice of pictures"
    return note


def title(measure: Measure | RecipeMeasure) -> str:
    """classification top-1 error"""
    name = MEASURES[measure.name]
    return f"{measure.part} {name}" if measure.name.endswith("_error") else name  # the others are of boxes alone


def heading(comparison: Comparison, place: int) -> str:
    first, this = comparison.labels[0], comparison.labels[place]
    return f"{this} (this) against {first} (first), {len(comparison.pictures[0])} pictures"


def _interval(low: float, high: float) -> str:
    return f" [{100 * low:+.1f}, {100 * high:+.1f}]"


def _centre(measure: Measure, place: int) -> str:
    told = [f"{100 * value:.1f}" for value in (measure.centre_box[0], measure.centre_box[place]) if value is not None]
    return " / ".join(dict.fromkeys(told))


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"
