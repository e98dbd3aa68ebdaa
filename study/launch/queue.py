"""What SLURM says of our jobs: squeue for those it holds, sacct, where there is accounting, for those it held."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from study.errors import StudyError


class Job(NamedTuple):
    """One job, or one task of an array: `17_3`."""

    job_id: str
    name: str
    state: str
    """SLURM's word: PENDING, RUNNING, COMPLETED, TIMEOUT, ..."""
    node: str
    reason: str
    """Why it waits, in SLURM's word; empty for a job that has left the queue."""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise StudyError(f"{command[0]}: not found here; is this a login node of a SLURM cluster?") from None
    except subprocess.TimeoutExpired:
        raise StudyError(f"{command[0]} did not answer in 60 s; is the controller up? Nothing was submitted") from None


def on_a_cluster() -> bool:
    """Whether there is an sbatch that knows of a cluster, be its controller up or down."""
    if shutil.which("sbatch") is None:
        return False
    # SLURM's commands without a cluster (a laptop, say) end with these words.
    return "Could not establish a configuration source" not in _run(["scontrol", "ping"]).stderr


def held() -> list[Job]:
    """All jobs of this user that the controller holds, arrays task by task.

    Raises
    ------
    StudyError
        The controller does not answer. Nobody may submit then: what is in the queue is unknown.
    """
    done = _run(["squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%F|%K|%j|%T|%N|%r"])
    if done.returncode:
        raise StudyError(f"squeue: {_last(done.stderr)}; what is in the queue is unknown, so nothing was submitted")
    jobs = []
    for line in done.stdout.splitlines():
        job, index, name, state, node, reason = line.split("|", 5)
        jobs.append(Job(job if index == "N/A" else f"{job}_{index}", name, state, node, reason))
    return jobs


def past(job_ids: Iterable[str]) -> dict[str, Job] | None:
    """What accounting says of jobs that have left the queue, by id; None where there is no accounting."""
    arrays = sorted({job_id.partition("_")[0] for job_id in job_ids})
    if not arrays:
        return {}
    try:
        done = _run(["sacct", "-n", "-P", "-X", "-j", ",".join(arrays), "-o", "JobID,JobName,State,NodeList"])
    except StudyError:
        return None
    if done.returncode:
        return None
    jobs = {}
    for line in done.stdout.splitlines():
        listed, name, state, node = line.split("|", 3)
        for job_id in _expand(listed):
            jobs[job_id] = Job(job_id, name, state.split()[0], node, "")
    return jobs


def _expand(listed: str) -> Iterator[str]:
    """`17`, `17_3`, or the tasks of an array that never started: `17_[0-2,5]`, `17_[0-2%1]`."""
    array, bracket, tasks = listed.partition("_[")
    if not bracket:
        yield listed
        return
    for part in tasks.rstrip("]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        yield from (f"{array}_{task}" for task in range(int(first), int(last or first) + 1))


def address(node: str) -> str:
    """Where a node is reached: its NodeAddr, which need not be its name."""
    found = re.search(r"NodeAddr=(\S+)", _run(["scontrol", "show", "node", node]).stdout)
    return found.group(1) if found else node


def max_array_size() -> int:
    """Tasks that one array may have here: one more than the largest index."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _run(["scontrol", "show", "config"]).stdout)
    return int(found.group(1)) if found else 1001


def cancel(job_ids: Sequence[str]) -> None:
    """Take jobs out of the queue, and end those that run; they checkpoint first.

    Raises
    ------
    StudyError
        SLURM refused; in its words.
    """
    done = _run(["scancel", *job_ids])
    if done.returncode:
        raise StudyError(f"scancel: {_last(done.stderr)}")


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
