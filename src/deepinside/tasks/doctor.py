"""task=doctor: what the pictures, the machine and the weights are like."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from deepinside.config import AnalyseConfig
from deepinside.doctor import Finding, check_data, check_machine, check_names, check_weights
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.folders import make_folder
from deepinside.progress import Bar
from deepinside.result_tables import print_table

COLOURS = {"ok": "green", "warn": "yellow", "blocks": "bold red"}


def examine(config: AnalyseConfig) -> bool:
    """Prints the table, writes `<out>/doctor.json` where out is given; whether nothing blocks."""
    show = config.trainer.enable_progress_bar
    check_names(config.model)
    name = None if config.data.name == "shapes" else config.data.name  # the default, where a root is given
    if config.data.root is None:
        if name:
            raise UserError(f"data.root is needed for data.name={name}: the folder of the pictures")
        data, classes = (
            [Finding("data", "shapes are drawn here, they need no folder; data.root=DIR looks at one")],
            None,
        )
    else:
        settings = config.doctor
        data, classes = check_data(Path(config.data.root), name, settings.pictures, settings.annotations, show)
    machine = check_machine(Path(config.out or "runs"))
    with Bar("loading the weights", enabled=show):
        weights = check_weights(config.model, classes)
    findings = [*data, *machine, *weights]
    print_table(_table(data, machine, weights))
    counts = Counter(finding.state for finding in findings)
    print(f"{counts['ok']} ok, {counts['warn']} to know, {counts['blocks']} in the way")
    if config.out:
        make_folder(Path(config.out))
        content = {"findings": [asdict(finding) for finding in findings], "counts": dict(counts)}
        write_json(Path(config.out) / "doctor.json", content)
    return not counts["blocks"]


def _table(*groups: list[Finding]) -> Table:
    table = Table()
    for column in ("what", "found", "state", "fix"):
        table.add_column(column, overflow="fold", ratio={"found": 5, "fix": 4}.get(column))
    for group in groups:
        for finding in group:
            state = f"[{COLOURS[finding.state]}]{finding.state}[/]"
            table.add_row(escape(finding.what), escape(finding.found), state, escape(finding.fix))
        table.add_section()
    return table
