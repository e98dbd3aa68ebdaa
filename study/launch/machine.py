"""Where and how tasks run: never part of a run's identity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study.config import Executor
from study.config.run import RunSpec

CHECKPOINT_SECONDS = 60.0
"""Training time between two checkpoints: the most that a crash costs."""


@dataclass(frozen=True)
class Machine:
    """Where and how tasks run."""

    data_root: Path
    executor: Executor = "auto"
    device: str = "auto"
    workers: int | None = None
    threads: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    watchdog: float = math.inf
    """Seconds without progress after which a process is killed; its tasks resume from their checkpoints."""


def prepare_data(specs: Sequence[RunSpec], root: Path) -> None:
    """Download or decode the data sets of these runs, as needed.

    Raises StudyError if one is missing: which file, where, and how to provide it.
    """
    from study import data  # late: a dry run does not need it

    for chosen in dict.fromkeys(spec.data for spec in specs):
        data.prepare(chosen.name, root, **chosen.options)
