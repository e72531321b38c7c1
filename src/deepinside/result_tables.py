"""Results as tables, on the terminal and for TensorBoard."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from deepinside.words import counted, kind_name

COLUMNS = {
    "top-1 error": "top1_error",
    "top-5 error": "top5_error",
    "GT-known": "gt_known_accuracy",
    "mean IoU": "mean_iou",
    "pointing": "pointing_game",
    "MaxBoxAccV2": "max_box_acc_v2",
}


def print_results(metrics: Mapping[str, Any]) -> None:
    """The main numbers of metrics.json as a table on the terminal, in percent, and the kinds of error below."""
    table = Table(title=counted(metrics["images"], "validation picture"), title_justify="left")
    rows = {"classification": metrics["classification"]}
    if "localisation" in metrics:
        rows |= {"localisation": metrics["localisation"], **metrics["baselines"]}
    told = {head: key for head, key in COLUMNS.items() if any(key in row for row in rows.values())}
    for column in ("", *told):
        table.add_column(column, justify="left" if not column else "right")
    intervals = metrics.get("intervals", {})
    for name, row in rows.items():
        table.add_row(name.replace("_", " "), *(_percent(row, intervals.get(name, {}), key) for key in told.values()))
    print_table(table)
    less = intervals.get("minus_centre_box", {})
    differences = [f"{head} {_difference(less[key])}" for head, key in COLUMNS.items() if key in less]
    if differences:
        print(f"minus centre box: {', '.join(differences)}")
    for name, counts in metrics.get("errors", {}).items():
        kinds = ", ".join(f"{kind_name(kind)} {count}" for kind, count in counts.items())
        print(f"{name.replace('_', ' ')}: {kinds}")


def print_trivial_boxes(figures: Mapping[str, Any]) -> None:
    """`scoring.trivial_boxes` as a table, in percent."""
    table = Table(
        title=f"{counted(figures['images'], 'picture')}, {counted(figures['boxes'], 'box', 'boxes')}; class known",
        title_justify="left",
    )
    table.add_column("box")
    table.add_column("IoU >= 0.5", justify="right")
    table.add_column("95%", justify="right")
    for row in figures["rows"]:
        low, high = row["interval"]
        table.add_row(row["box"], f"{100 * row['accuracy']:.2f}", f"[{100 * low:.2f}, {100 * high:.2f}]")
    print_table(table)


def _percent(row: Mapping[str, float], intervals: Mapping[str, Any], key: str) -> str:
    """In percent, with the 95% interval below."""
    if key not in row:
        return ""
    bounds = "\n[{:.1f}, {:.1f}]".format(*(100 * bound for bound in intervals[key])) if key in intervals else ""
    return f"{100 * row[key]:.1f}{bounds}"


def _difference(numbers: Sequence[float]) -> str:
    return "{:+.1f} [{:.1f}, {:.1f}]".format(*(100 * number for number in numbers))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As TensorBoard's TEXT shows it; a | within a cell would end it, a new line the table, and < begin a tag."""
    lines = [head, ["---"] * len(head), *rows]
    shown = str.maketrans({"|": "\\|", "&": "&amp;", "<": "&lt;", "\n": " "})
    return "\n".join(f"| {' | '.join(cell.translate(shown) for cell in line)} |" for line in lines)


def print_table(table: Table, width: int = 120) -> None:
    """On the terminal at its own width, elsewhere `width` characters wide."""
    Console(width=None if sys.stdout.isatty() else width).print(table)
