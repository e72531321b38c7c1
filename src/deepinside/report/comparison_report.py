"""The report about a comparison of runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepinside.compare import Comparison, Difference, Measure, OverSeeds, RecipeMeasure, Shown
from deepinside.compare.tables import MEASURES
from deepinside.records import Box
from deepinside.report.charts import Series
from deepinside.report.curves import NEVER, Chart, Points
from deepinside.report.figures import CLASSIFICATION, LOCALISATION
from deepinside.report.page import percent, write_page
from deepinside.report.prints import prints
from deepinside.words import hundredths

CURVES = {
    "train/loss": ("Loss, training", False),
    "val/loss": ("Loss, validation", False),
    "val/top1_error": (CLASSIFICATION["top1_error"], True),
    "val/top5_error": (CLASSIFICATION["top5_error"], True),
} | {f"localisation/{key}": (name, True) for key, name in LOCALISATION.items()}
HEADLINES = [("classification", "top1_error"), ("localisation", "top1_error"), ("localisation", "top5_error")]
HEADLINES += [("localisation", key) for key in ("gt_known_accuracy", "mean_iou", "pointing_game")]


@dataclass(frozen=True)
class Headline:
    """A main measure: its name, its difference, what follows from that, and the values and p in words."""

    name: str
    difference: Difference
    verdict: str
    values: str


@dataclass(frozen=True)
class Against:
    """One further run against the first. span: all intervals of the headlines lie in +- span; agreement: as in
    comparison.json."""

    label: str
    headlines: list[Headline]
    span: float
    rows: list[list[Any]]
    agreement: Mapping[str, Any]


@dataclass(frozen=True)
class Panel:
    """A picture as one run sees it: its map and boxes for the picture's class, and its first guess in words."""

    heat: Path | None
    size: tuple[int, int]
    boxes: list[tuple[Box, str]]
    guess: str
    right: bool
    iou: float | None
    alt: str


@dataclass(frozen=True)
class ComparedCard:
    """A picture of the gallery, a panel a run. alike: the least correlation of maps with the first run's."""

    photo: Path
    place: int
    image: str
    class_name: str
    class_id: str
    differs: bool
    alike: float | None
    panels: list[Panel]

    @property
    def alone(self) -> int | None:
        """The run whose first guess alone is right."""
        right = [i for i, panel in enumerate(self.panels) if panel.right]
        return right[0] if len(right) == 1 else None


def write_comparison(
    file: Path,
    comparison: Comparison,
    agreement: Sequence[Mapping[str, Any]],
    shown: Sequence[Shown],
    class_models: Mapping[str, Sequence[Path | None]],
    curves: Sequence[Mapping[str, Points]],
    made: Mapping[str, Any],
) -> None:
    """report.html. agreement: a row for each further run; shown, class_models: what `keep_pictures` and
    `keep_class_models` copied beside the file; curves: every run's; made: as in provenance.json."""
    labels = comparison.labels
    main, more = overlaid(labels, curves)
    cards = [_card(labels, one) for one in shown]
    write_page(
        file,
        "comparison.html.j2",
        title=" against ".join(reversed(labels)) if len(labels) == 2 else ", ".join(labels),
        labels=labels,
        folders=[str(run.folder) for run in comparison.runs],
        total=len(comparison.pictures[0]),
        differing=sum(one.differs for one in comparison.disagreements),
        caveat=comparison.caveat,
        against=[_against(comparison, place, agreement[place - 1]) for place in range(1, len(labels))],
        over_seeds=_over_seeds(comparison.seeds) if comparison.seeds else None,
        settings=[[key, *values] for key, values in comparison.settings.items()],
        charts=main,
        more_charts=more,
        cards=cards,
        mapped=any(panel.heat for card in cards for panel in card.panels),
        boxed=any(panel.boxes for card in cards for panel in card.panels),
        classes=sorted({one.found.class_name for one in shown}, key=str.lower),
        class_models=_models(class_models),
        made=made,
    )


def overlaid(labels: Sequence[str], curves: Sequence[Mapping[str, Points]]) -> tuple[list[Chart], list[Chart]]:
    """A line a run: the main charts and the rest by their tags, of curves that at least two runs have."""
    tags = dict.fromkeys([*CURVES, *sorted({tag for of_run in curves for tag in of_run})])
    main: list[Chart] = []
    more: list[Chart] = []
    for tag in tags:
        series = [
            Series(label, of_run[tag], f"c{i % 8}")
            for i, (label, of_run) in enumerate(zip(labels, curves, strict=True))
            if len(of_run.get(tag, [])) > 1
        ]
        if len(series) > 1 and not tag.startswith(NEVER):
            name, in_percent = CURVES.get(tag, (tag, False))
            (main if tag in CURVES else more).append(Chart(name, series, (tag,), in_percent))
    return main, more


def _against(comparison: Comparison, place: int, agreement: Mapping[str, Any]) -> Against:
    found = {(one.part, one.name): one for one in comparison.measures}
    chosen = [_headline(found[key], place) for key in HEADLINES if key in found]
    bounds = [abs(bound) for one in chosen for bound in (one.difference.low, one.difference.high)]
    span = math.ceil(max([0.01, *bounds]) * 20) / 20  # whole steps of five points
    return Against(comparison.labels[place], chosen, span, list(_rows(comparison, place)), agreement)


def _headline(measure: Measure, place: int) -> Headline:
    found = measure.differences[place - 1]
    # Both must say so: of few pictures that only one run has right, an interval alone is too sure.
    clear = (found.low > 0 or found.high < 0) and (found.mcnemar is None or found.mcnemar.p < 0.05)
    better = (found.difference < 0) == measure.lower_is_better
    verdict = ("better" if better else "worse") if clear else "no clear difference"
    values = f"{percent(measure.values[0])} → {percent(measure.values[place])}"
    test = f", p = {_p(found.mcnemar.p)}".replace("= <", "<") if found.mcnemar else ""
    return Headline(_name(measure), found, verdict, values + test)


def _rows(comparison: Comparison, place: int) -> Iterator[list[Any]]:
    """For the table of all measures: name, both values, difference, p, who alone is right, centred box."""
    for one in comparison.measures:
        found = one.differences[place - 1]
        difference = {"value": found.difference, "interval": [found.low, found.high], "sign": True}
        test = found.mcnemar
        told = [_p(test.p), str(test.only_first), str(test.only_this)] if test else [None, None, None]
        values = [{"value": one.values[i]} for i in (0, place)]
        centre = [percent(value) for value in (one.centre_box[0], one.centre_box[place]) if value is not None]
        yield [_name(one), *values, difference, *told, " / ".join(dict.fromkeys(centre)) or None]


def _over_seeds(seeds: OverSeeds) -> dict[str, Any]:
    """The recipes, the table's titles, and its rows, those of the terminal: name, mean and deviation of each recipe,
    differences."""
    rows = []
    for one in seeds.measures:
        if one.name not in MEASURES:
            continue
        told = [
            percent(mean) if deviation is None else f"{percent(mean)} ± {percent(deviation)}"
            for mean, deviation in zip(one.means, one.deviations, strict=True)
        ]
        differences = [{"value": d.difference, "interval": d.interval, "sign": True} for d in one.differences]
        rows.append([_name(one), *told, *differences])
    return {"recipes": seeds.recipes, "head": ["per cent", *seeds.titles], "rows": rows, "tells": seeds.tells}


def _name(measure: Measure | RecipeMeasure) -> str:
    names = CLASSIFICATION if measure.part == "classification" else LOCALISATION
    rank = measure.name.removeprefix("top").removesuffix("_error")
    return names.get(measure.name, f"{measure.part.capitalize()} error, top-{rank}")


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def _card(labels: Sequence[str], one: Shown) -> ComparedCard:
    first, found = one.records[0], one.found
    alike = min((value for value in one.alike if value is not None), default=None)
    panels = [_panel(labels[i], one, i) for i in range(len(labels))]
    named = (found.image, found.class_name, first.class_id)
    return ComparedCard(one.photo, found.place, *named, found.differs, alike, panels)


def _panel(label: str, one: Shown, i: int) -> Panel:
    record, right, iou = one.records[i], one.found.right[i], one.found.iou[i]
    guess = f"{record.guesses[0].class_name} {record.guesses[0].posterior:.2f}" if record.guesses else "no guess"
    judged = f"{'right' if right else 'wrong'}{'' if iou is None else f', IoU {hundredths(iou)}'}"
    boxes = [(box, "truth") for box in record.boxes] + ([(record.known_box, "guess")] if record.known_box else [])
    alt = f"{one.found.class_name}, {label}: first guess {guess}, {judged}"
    return Panel(one.maps[i], record.size, boxes, guess, right, iou, alt)


def _models(models: Mapping[str, Sequence[Path | None]]) -> list[tuple[str, list[Any]]]:
    """[(class, [{"path", "width", "height", "alt"} or None of each run])]"""
    return [
        (
            name.replace("_", " "),
            [next(iter(prints([file] if file else [], "class model")), None) for file in files],
        )
        for name, files in models.items()
    ]
