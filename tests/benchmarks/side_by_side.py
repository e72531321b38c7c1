"""What every benchmark needs: contestants timed in turns, the machine's own matrix rate, a table."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch


def interleaved(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, run in turns so that a busy machine slows all alike; the first round is thrown away."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def sgemm_rate(device: str) -> float:
    """FLOP/s of a large float32 matrix product: what the machine can do, measured in the same run."""
    a, b = torch.rand(2, 2048, 2048, device=device)
    return 2 * 2048**3 / interleaved({"sgemm": lambda: a @ b}, 7)["sgemm"]


def machine(device: str) -> str:
    """One line: processor, threads, versions."""
    chip = torch.cuda.get_device_name() if device == "cuda" else _processor()
    packages = ("torch", "torchvision", "captum", "grad-cam", "torch-lucent")
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return f"{chip}, {torch.get_num_threads()} threads of {os.cpu_count()} cores, {versions}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Markdown."""
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |", flush=True)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
