"""task=compare: runs on the same pictures: a table, comparison.json, TensorBoard and report.html."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table
from torch.utils.tensorboard import SummaryWriter

from deepinside.compare import (
    Comparison,
    Shown,
    compare,
    keep_class_models,
    keep_pictures,
    trained,
)
from deepinside.compare.tables import NOTE, difference_rows, heading, seeds_note, seeds_rows
from deepinside.config import AnalyseConfig
from deepinside.errors import UserError
from deepinside.events import Curves, read_scalars
from deepinside.files import write_json
from deepinside.progress import Bar
from deepinside.provenance import FILE, provenance
from deepinside.report.comparison_report import write_comparison
from deepinside.result_tables import markdown_table, print_table
from deepinside.runs import open_run
from deepinside.tasks.analysis import shows, start
from deepinside.tasks.compared_maps import agreement_of_maps, summarise_agreement
from deepinside.tasks.side_by_side import draw_class_models, draw_pictures

IN_TENSORBOARD = 12  # pictures of its sheet


def compare_runs(config: AnalyseConfig) -> None:
    """Of the folders `config.runs`."""
    started = time.time()
    folders = [Path(name.strip()) for name in (config.runs or "").split(",") if name.strip()]
    runs, show = [open_run(folder) for folder in folders], shows(config)
    with Bar("reading what was found in the pictures", len(runs), "runs", enabled=show) as bar:
        for run in runs:
            _ = run.pictures  # read when asked for, kept from then on
            bar.advance()
    with Bar("resampling the pictures", enabled=show):
        comparison = compare(runs)
    names = "_".join(label.replace("/", "-") for label in comparison.labels)
    out = Path(config.out) if config.out else Path("runs") / f"compare_{names}"
    read = [place for run in comparison.runs for place in (run.folder, run.pictures_folder) if place]
    if out.resolve() in [place.resolve() for place in read]:
        raise UserError(f"out={out} is one of the runs: give another folder")
    config.out = str(out)  # by default, too, another's files are not to be touched: a run may have this name
    start(config, out)
    alike = agreement_of_maps(comparison, show)
    agreement = summarise_agreement(comparison.labels, alike)
    write_json(out / "comparison.json", comparison.as_json() | {"agreement": agreement})
    correlations = [{place: found[0] for place, found in of_run.items()} for of_run in alike]
    shown, models = keep_pictures(comparison, correlations, out), keep_class_models(comparison, out)
    curves = [read_scalars(trained(run).folder) for run in comparison.runs]
    _log(comparison, shown, models, curves, out)
    made = provenance(started)
    write_json(out / FILE, made)
    write_comparison(out / "report.html", comparison, agreement, shown, models, curves, made)
    _print(comparison, agreement)
    print(f"results: {out}   (comparison.json, kept/)")
    print(f"look:    tensorboard --logdir {quote(str(out))} --samples_per_plugin images=100")
    print(f"report:  {out / 'report.html'}")


def _print(comparison: Comparison, agreement: Sequence[dict[str, Any]]) -> None:
    labels = comparison.labels
    if comparison.settings:
        table = Table("setting", *map(escape, labels), title="different settings", title_justify="left")
        for key, values in comparison.settings.items():
            table.add_row(key, *("" if value is None else escape(value) for value in values))
        print_table(table)
    else:
        print("no setting differs")
    for place, maps in enumerate(agreement, start=1):
        note = " ".join((f"{NOTE}.", comparison.caveat)) if comparison.caveat else NOTE
        _print_rows(heading(comparison, place), note, *difference_rows(comparison, place))
        if "spearman" in maps:
            told = [f"{name} {{:.2f}} [{{:.2f}}, {{:.2f}}]".format(*maps[key]) for name, key in _ALIKE.items()]
            print(f"their saliency maps of {maps['images']} pictures: {', '.join(told)}")

    if comparison.seeds:
        alike = [", ".join(recipe.runs) for recipe in comparison.seeds.recipes if len(recipe.runs) > 1]
        _print_rows(f"over seeds: {'; '.join(alike)}", seeds_note(comparison.seeds), *seeds_rows(comparison.seeds))


def _print_rows(heading: str, note: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=escape(heading), title_justify="left", caption=note, caption_justify="left")
    for i, column in enumerate(head):
        table.add_column(escape(column), justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    print_table(table)


_ALIKE = {"Spearman": "spearman", "SSIM": "ssim"}


def _log(
    comparison: Comparison,
    shown: Sequence[Shown],
    models: Mapping[str, list[Path | None]],
    curves: Sequence[Curves],
    out: Path,
) -> None:
    """The tables as text, the pictures of most disagreement and the class models as a sheet each; below curves/ every
    run's curves, so that SCALARS lays them over each other."""
    for label, of_run in zip(comparison.labels, curves, strict=True):
        with SummaryWriter(str(out / "curves" / label)) as writer:
            for tag, points in of_run.items():
                for step, value in points:
                    writer.add_scalar(tag, value, step)
    with SummaryWriter(str(out)) as writer:
        settings = [[key, *(value or "" for value in values)] for key, values in comparison.settings.items()]
        writer.add_text("compare/settings", markdown_table(["setting", *comparison.labels], settings))
        for place, label in enumerate(comparison.labels[1:], start=1):
            text = f"{heading(comparison, place)}\n\n{markdown_table(*difference_rows(comparison, place))}\n\n{NOTE}"
            writer.add_text(f"compare/{label}", text)
        if comparison.seeds:
            text = f"{markdown_table(*seeds_rows(comparison.seeds))}\n\n{seeds_note(comparison.seeds)}"
            writer.add_text("compare/over_seeds", text)
        sheets = {"pictures": draw_pictures(comparison.labels, shown[:IN_TENSORBOARD])}
        sheets["class_models"] = draw_class_models(comparison.labels, models)
        for name, sheet in sheets.items():
            if sheet:
                writer.add_image(f"compare/{name}", np.array(sheet), dataformats="HWC")
