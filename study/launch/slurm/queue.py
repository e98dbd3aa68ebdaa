"""Ask SLURM about jobs: squeue about present ones and, with accounting, sacct about past ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from study.errors import StudyError

_OPTIONS = re.compile("(SLURM|SBATCH|SRUN|SALLOC|SQUEUE|SACCT|SCANCEL|SCONTROL|SUBMITIT)_")
"""Variables that are options of SLURM's commands or of submitit, or describe the job that this process is in."""
_KEPT = ("SLURM_CONF", "SLURM_JWT")
"""Exceptions: without them SLURM's commands may not find the cluster or be refused by it."""


class Job(NamedTuple):
    """One job, or one task of an array: `17_3`."""

    job_id: str
    name: str
    state: str
    """SLURM's word: PENDING, RUNNING, COMPLETED, TIMEOUT, ..."""
    reason: str
    """Why it waits, in SLURM's word; empty for a past job."""


@contextmanager
def plain_environment() -> Iterator[None]:
    """Remove variables from the environment that would configure SLURM's commands, submitit or its jobs."""
    before = dict(os.environ)
    for name in before.keys() - _environment().keys():
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _KEPT or not _OPTIONS.match(name)}


def run(command: Sequence[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's commands. Raises StudyError if it does not exist here or does not answer."""
    env = _environment() | {"SLURM_BITSTR_LEN": "0"}  # lists all tasks of long arrays, not the first few
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", env=env, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise StudyError(f"{command[0]}: not found here; is this a login node of a SLURM cluster?") from None
    except subprocess.TimeoutExpired:
        raise StudyError(
            f"{command[0]} did not answer in {timeout:g} s; is the controller up? Nothing was submitted"
        ) from None


def on_a_cluster() -> bool:
    """Whether there is an sbatch that knows of a cluster, even if its controller is down."""
    if shutil.which("sbatch") is None:
        return False
    # Without a cluster, as on a laptop, SLURM's commands end with these words.
    return "Could not establish a configuration source" not in run(["scontrol", "ping"]).stderr


def need_a_cluster() -> None:
    """Raise StudyError unless there is one, before anything is written for it."""
    if not on_a_cluster():
        raise StudyError("--executor slurm: no cluster is known here; leave it out to work on this machine")


def held() -> list[Job]:
    """All jobs of this user in the queue, arrays task by task."""
    done = run(["squeue", "--all", "--me", "-h", "-r", "-o", "%F|%K|%T|%r|%j"])
    if done.returncode:
        raise StudyError(f"squeue: {_last(done.stderr)}; the queue is unknown, so nothing was submitted")
    rows = _rows(r"(\d+)\|(\d+|N/A)\|([A-Z_]+)\|(.*)\|([^|]*)", done.stdout)
    return [
        Job(job if index == "N/A" else f"{job}_{index}", name, state, reason)
        for job, index, state, reason, name in rows
    ]


def past(job_ids: Iterable[str]) -> dict[str, Job] | None:
    """Jobs that have left the queue, by id, from accounting; None without accounting."""
    arrays = sorted({job_id.partition("_")[0] for job_id in job_ids})
    if not arrays:
        return {}
    try:
        done = run(["sacct", "-n", "-P", "-X", "-j", ",".join(arrays), "-o", "JobID,State,JobName"])
    except StudyError:
        return None
    if done.returncode:
        return None
    rows = _rows(r"([\d_]+|\d+_\[[^|]*\])\|([A-Z_]+)[^|]*\|([^|]*)", done.stdout)
    return {job_id: Job(job_id, name, state, "") for listed, state, name in rows for job_id in _expand(listed)}


def _rows(pattern: str, printed: str) -> Iterator[tuple[str, ...]]:
    """The columns of the rows that match. The name comes last, since another user's may contain bars and line breaks; lines
    that are no rows are skipped."""
    matches = (re.fullmatch(pattern, line) for line in printed.split("\n"))
    return (found.groups() for found in matches if found)


def _expand(listed: str) -> Iterator[str]:
    """`17`, `17_3`, or the tasks of an array that never started: `17_[0-2,5]`, `17_[0-6:2%1]`."""
    array, bracket, tasks = listed.partition("_[")
    if not bracket:
        yield listed
        return
    for part in tasks.rstrip("]").partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found:  # not the dots that stand for the rest of a long list
            first, last, step = found[1], found[2] or found[1], found[3] or 1
            yield from (f"{array}_{task}" for task in range(int(first), int(last) + 1, int(step)))


def address(node: str) -> str:
    """A node's address, which need not be its name."""
    found = re.search(r"NodeAddr=(\S+)", run(["scontrol", "show", "node", node]).stdout)
    return found.group(1) if found else node


def max_array_size() -> int:
    """Tasks that one array may have: one more than the largest index."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", run(["scontrol", "show", "config"]).stdout)
    return int(found.group(1)) if found else 1001


def cancel(job_ids: Sequence[str]) -> None:
    """Cancel jobs; running ones checkpoint first. Raises StudyError with SLURM's reason if it refuses."""
    done = run(["scancel", *job_ids])
    if done.returncode:
        raise StudyError(f"scancel: {_last(done.stderr)}")


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
