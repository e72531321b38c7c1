"""Shared fixtures: where the real data lies, and one torch thread so that tests do not compete with themselves."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)  # small convolutions on threads that compete for the cores are many times slower


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real pictures and weights; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("DEEPINSIDE_SHARED", ROOT.parent / "shared"))
    if not (folder / "ilsvrc_mini").is_dir():
        pytest.skip(f"no real data at {folder} (set DEEPINSIDE_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals are heard as before: `run_script` sets its own handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
