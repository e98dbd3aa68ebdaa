"""Where and how tasks are worked on: none of it is part of an identity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study.config.choices import Executor
from study.config.run import RunSpec

CHECKPOINT_SECONDS = 60.0
"""Training time between two checkpoints: what a crash costs at most."""


@dataclass(frozen=True)
class Machine:
    """Where and how tasks are worked on."""

    data_root: Path
    executor: Executor = "auto"
    device: str = "auto"
    workers: int | None = None
    threads: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    watchdog: float = math.inf
    """Seconds without progress after which a process is killed; its tasks go on from their checkpoints."""


def prepare_data(specs: Sequence[RunSpec], root: Path) -> None:
    """Have every data set of these runs ready, downloading or decoding as needed.

    Raises StudyError if one cannot be had; it says which file is missing where, and how to provide it.
    """
    from study import data  # late, as all that a dry run does not need

    for chosen in dict.fromkeys(spec.data for spec in specs):
        data.prepare(chosen.name, root, **chosen.options)
