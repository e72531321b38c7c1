"""In what the runs were configured differently."""

from collections.abc import Sequence
from pathlib import Path

from deepinside.config.heeded import HEEDED, heeds
from deepinside.config.options import as_typed, flat
from deepinside.errors import UserError
from deepinside.runs import Run, open_run

PLACES = {"name", "out", "run", "runs", "task", "resume", "overwrite"}
"""Keys that say where a run lies or how it was started, not what it is."""


def differing_settings(runs: Sequence[Run]) -> dict[str, list[str | None]]:
    """{key with dots: its value in each run, as one types it, None where the run does not have the key}.

    Only keys that at least two runs have with different values. An analysis of a run (task=localise run=...) has its
    own settings, those that its task heeds; the others are its run's, and so is the Trainer's section.
    """
    flat = [_settings(run) for run in runs]
    if all("classes" in run.metrics for run in runs):
        for run, settings in zip(runs, flat, strict=True):
            settings["model.num_classes"] = str(run.metrics["classes"])  # what null, the default, came to
    keys = dict.fromkeys(key for settings in flat for key in settings)
    columns = {key: [settings.get(key) for settings in flat] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values) - {None}) > 1}


def trained(run: Run) -> Run:
    """The run that trained the net: itself, or the one that it analysed, where that still is where it was: seen from a
    folder above the analysis, or from here."""
    analysed = run.config.get("run")
    if isinstance(analysed, str):
        for above in (*run.folder.absolute().parents, Path()):
            try:
                return open_run(above / analysed)
            except UserError:
                continue
    return run


def _settings(run: Run) -> dict[str, str]:
    task = run.config.get("task")  # of an analysis; what it does not heed says nothing about it
    own = {
        key: as_typed(value)
        for key, value in flat(run.config)
        if key not in PLACES and (task not in HEEDED or heeds(task, key))
    }
    source = trained(run)
    if source is run:
        return own
    weights = Path(own.get("model.weights", ""))
    if weights.parent.parent == Path(run.config["run"]):
        del own["model.weights"]  # the analysed run's checkpoint: a place
        own.pop("model.classes", None)
    return _settings(source) | {key: value for key, value in own.items() if not key.startswith("trainer.")}
