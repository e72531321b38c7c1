"""report.html: what a run or an analysis found, as one static page. Nothing here imports torch."""

from deepinside.report.run_report import write_report

__all__ = ["write_report"]
