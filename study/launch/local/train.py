"""The local and the debug executor: work on tasks in worker processes, or in this very process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import StudyError
from study.launch.attempt.log import warnings_to
from study.launch.local.pool import Pool
from study.launch.local.terminal import Terminal
from study.launch.local.watch import LOOK_SECONDS, Watch
from study.launch.local.worker import Interrupt, free
from study.launch.local.workers import Workers

if TYPE_CHECKING:
    from study.launch.machine import Machine


def train(packs: Sequence[list[Path]], pool: Pool, machine: Machine, view: Terminal) -> tuple[dict[str, str], bool]:
    """Work on packs of tasks, each a list of folders with their specs, in worker processes.

    Returns the outcome of each task that ended, and False if Ctrl-C or SIGTERM came first. Raises WriteError if the
    results folder cannot be written, and StudyError if the code was edited or no worker can start.
    """
    with Interrupt() as interrupt, Workers(packs, pool, machine, view, interrupt) as workers:
        while workers.running and not interrupt.count:
            workers.look()
            time.sleep(0.05)
    if complete := not interrupt.count:
        workers.watch.held_elsewhere()
        if workers.broken and workers.watch.left:
            raise StudyError(f"no worker could start: {workers.broken}")
    return workers.watch.outcomes, complete


def train_here(
    packs: Sequence[list[Path]], pool: Pool, machine: Machine, view: Terminal
) -> tuple[dict[str, str], bool]:
    """As `train`, in this process; an exception in training is raised."""
    import torch

    from study.launch.attempt.work import work
    from study.training.session import Session

    watch = Watch(packs, view)
    seen = time.monotonic()

    def report(progress: object) -> None:
        nonlocal seen
        if time.monotonic() - seen > LOOK_SECONDS:
            seen = time.monotonic()
            watch.look({os.getpid()})

    with Interrupt() as interrupt, warnings_to(view.note, alone=True):
        session = Session(
            machine.data_root,
            torch.device(pool.devices[0]),
            "debug",
            checkpoint_seconds=machine.checkpoint_seconds,
            stopped=interrupt.stopped,
            why=interrupt.why,
            report=report,
            raise_errors=True,
        )
        for folders in free(packs, pool.threads, interrupt.stopped):
            work(folders, session)
            watch.look({os.getpid()})
    watch.look({os.getpid()})
    if not interrupt.count:
        watch.held_elsewhere()
    return watch.outcomes, not interrupt.count
