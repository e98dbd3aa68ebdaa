"""The profile of a cluster: where and how jobs run. Never part of a run's identity."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from study.config import Device
from study.config.fields import wrong
from study.config.yaml import read
from study.errors import StudyError, printable


def _one_line(text: str) -> str:
    """Text for a line of a batch script, where a line break would start a line of its own."""
    if printable(text) != text:
        raise wrong("must be one line without control characters")
    return text


def _minutes(limit: Any) -> Any:
    """A time limit in one of SLURM's forms as whole minutes, rounded up as SLURM does."""
    if not isinstance(limit, str):
        return limit
    found = re.fullmatch(r"(?:([0-9]+)-)?([0-9]+)(?::([0-9]+))?(?::([0-9]+))?", limit)
    if not found:
        raise wrong("must be minutes, or SLURM's MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS")
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is None and len(numbers) < 3:
        numbers.insert(0, 0)  # without hours
    hours, minutes, seconds, *_ = *numbers, 0, 0
    return (int(days or 0) * 24 + hours) * 60 + minutes + math.ceil(seconds / 60)


Line = Annotated[str, AfterValidator(_one_line)]
Minutes = Annotated[int, BeforeValidator(_minutes)]

_FIELDS = {
    "array": "max_parallel", "cpus-per-gpu": "cpus", "cpus-per-task": "cpus", "gpus": "gpus", "gpus-per-node": "gpus",
    "gpus-per-task": "gpus_per_run", "mem": "memory", "ntasks": "gpus_per_run", "ntasks-per-node": "gpus_per_run",
    "signal": "signal_seconds",
} | {name: name for name in ("account", "constraint", "gres", "nodes", "partition", "qos", "time")}  # fmt: skip
"""Options of sbatch, with their fields in the profile."""
_OURS = {
    "clusters", "comment", "error", "help", "job-name", "open-mode", "output", "parsable", "quiet", "requeue", "test-only",
    "uid", "usage", "version", "wait", "wrap",
}  # fmt: skip
"""Options that a submission sets itself, or that would make it something else."""


class Profile(BaseModel):
    """The fields of a profile file. Times are in minutes; the defaults are the cluster's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    constraint: Line | None = None
    gres: Line | None = Field(default=None, description="generic resources, such as gpu:a100:1")
    gpus: int = Field(default=0, ge=0, description="GPUs of a job (--gpus-per-node)")
    time: Minutes = Field(
        default=60, ge=1, description="time limit of a job in minutes, or as SLURM writes it; a longer run is requeued"
    )
    memory: str | None = Field(default=None, pattern=r"^[0-9]+[KMGT]?$", description="such as 16G")
    cpus: int = Field(default=1, ge=1, description="cores of a job; threads of a run on the CPU")
    device: Device = "auto"
    max_parallel: int = Field(default=256, ge=1, description="jobs of an array that run at once")
    runs_per_gpu: int = Field(default=1, ge=1, description="runs trained side by side in one job, as a pack")
    gpus_per_run: int = Field(default=1, ge=1, description="tasks on each node that train one run together, a GPU each")
    nodes: int = Field(default=1, ge=1, description="nodes that train one run together")
    max_requeues: int = Field(default=100, ge=0, description="times that a job is requeued after its time limit")
    signal_seconds: int = Field(default=90, ge=5, description="how long before its time limit a job checkpoints")
    setup: list[str] = Field(default=[], description="shell lines before the job's command, such as module load")
    python: Line | None = Field(default=None, description="the Python of the nodes; default: the one of this command")
    sbatch: dict[Line, Line | int | bool] = Field(
        default={}, description="any further option of sbatch, by its long name"
    )

    @property
    def ranks(self) -> int:
        """Processes that train one run together."""
        return self.gpus_per_run * self.nodes

    def single_task(self) -> Profile:
        """The profile for jobs of one task, as those of chunks: they are shared out between jobs, never within one."""
        if self.ranks == 1:
            return self
        gpus = self.gpus or int(self.device != "cpu" and self.gres is None)
        return self.model_copy(update={"gpus_per_run": 1, "nodes": 1, "gpus": gpus})


def load_profile(path: Path | None) -> Profile:
    """Read a profile file; without one, use the defaults. A StudyError names each mistake with its line."""
    if path is None:
        return Profile()
    document = read(path)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise StudyError(f"{path}:1: a profile is a mapping with the fields {', '.join(Profile.model_fields)}")
    profile = document.checked(Profile, data)
    document.check()
    if profile.time * 60 <= profile.signal_seconds:
        field = "time" if "time" in data else "signal_seconds"
        raise StudyError(
            f"{document.place((field,))}: {field}: a job of {profile.time} min that checkpoints {profile.signal_seconds} s "
            "before its end would stop at its start; raise time or lower signal_seconds"
        )
    for name in profile.sbatch:
        _check_option(name, document.place(("sbatch", name)))
    return profile


def _check_option(name: str, place: str) -> None:
    """Refuse an option that would break a submission; sbatch itself refuses unknown ones."""
    option = name.replace("_", "-")
    if field := _FIELDS.get(option):
        raise StudyError(f"{place}: sbatch.{name}: use the profile's field '{field}' instead")
    if option in _OURS:
        hint = "; 'no-requeue: true' turns that off" if option == "requeue" else ""
        raise StudyError(f"{place}: sbatch.{name}: study sets this itself; leave it out{hint}")
    if len(option) == 1:
        raise StudyError(f"{place}: sbatch.{name}: give the option by its long name")
