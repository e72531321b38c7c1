"""How results came about: the command, versions, machine, date. `provenance.json`, beside config.yaml."""

import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FILE = "provenance.json"
PACKAGES = ("deepinside", "torch", "torchvision", "lightning")


def provenance(started: float) -> dict[str, Any]:
    """started: `time.time()` at the beginning. No names of hosts or users; folders only as the command has them."""
    script = Path(sys.argv[0])
    return {
        "command": shlex.join(["python", script.name, *sys.argv[1:]]),
        "commit": _commit(script.resolve().parent),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count(), "gpus": _gpus()},
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(started)),
        "seconds": round(time.time() - started, 1),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")  # what was measured without torch used no GPU
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []


def _commit(folder: Path) -> str | None:
    """Of the checkout that the script lies in, marked where files differ from it."""
    if not (folder / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
