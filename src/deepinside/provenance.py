"""How results came about: the command, versions, machine, date. `provenance.json`, beside config.yaml."""

import json
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


def provenance(started: float, resumed: Path | None = None) -> dict[str, Any]:
    """started: `time.time()` at the beginning. No names of hosts or users; folders only as the command has them.

    resumed: the folder of a run that went on. Its command is the one that makes the whole of it again, from its
    config.yaml; date and seconds begin with its first part, seconds are None where that left none.
    """
    script, arguments = Path(sys.argv[0]), sys.argv[1:]
    date, seconds = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(started)), round(time.time() - started, 1)
    earlier = _earlier(resumed) if resumed else {"seconds": 0.0}
    if resumed:
        arguments = [f"config={resumed / 'config.yaml'}", f"name={resumed.name}_again"]
    return {
        "command": shlex.join(["python", script.name, *arguments]),
        "commit": _commit(script.resolve().parent),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count(), "gpus": _gpus()},
        "started": earlier.get("started", date),
        "seconds": round(earlier["seconds"] + seconds, 1) if earlier.get("seconds") is not None else None,
    }


def _earlier(folder: Path) -> dict[str, Any]:
    """{} where the folder has none."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
    if torch is None or not torch.cuda.is_available():  # a driver that torch cannot use has devices, too
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


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
