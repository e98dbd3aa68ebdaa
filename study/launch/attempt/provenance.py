"""The machine and software of an attempt, recorded with it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from study import version
from study.errors import StudyError
from study.store.files import read_json

ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "GLIBC_TUNABLES",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "SLURM_JOB_PARTITION",
    "SLURM_RESTART_COUNT",
)
"""Variables that can change the results or the speed."""

ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1000000000000:glibc.malloc.mmap_threshold=1000000000000"}
"""Environment of a process that trains: freed memory stays with it. A step on a CPU frees and allocates hundreds of megabytes,
and otherwise spends a tenth of its time and more in page faults (benchmarks/allocator.py)."""

CODE = (".py", ".yaml")
FORCED = ("_sweeps",)
"""What an installed package holds besides its code (pyproject.toml); a clone has it elsewhere."""


def usable_cores() -> int:
    """Cores that this process may run on, and no more than its container's share of processor time, rounded up."""
    from joblib import cpu_count  # which comes with scikit-learn; late: it takes a moment

    return int(cpu_count())


def package_version(name: str) -> str | None:
    """The version of an installed package, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@cache
def cpu_model() -> str:
    """The processor's name."""
    with suppress(OSError):
        if found := re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return platform.processor() or platform.machine()


@cache
def output(*command: str) -> str | None:
    """What a program prints; None if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else None


def sources() -> dict[Path, bytes]:
    """The files of this package that are code, as they are on disk, by their path in it."""
    package = Path(version.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in CODE and path.is_file())
    names = {path: path.relative_to(package) for path in files}
    return {name: path.read_bytes() for path, name in names.items() if name.parts[0] not in FORCED}


def code_digest(files: dict[Path, bytes]) -> str:
    """The digest of code, as `sources` has it."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


@cache
def code() -> str:
    """The digest of the code that this process runs; call it early, before the code may be edited."""
    return code_digest(sources())


def require(digest: str | None) -> None:
    """Raise StudyError if this process runs other code than the one that started it."""
    if digest not in (None, code()):
        raise StudyError(
            f"the code in {Path(version.__file__).parent} ({code()}) is not what the command that started this process runs "
            f"({digest}), so nothing was trained with it; if it was edited meanwhile, give the command again"
        )


@cache
def commit() -> tuple[str | None, str | None]:
    """The commit of the code, and a hash of the uncommitted changes to it, if any."""
    recorded = Path(version.__file__).parent.parent / "commit.json"  # a code copy, in a job
    if facts := read_json(recorded):
        return facts["commit"], facts["dirty"]
    git = ("git", "-C", str(Path(version.__file__).parent))
    tracked = output(*git, "ls-files", "--error-unmatch", "__init__.py")
    head = output(*git, "rev-parse", "HEAD") if tracked else None
    if head is None:
        return None, None
    difference = (output(*git, "diff", "HEAD", "--", ".") or "").encode(errors="surrogateescape")
    return head.strip(), hashlib.sha256(difference).hexdigest()[:12] if difference else None


def describe(device: str, executor: str, threads: int) -> dict[str, Any]:
    """The record of an attempt. `device` is its name, such as `cpu` or `NVIDIA H100 80GB HBM3`."""
    head, dirty = commit()
    driver = (
        output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", "0")
        if device != "cpu"
        else None
    )
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return {
        "executor": executor,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID"),
        "node": os.environ.get("SLURMD_NODENAME"),
        "device": device,
        "driver": (driver or "").strip() or None,
        "cpu": cpu_model(),
        "threads": threads,
        "python": platform.python_version(),
        "study": version.VERSION,
        "torch": package_version("torch"),
        "numpy": package_version("numpy"),
        "code": code(),
        "commit": head,
        "dirty": dirty,
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }
