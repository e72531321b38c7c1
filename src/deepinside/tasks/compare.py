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

from deepinside.compare import Comparison, Measure, Shown, compare, keep_class_models, keep_pictures, trained
from deepinside.config import AnalyseConfig
from deepinside.errors import UserError
from deepinside.events import Curves, read_scalars
from deepinside.files import write_json
from deepinside.progress import Bar
from deepinside.provenance import FILE, provenance
from deepinside.report.comparison_report import write_comparison
from deepinside.result_tables import print_table
from deepinside.runs import open_run
from deepinside.tasks.analysis import shows, start
from deepinside.tasks.compared_maps import agreement_of_maps, summarise_agreement
from deepinside.tasks.side_by_side import draw_class_models, draw_pictures

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
IN_TENSORBOARD = 12  # pictures of its sheet
NOTE = (
    "difference: this minus first, 95% paired bootstrap over the pictures; only first, only this: pictures that one "
    "alone has right; p: McNemar's exact test on them, not corrected for several comparisons"
)


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


def difference_rows(comparison: Comparison, place: int) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of run number `place` against the first, in percent. The runs' names may be long."""
    head = ["", "first", "this", "difference [95%]", "p", "only first", "only this", "centre box"]
    rows = []
    for measure in comparison.measures:
        if measure.name not in MEASURES:
            continue
        found = measure.differences[place - 1]
        told = [f"{100 * measure.values[i]:.1f}" for i in (0, place)]
        told.append(f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]")
        test = found.mcnemar
        told += [_p(test.p), str(test.only_first), str(test.only_this)] if test else ["", "", ""]
        rows.append([title(measure), *told, _centre(measure, place)])
    return head, rows


def title(measure: Measure) -> str:
    """classification top-1 error"""
    name = MEASURES[measure.name]
    return f"{measure.part} {name}" if measure.name.endswith("_error") else name  # the others are of boxes alone


def _heading(comparison: Comparison, place: int) -> str:
    first, this = comparison.labels[0], comparison.labels[place]
    return f"{this} (this) against {first} (first), {len(comparison.pictures[0])} pictures"


def _centre(measure: Measure, place: int) -> str:
    told = [f"{100 * value:.1f}" for value in (measure.centre_box[0], measure.centre_box[place]) if value is not None]
    return " / ".join(dict.fromkeys(told))


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"


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
        head, rows = difference_rows(comparison, place)
        heading = escape(_heading(comparison, place))
        note = " ".join((f"{NOTE}.", comparison.caveat)) if comparison.caveat else NOTE
        table = Table(title=heading, title_justify="left", caption=note, caption_justify="left")
        for i, column in enumerate(head):
            table.add_column(column, justify="right" if i else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        print_table(table)
        if "spearman" in maps:
            told = [f"{name} {{:.2f}} [{{:.2f}}, {{:.2f}}]".format(*maps[key]) for name, key in _ALIKE.items()]
            print(f"their saliency maps of {maps['images']} pictures: {', '.join(told)}")


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
        writer.add_text("compare/settings", _markdown(["setting", *comparison.labels], settings))
        for place, label in enumerate(comparison.labels[1:], start=1):
            text = f"{_heading(comparison, place)}\n\n{_markdown(*difference_rows(comparison, place))}\n\n{NOTE}"
            writer.add_text(f"compare/{label}", text)
        sheets = {"pictures": draw_pictures(comparison.labels, shown[:IN_TENSORBOARD])}
        sheets["class_models"] = draw_class_models(comparison.labels, models)
        for name, sheet in sheets.items():
            if sheet:
                writer.add_image(f"compare/{name}", np.array(sheet), dataformats="HWC")


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
