"""The files of a split, without opening them: what is a picture by its name, what is empty, what is something else."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deepinside.data.listing import SUFFIXES
from deepinside.doctor.finding import WARN, Finding
from deepinside.words import some

TOLD = 1000  # advance() is called after so many


@dataclass
class Files:
    """Paths relative to the folder that was scanned; hidden files are left out, as the readers do."""

    empty: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)  # that lead nowhere
    closed: list[str] = field(default_factory=list)  # files and folders that may not be read


def scan(folder: Path, advance: Callable[[float], None]) -> Files:
    """One pass over the folder and all below it: a million files take seconds."""
    found, todo, met, seen = Files(), [str(folder)], set[str](), 0
    while todo:
        place = todo.pop()
        if (real := os.path.realpath(place)) in met:  # a link may lead back up
            continue
        met.add(real)
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        _sort(entry, folder, found, todo)
                        seen += 1
                        if not seen % TOLD:
                            advance(TOLD)
        except OSError:
            found.closed.append(os.path.relpath(place, folder))
    for names in (found.empty, found.others, found.links, found.closed):
        names.sort()
    return found


def _sort(entry: os.DirEntry[str], folder: Path, found: Files, todo: list[str]) -> None:
    if entry.is_dir():
        todo.append(entry.path)
    elif entry.is_symlink() and not os.path.exists(entry.path):
        found.links.append(os.path.relpath(entry.path, folder))
    elif not entry.name.lower().endswith(SUFFIXES):
        found.others.append(os.path.relpath(entry.path, folder))
    else:
        try:
            size = entry.stat().st_size
        except OSError:
            found.closed.append(os.path.relpath(entry.path, folder))
            return
        if not size:
            found.empty.append(os.path.relpath(entry.path, folder))


def check_files(split: str, found: Files) -> list[Finding]:
    findings = []
    if found.empty:
        fix = "fetch them again; until then they are left out and named in metrics.json"
        findings.append(
            Finding(f"{split}: empty files", f"{len(found.empty):,} of 0 bytes: {some(found.empty)}", WARN, fix)
        )
    if found.others:
        are = "file is no picture by its name" if len(found.others) == 1 else "files are no pictures by their names"
        words = f"{len(found.others):,} {are}: {some(found.others)}"
        fix = f"they are ignored; pictures end in {', '.join(SUFFIXES)}"
        findings.append(Finding(f"{split}: other files", words, WARN, fix))
    if found.links:
        words = f"{len(found.links):,} lead nowhere: {some(found.links)}"
        fix = "mend the links: pictures and whole classes behind them are missing"
        findings.append(Finding(f"{split}: links", words, WARN, fix))
    if found.closed:
        words = f"{len(found.closed):,} may not be read: {some(found.closed)}"
        findings.append(Finding(f"{split}: rights", words, WARN, "chmod -R u+rX"))
    return findings
