"""Where and how tasks are worked on: nothing of it is part of an identity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from study.config.run import RunSpec
from study.launch.local.pool import CHECKPOINT_SECONDS

if TYPE_CHECKING:
    pass

Executor = Literal["auto", "slurm", "local", "debug"]


@dataclass(frozen=True)
class Machine:
    """Where and how a sweep is trained: nothing of it is part of a run's identity."""

    data_root: Path
    executor: Executor = "auto"
    device: str = "auto"
    workers: int | None = None
    threads: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    watchdog: float = math.inf
    """Seconds without a step after which a process that trains is ended, to go on from the checkpoint."""


def prepare_data(specs: Sequence[RunSpec], root: Path) -> None:
    """Have every data set of these runs ready, downloading or decoding as needed.

    Raises
    ------
    StudyError
        One cannot be had; says which file is missing where, and how to provide it.
    """
    from study import data  # late, as all that a dry run does not need

    for chosen in dict.fromkeys(spec.data for spec in specs):
        data.prepare(chosen.name, root, **chosen.options)
