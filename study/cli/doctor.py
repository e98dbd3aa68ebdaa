"""Checks of `study doctor`."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import NamedTuple

from study import data
from study.boot import environment
from study.config.registry import DATA
from study.config.run import FOLDERS
from study.errors import StudyError
from study.launch.attempt.provenance import cpu_model, package_version, usable_cores
from study.launch.slurm.queue import on_a_cluster, run

LOW_DISK = 5e9
PROBE = """
import torch, torchvision
print(torch.__version__)
for i in range(torch.cuda.device_count()):
    p = torch.cuda.get_device_properties(i)
    print(f'{p.name}, {p.total_memory / 2**30:.0f} GiB')
"""


class Finding(NamedTuple):
    """One line of output. `mark` is ok, `--` (missing but optional) or FAIL."""

    mark: str
    subject: str
    says: str


def examine(results: Path, data_root: Path) -> Iterator[Finding]:
    """Check Python, CPU, SLURM, data sets, disk, then torch, which takes seconds."""
    yield Finding("ok", "Python", f"{platform.python_version()} ({sys.executable})")
    command = [sys.executable, "-P", "-c", PROBE]  # in another process, since a broken torch may crash on import
    with subprocess.Popen(command, env=environment(), stdout=PIPE, stderr=PIPE, text=True) as probe:
        try:
            yield Finding("ok", "CPU", f"{usable_cores()} usable cores, {cpu_model()}")
            yield _slurm()
            for name in DATA:
                if name not in FOLDERS:
                    lacking = data.missing(name, data_root)
                    yield Finding("--" if lacking else "ok", name, (lacking or "ready").removeprefix(f"{name}: "))
            yield _disk(results)
            yield from _torch(*probe.communicate(), probe.returncode)
        finally:
            probe.kill()  # if the caller stops early


def _torch(out: str, errors: str, status: int) -> Iterator[Finding]:
    versions = {name: package_version(name) for name in ("torch", "torchvision")}
    if status or not all(versions.values()):
        last = (errors.strip().splitlines() or [f"exit status {status}"])[-1]
        hint = "install both from the same index: pip install --force-reinstall torch torchvision"
        if all(versions.values()):
            hint = f"torch {versions['torch']} and torchvision {versions['torchvision']} do not match; {hint}"
        yield Finding("FAIL", "torch", f"{last}; {hint}")
        return
    torch, *gpus = out.strip().splitlines()
    yield Finding("ok", "torch", f"{torch}, torchvision {versions['torchvision']}")
    yield from (Finding("ok", f"cuda:{i}", gpu) for i, gpu in enumerate(gpus))
    if not gpus:
        yield Finding("--", "GPU", "torch sees none; training uses the CPU, slowly")


def _slurm() -> Finding:
    try:
        if on_a_cluster():
            return Finding("ok", "SLURM", run(["sbatch", "--version"]).stdout.strip())
        return Finding("--", "SLURM", "no cluster is known here; sweeps run on this machine")
    except StudyError as error:  # the controller does not answer
        return Finding("--", "SLURM", str(error))


def _disk(results: Path) -> Finding:
    folder = results.absolute()
    try:
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder) as file:  # its mode alone does not tell
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        says = f"cannot write to {folder}: {error.strerror}; choose another folder with --results"
        return Finding("FAIL", "disk", says)
    says = f"{free / 1e9:.0f} GB free for {results}/"
    return Finding("ok", "disk", says) if free > LOW_DISK else Finding("FAIL", "disk", says + "; free some space")
