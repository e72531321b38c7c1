"""The report about one folder of results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepinside.class_model_numbers import PRESETS, chosen_numbers, recipe
from deepinside.events import read_scalars
from deepinside.provenance import FILE
from deepinside.records import KINDS
from deepinside.report.curves import charts, sanity_charts
from deepinside.report.figures import figure_rows, figures, headlines
from deepinside.report.gallery import JUDGES, cards, class_names, judges_of, kinds_of
from deepinside.report.page import write_page
from deepinside.report.prints import class_models, cuts, mean_image, saliency, sanity
from deepinside.report.settings import settings
from deepinside.runs import Run
from deepinside.words import listed

NOTHING = "\N{EN DASH}"


METHOD_TITLES = {
    "deconvnet": "DeconvNet",
    "guided": "guided back-prop",
    "gradient_x_input": "gradient times input",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "integrated gradients",
}
VIEWS = {"jitter": "shifted", "scale": "zoomed", "rotate": "turned", "blur": "blurred"}  # number: what it does


def write_report(run: Run, file: Path) -> None:
    """report.html about a run of train.py or an analysis: what is there is shown. Pictures stay where they are, named
    relative to the file; the page needs no network."""
    found, kept = figures(run.metrics), cards(run)
    curves = read_scalars(run.folder)
    main, more = charts(curves)
    changed, everything = settings(run.config)
    write_page(
        file,
        "run.html.j2",
        run=run,
        title=_title(run),
        about_run={name: _section(run.config, name) for name in ("model", "data", "trainer")},
        task=run.config.get("task"),
        figures=found,
        headlines=headlines(found),
        figure_rows=figure_rows(found),
        charts=main,
        more_charts=more,
        box_curves=any(tag.startswith("localisation/") for chart in main for tag in chart.tags),
        errors=run.metrics.get("errors", {}),
        rules=KINDS,
        judges=judges_of(kept) or JUDGES,
        cards=kept,
        kinds=kinds_of(kept),
        classes=class_names(kept),
        about={card.record.index: card.about for card in kept},
        mean_image=mean_image(run),
        class_models=class_models(run),
        about_class_models=_about_class_models(_section(run.config, "class_models")),
        saliency=saliency(run),
        about_saliency=_about_saliency(_section(run.config, "saliency")),
        cuts=cuts(run),
        sanity=sanity(run),
        sanity_charts=sanity_charts(curves),
        about_sanity=_about_sanity(run.metrics.get("sanity", run.metrics)),
        lists=_lists(run.metrics),
        changed=changed,
        settings=everything,
        made=_made(run.folder),
        unfinished=not run.metrics,
    )


def _title(run: Run) -> str:
    """The name; of an analysis below a run, runs/shapes/localise, with that of the run."""
    task = run.config.get("task")
    return f"{run.folder.resolve().parent.name}, {task}" if task == run.folder.name else run.name


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Its keys; {} where somebody wrote `model: null`."""
    values = config.get(name)
    return values if isinstance(values, dict) else {}


def _about_saliency(settings: Mapping[str, Any]) -> str:
    method, score = settings.get("method", "gradient"), settings.get("score", "score")
    how = "from one back-prop pass (paper, section 3.1)"
    if method != "gradient":
        how = f"by {METHOD_TITLES.get(method, method)}"
    what = "class score" if score == "score" else score.replace("_", " ").replace("softmax", "soft-max")
    over = "" if settings.get("reduction", "max") == "max" else f"; {settings['reduction']} over the channels"
    return f"Which pixels the {what} hangs on, {how}{over}."


def _about_sanity(results: Mapping[str, Any]) -> str:
    blank = max((row.get("blank_maps", 0) for row in results.get("stages", ())), default=0)
    about = (
        "Maps that depend on what was learnt fall apart, down to chance, as the weights are randomised from the last "
        "layer to the first (Adebayo et al. 2018). Chance: how alike the trained net\u2019s maps of different pictures "
        "are."
    )
    if not blank:
        return about
    return (
        f"{about} Up to {blank} of the {results['images']} maps of a stage came out blank, as behind a shut ReLU: "
        "beside a map that is not, their rank correlation counts as 0, below chance."
    )


def _about_class_models(settings: Mapping[str, Any]) -> str:
    about = "What the ConvNet imagines: the picture that maximises a class score (paper, section 2)."
    chosen = {"preset": "paper"} | dict(settings)
    if chosen["preset"] not in PRESETS:  # of another version
        return about
    numbers, told = chosen_numbers(chosen), recipe(chosen)
    seen = [word for name, word in VIEWS.items() if getattr(numbers, name)]
    shown = f"; traces are of the pictures {listed(seen)}, as they were shown" if seen else ""
    return f"{about} {told[0].upper()}{told[1:]}{shown}."


def _made(folder: Path) -> dict[str, Any]:
    """provenance.json; what it does not tell, or all where a folder has none, is None."""
    nothing = dict.fromkeys(("command", "commit", "versions", "machine", "started", "seconds"))
    try:
        return nothing | json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return nothing


def _lists(metrics: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]], list[int]]]:
    """What an analysis tells of each class, picture or layer: (title, columns, rows, places of columns of words)."""
    found = []
    for name, rows in metrics.items():
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            rows = [_with_compared(row) for row in rows]
            columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if _plain(value)))
            columns.sort(key=lambda key: key not in ("class", "name", "layer", "image"))
            cells = [[_told(row.get(column)) for column in columns] for row in rows]
            texts = [i for i, key in enumerate(columns) if any(isinstance(row.get(key), bool | str) for row in rows)]
            found.append((name, columns, cells, texts))
    return found


def _with_compared(row: Mapping[str, Any]) -> dict[str, Any]:
    """A class model's row, and behind it, as `log_softmax score`, what the other objective came to."""
    if not isinstance(other := row.get("compared"), dict):
        return dict(row)
    told = {key: value for key, value in other.items() if key not in ("objective", "no_gradient")}
    return {**row, **{f"{other.get('objective', 'other')} {key}": value for key, value in told.items()}}


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        told = f"{value:.4g}" if isinstance(value, float) else str(value)
        return f"\N{MINUS SIGN}{told[1:]}" if told.startswith("-") else told
    return NOTHING if value is None else str(value)
