"""What the machine offers."""

import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import torch

from deepinside.data.module import usable_cpus
from deepinside.doctor.finding import BLOCKS, WARN, Finding
from deepinside.errors import first_line

GIB = 2**30
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container
LITTLE_RAM, LITTLE_SHARED, LITTLE_DISK = 4 * GIB, GIB, 2 * GIB


def check_machine(out: Path) -> list[Finding]:
    """Versions, CPUs, RAM, GPUs, what solves the graph cuts, and the disk that `out` is on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "lightning"))
    versions = Finding("versions", f"Python {platform.python_version()}, {packages}")
    return [versions, *check_cpus(), check_ram(), *check_gpus(), check_cuts(), check_disk(out)]


def check_cpus() -> list[Finding]:
    """And how many of them load pictures."""
    whole, own = os.cpu_count() or 1, usable_cpus()
    count = f"{own} of the machine's {whole} are this process's" if own < whole else str(own)
    findings = [Finding("CPUs", f"{count}; data.workers=null takes {min(8, own)} of them for one device (shapes: 0)")]
    shared = Path("/dev/shm")
    if shared.is_dir() and (size := shutil.disk_usage(shared).total) < LITTLE_SHARED:
        words = f"{size / GIB:.2f} GiB: loaders that send pictures through it end with a bus error"
        fix = "docker run --shm-size=8g, or data.workers=0"
        findings.append(Finding("shared memory", words, WARN, fix))
    return findings


def check_cuts() -> Finding:
    """Whether numba can compile them."""
    try:
        import deepinside.localisation.grid_flow  # noqa: F401
    except Exception as error:  # a broken numba raises whatever it likes
        found = f"by PyMaxflow, the same in three times the time ({first_line(error)})"
        return Finding("graph cuts", found, WARN, "pip install numba")
    return Finding("graph cuts", f"compiled by numba {version('numba')}")


def check_ram() -> Finding:
    if not hasattr(os, "sysconf"):
        return Finding("RAM", "this system does not tell")
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in map(Path, LIMITS):
        if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
            size = min(size, int(text))
    if size >= LITTLE_RAM:
        return Finding("RAM", f"{size / GIB:.0f} GiB")
    return Finding("RAM", f"{size / GIB:.1f} GiB", WARN, "data.batch_size=16 data.workers=1")


def check_gpus() -> list[Finding]:
    if torch.cuda.is_available():
        return [_gpu(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        return [Finding("GPU", "Apple's, by Metal: trainer.accelerator=mps")]
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        build = torch.version.cuda or "no CUDA"
        fix = "install the torch that fits the driver (pytorch.org/get-started), or a newer driver"
        return [Finding("GPU", f"there is an NVIDIA driver, but torch ({build}) sees no GPU", WARN, fix)]
    slow = "none: shapes take minutes on a CPU, class models of large nets far longer, ImageNet itself is out of reach"
    return [Finding("GPU", slow, WARN, "a GPU machine for ImageNet; fewer steps and classes here")]


def _gpu(i: int) -> Finding:
    try:
        free, total = torch.cuda.mem_get_info(i)
    except RuntimeError as error:
        return Finding(f"GPU {i}", first_line(error), BLOCKS, "is it in use by others, or trainer.accelerator=cpu")
    words = f"{torch.cuda.get_device_name(i)}, {total / GIB:.0f} GiB, {free / GIB:.0f} GiB of them free"
    if free < total / 2:
        return Finding(f"GPU {i}", words, WARN, "others use it: trainer.devices=[...] names free ones")
    return Finding(f"GPU {i}", words)


def check_disk(out: Path) -> Finding:
    """Free room at `out` or at the nearest folder above it that exists."""
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Finding("results", f"{place} cannot be written to", BLOCKS, "give out= a folder that is yours")
    free = shutil.disk_usage(place).free
    words = f"{free / GIB:.0f} GiB free at {place}"
    if free < LITTLE_DISK:
        return Finding("results", words, WARN, "a run of VGG keeps 2 GiB of checkpoints: out= elsewhere")
    return Finding("results", words)
