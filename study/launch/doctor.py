"""What works on this machine: `study doctor`."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from study import data
from study.boot import environment
from study.launch.provenance import cpu_model, package_version, usable_cores
from study.spec.registry import DATA
from study.spec.run import FOLDERS

LOW_DISK = 5e9
PROBE = """
import torch, torchvision
print(torch.__version__, torchvision.__version__)
for i in range(torch.cuda.device_count()):
    p = torch.cuda.get_device_properties(i)
    print(f'{p.name}, {p.total_memory / 2**30:.0f} GiB')
"""


class Finding(NamedTuple):
    """One line of the examination. `mark`: ok, `--` for what is missing but not needed, FAIL for what is."""

    mark: str
    subject: str
    says: str


def examine(results: Path, data_root: Path) -> Iterator[Finding]:
    """Look at Python, torch, devices, SLURM, data and disk, one finding after another."""
    sound = sys.version_info >= (3, 11)
    yield Finding("ok" if sound else "FAIL", "Python", f"{platform.python_version()} ({sys.executable})")
    yield from _torch()
    yield Finding("ok", "CPU", f"{usable_cores()} usable cores, {cpu_model()}")
    yield _slurm()
    for name in DATA:
        if name not in FOLDERS:
            lacking = data.missing(name, data_root)
            yield Finding("--" if lacking else "ok", name, lacking or "ready")
    yield _disk(results)


def _torch() -> Iterator[Finding]:
    # In a process of its own: a torch that crashes on import must not take the doctor with it.
    probe = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment(), capture_output=True, text=True, check=False
    )
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or [f"exit status {probe.returncode}"])[-1]
        hint = "install both from the same index: pip install --force-reinstall torch torchvision"
        if package_version("torch") and package_version("torchvision"):
            hint = f"torch {package_version('torch')} and torchvision {package_version('torchvision')} do not match; {hint}"
        yield Finding("FAIL", "torch", f"{last}; {hint}")
        return
    versions, *gpus = probe.stdout.strip().splitlines()
    torch, torchvision = versions.split()
    yield Finding("ok", "torch", f"{torch}, torchvision {torchvision}")
    if gpus:
        yield from (Finding("ok", f"cuda:{i}", gpu) for i, gpu in enumerate(gpus))
    else:
        yield Finding("--", "GPU", "torch sees none; the CPU works, more slowly")


def _slurm() -> Finding:
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return Finding("--", "SLURM", "no sbatch here; sweeps run on this machine")
    version = subprocess.run([sbatch, "--version"], capture_output=True, text=True, check=False)
    return Finding("ok", "SLURM", version.stdout.strip() or sbatch)


def _disk(results: Path) -> Finding:
    folder = results.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    says = f"{free / 1e9:.0f} GB free for {results}/"
    return Finding("ok", "disk", says) if free > LOW_DISK else Finding("FAIL", "disk", says + "; make room")
