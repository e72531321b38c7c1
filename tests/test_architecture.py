"""Who may import whom, and that the house stays in order."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "callbacks").glob("*.py")])

# Every room, and the rooms it may use. Rooms below `config` take tensors, arrays and plain arguments.
MAY_USE = {
    "doctor": {"config", "data", "errors", "localisation", "models", "progress", "words"},
    "errors": set(),
    "boxes": {"errors"},
    "bootstrap": set(),
    "attribution": {"errors"},
    "class_model": {"attribution", "class_model_numbers"},
    "class_model_numbers": {"words"},
    "localisation": {"attribution", "boxes", "errors"},
    "lettering": set(),
    "tiles": {"lettering"},
    "plots": {"boxes", "lettering", "tiles"},
    "compare": {"bootstrap", "config", "errors", "folders", "records", "runs"},
    "config": {"errors"},
    "load_config": {"config", "errors"},
    "files": {"errors"},
    "folders": {"config", "errors"},
    "launch": {"errors"},
    "trainer": {"config", "errors", "launch"},
    "checkpoint": {"classifier", "errors"},
    "endings": {"checkpoint", "config", "folders"},
    "result_tables": {"words"},
    "metrics": {"bootstrap", "boxes", "records"},
    "predictions": {"boxes", "data", "errors"},
    "progress": set(),
    "records": {"errors", "files"},
    "runs": {"errors", "records"},
    "words": set(),
    "events": set(),
    "provenance": set(),
    "report": {
        "class_model_numbers",
        "compare",
        "config",
        "errors",
        "events",
        "files",
        "provenance",
        "records",
        "runs",
        "words",
    },
    "scoring": {"bootstrap", "boxes", "data", "errors", "metrics", "predictions"},
    "models": {"config", "data", "errors"},
    "data": {"boxes", "config", "errors", "models", "progress"},
    "classifier": {"config", "data", "errors", "models"},
}
# Above the callbacks: what analyse.py's tasks do with them. Like callbacks/, it may use everything.
TASKS = "tasks"
ALONE = {
    "maxflow": {"src/deepinside/localisation/graph_cut.py"},
    "numba": {"src/deepinside/localisation/max_flow.py"},
    "matplotlib": {"src/deepinside/plots.py", "src/deepinside/lettering.py"},
    "tensorboard": {"callbacks/hparams.py", "src/deepinside/events.py"},  # writes, reads
    "jinja2": {"src/deepinside/report/page.py"},
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[2] if parts[0] == "src" else parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_plan(path: Path) -> None:
    own = room(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("deepinside.")} - {own}
    if own in MAY_USE:
        assert used <= MAY_USE[own]
        assert not any(name.split(".")[0] == "callbacks" for name in imports(path))
    if own in ("boxes", "attribution", "class_model", "localisation", "plots"):
        assert not any(name.split(".")[0] == "lightning" for name in imports(path))
    for package, only in ALONE.items():
        if any(name.split(".")[0] == package for name in imports(path)):
            assert str(path.relative_to(ROOT)) in only


def test_every_room_is_in_the_plan() -> None:
    assert {room(path) for path in SOURCES} - {"__init__", "callbacks", TASKS} == set(MAY_USE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_public_things_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module says what it is for"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or node.name.endswith("Config"), f"{node.name} has no docstring"
    assert len(path.read_text().splitlines()) <= 250


def test_no_machine_paths_in_the_project() -> None:
    """Written so that this file does not match itself."""
    pattern = re.compile("(^|[^a-zA-Z.])/(wo" + "rk|tm" + "p|ro" + "ot)/")
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "configs").glob("*.yaml"), ROOT / "README.md"]
    assert [str(f) for f in files if pattern.search(f.read_text())] == []
