"""A cluster's profile: where and how jobs run there. Nothing in it is part of a run's identity."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from study.errors import StudyError, nearest, printable
from study.spec.fields import wrong
from study.spec.yaml import read


def _one_line(text: str) -> str:
    """What a line of a batch script is made of: an end of line in it would begin a line of its own."""
    if printable(text) != text:
        raise wrong("must be one line without control characters")
    return text


Line = Annotated[str, AfterValidator(_one_line)]


class Profile(BaseModel):
    """The fields of a profile file. Times are in minutes; what is left out is the cluster's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    constraint: Line | None = None
    gres: Line | None = Field(default=None, description="generic resources, such as gpu:a100:1")
    gpus: int = Field(default=0, ge=0, description="GPUs of a job (--gpus-per-node)")
    time: int = Field(default=60, ge=1, description="limit of a job in minutes; a run that needs more is requeued")
    memory: str | None = Field(default=None, pattern=r"^[0-9]+[KMGT]?$", description="such as 16G")
    cpus: int = Field(default=1, ge=1, description="cores of a job; threads of a run on the CPU")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_parallel: int = Field(default=256, ge=1, description="jobs of an array that run at once")
    runs_per_gpu: int = Field(default=1, ge=1, description="runs trained side by side in one job, as a pack")
    gpus_per_run: int = Field(default=1, ge=1, description="tasks on each node that train one run together, a GPU each")
    nodes: int = Field(default=1, ge=1, description="nodes that train one run together")
    max_requeues: int = Field(default=100, ge=0, description="times that a job goes on after its time limit")
    signal_seconds: int = Field(default=90, ge=5, description="how long before its limit a job is told to checkpoint")
    setup: list[str] = Field(default=[], description="shell lines before the job's command, such as module load")
    python: Line | None = Field(default=None, description="the Python of the nodes; default: the one of this command")
    sbatch: dict[Line, Line | int | bool] = Field(
        default={}, description="any further option of sbatch, by its long name"
    )

    @property
    def ranks(self) -> int:
        """Processes that train one run together."""
        return self.gpus_per_run * self.nodes


def load_profile(path: Path | None) -> Profile:
    """Read a profile file; without one, the defaults.

    Raises
    ------
    StudyError
        Unreadable, an unknown field or sbatch option, or a wrong value; each with its line.
    """
    if path is None:
        return Profile()
    document = read(path)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise StudyError(f"{path}:1: a profile is a mapping with the fields {', '.join(Profile.model_fields)}")
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        lines = [_explain(document.place(tuple(item["loc"])), item) for item in error.errors()]
        raise StudyError(*lines) from None
    document.check()
    _check_sbatch(profile, document.place(("sbatch",)))
    return profile


def _explain(place: str, item: Any) -> str:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown field '{field}'{nearest(field, Profile.model_fields)}"
    message = re.sub(r"^\w+ should ", "must ", item["msg"])
    return f"{place}: {field}: {message}, not {item['input']!r:.80}"


def sbatch_options() -> set[str]:
    """The long options that this cluster's sbatch knows; none where it cannot be asked."""
    try:
        done = subprocess.run(["sbatch", "--help"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(re.findall(r"--([a-z][a-z0-9-]+)", done.stdout))


def _check_sbatch(profile: Profile, place: str) -> None:
    known = sbatch_options()
    for name in profile.sbatch:
        if known and name.replace("_", "-") not in known:
            raise StudyError(
                f"{place}: sbatch has no option '{name}'{nearest(name, known)}; known: {', '.join(sorted(known))}"
            )
