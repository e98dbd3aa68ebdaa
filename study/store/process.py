"""Which process this is, and whether another one, named in a file, is still alive."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PROC = Path("/proc")


@cache
def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pids() -> str:
    """The PID namespace, which differs between containers with one host name."""
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def started(pid: int) -> str | None:
    """When a process started, which distinguishes it from a later one with its number; None if it is dead.

    In ticks since boot; without /proc, as on macOS, the second that `ps` tells, and empty if there is no `ps`.
    """
    if not (PROC / "self/stat").exists():
        return _asked(pid)
    try:
        state, *fields = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else fields[18]  # a zombie is dead, though its number is still taken


def _asked(pid: int) -> str | None:
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    except OSError:
        return ""
    state, *words = found.stdout.split() or ["Z"]
    return None if state.startswith("Z") else "_".join(words).replace(":", "")


def machine() -> dict[str, str]:
    """Identifies the machine: equal process numbers mean the same process only if all of this is equal."""
    return {"host": socket.gethostname(), "boot": _boot(), "pids": _pids()}


def identity() -> dict[str, Any]:
    """Identifies this process: machine, number, start, and cluster job."""
    job = {
        "job": os.environ.get("SLURM_JOB_ID"),
        "cluster": os.environ.get("SLURM_CLUSTER_NAME"),
        "restart": os.environ.get("SLURM_RESTART_COUNT", "0"),
    }
    return {**machine(), "pid": os.getpid(), "started": started(os.getpid()), **job}


def alive(other: dict[str, Any]) -> bool | None:
    """Whether the process with this `identity` is alive; None if unknown."""
    here = identity()
    same_job = other.get("job") is not None and all(other.get(key) == here[key] for key in ("job", "cluster"))
    if same_job and other.get("restart") != here["restart"]:
        # An earlier start of this very job: SLURM ended it, on whatever node, before it started the job again.
        return False
    if any(other.get(key) != value for key, value in machine().items()):
        return None
    pid = other.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, and alive
        pass
    return started(pid) == other.get("started")


def mark() -> str:
    """This process, as part of a file name: `<machine>-<number>-<start>`."""
    return f"{_here(machine())}-{os.getpid()}-{started(os.getpid()) or 0}"


def left_behind(mark: str) -> bool:
    """Whether the process with this mark was on this machine and is dead."""
    where, pid, start, *_ = [*mark.split("-"), "", ""]
    if where != _here(machine()) or not pid.isdigit():
        return False
    now = started(int(pid))
    return now is None or now not in ("", start)


def _here(place: dict[str, str]) -> str:
    return hashlib.sha256("\n".join(place.values()).encode()).hexdigest()[:8]
