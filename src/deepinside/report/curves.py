"""Which curves of a run are drawn together, and what they are called."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepinside.report.charts import Series
from deepinside.report.figures import LOCALISATION

Points = Sequence[tuple[int, float]]
BOXES = {"localisation": ("saliency", ""), "localisation_centre_box": ("centre box", "centre")}
BOXES |= {"localisation_whole_image": ("whole picture", "whole")}
SANITY = {"sanity": ("saliency", ""), "sanity_centre_box": ("centre box", "centre")}
DRIFT = {"saliency/drift_spearman": ("Spearman", ""), "saliency/drift_ssim": ("SSIM", "")}
Group = tuple[str, Mapping[str, tuple[str, str]], bool]  # title, {tag: (name, look)}, whether they are fractions
NEVER = ("epoch", "hp_metric", "val/images", "test", "sanity")  # beginnings of tags that are no curves


@dataclass(frozen=True)
class Chart:
    """Lines of one picture; percent: their values are fractions; tags: where they come from."""

    title: str
    series: list[Series]
    tags: tuple[str, ...]
    percent: bool = False


def charts(curves: Mapping[str, Points]) -> tuple[list[Chart], list[Chart]]:
    """The main ones, and the rest by their tags; a curve has two points at least."""
    drawn = {tag: points for tag, points in curves.items() if len(points) > 1 and not tag.startswith(NEVER)}
    main = list(_main(drawn))
    told = {tag for chart in main for tag in chart.tags}
    rest = [Chart(tag, [Series(tag.rpartition("/")[2], drawn[tag])], (tag,)) for tag in sorted(set(drawn) - told)]
    return main, rest


def sanity_charts(curves: Mapping[str, Points]) -> list[Chart]:
    """How alike maps stay, and how many boxes stay right, over the number of layers with randomised weights."""
    chance = ("chance", "centre")
    groups: list[Group] = [
        ("Maps: rank correlation", {"sanity/spearman": ("saliency", ""), "sanity_chance/spearman": chance}, False),
        ("Maps: SSIM", {"sanity/ssim": ("saliency", ""), "sanity_chance/ssim": chance}, False),
        (
            LOCALISATION["gt_known_accuracy"],
            {f"{row}/gt_known_accuracy": look for row, look in SANITY.items()},
            True,
        ),
    ]
    return list(_drawn(curves, groups))


def _main(curves: Mapping[str, Points]) -> Iterator[Chart]:
    """Loss and errors, the boxes with their baselines, learning rate, drift of maps, what looking costs."""
    groups: list[Group] = [
        ("Loss", {"train/loss": ("training", ""), "val/loss": ("validation", "")}, False),
        ("Classification error", {"val/top1_error": ("top-1", ""), "val/top5_error": ("top-5", "")}, True),
    ]
    for key, name in LOCALISATION.items():
        groups.append((name, {f"{row}/{key}": look for row, look in BOXES.items()}, True))
    rates = {tag: (tag.removeprefix("lr-"), "") for tag in curves if tag.startswith("lr-")}
    groups.append(("Learning rate", rates, False))
    groups.append(("Saliency: how like the look before", DRIFT, False))
    overhead = {tag: (tag.partition("/")[2].replace("_", " "), "") for tag in curves if tag.startswith("overhead/")}
    groups.append(("Time spent looking", overhead, True))
    return _drawn(curves, groups)


def _drawn(curves: Mapping[str, Points], groups: Sequence[Group]) -> Iterator[Chart]:
    for title, lines, percent in groups:
        series = {tag: Series(name, curves[tag], look) for tag, (name, look) in lines.items() if tag in curves}
        if series:
            yield Chart(title, list(series.values()), tuple(series), percent)
