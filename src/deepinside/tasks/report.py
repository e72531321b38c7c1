"""task=report: report.html of a run or an analysis, made anew from its files; and at the end of every other task."""

from pathlib import Path

from deepinside.config import AnalyseConfig
from deepinside.errors import UserError
from deepinside.files import write_json
from deepinside.folders import newest_run
from deepinside.provenance import FILE, provenance
from deepinside.report import write_report
from deepinside.runs import open_run

PAGE = "report.html"


def report_again(config: AnalyseConfig) -> None:
    """Of the folder `config.run`; without the net."""
    if config.run is None:
        raise UserError("task=report needs run=DIR, the folder of a run or an analysis, or run=latest")
    if config.out:
        raise UserError("task=report writes report.html into the run's folder, beside its pictures: without out=")
    folder = newest_run(Path("runs")) if config.run == "latest" else Path(config.run)
    if open_run(folder).config.get("task") == "compare":
        raise UserError(f"{folder} is a comparison: its task=compare command makes the report with it")
    _write(folder)


def leave_report(folder: Path, started: float, resumed: bool = False) -> None:
    """The end of a run or an analysis that began, or went on, at `started`, `time.time()`: provenance.json and
    report.html."""
    write_json(folder / FILE, provenance(started, folder if resumed else None))
    _write(folder)


def _write(folder: Path) -> None:
    write_report(open_run(folder), folder / PAGE)
    print(f"report:  {folder / PAGE}")
