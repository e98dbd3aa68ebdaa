"""The local and the debug executor: train in worker processes, or in this very process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import StudyError
from study.launch.local.pool import Pool
from study.launch.local.watch import LOOK_SECONDS, View, watch_over
from study.launch.local.worker import Warnings, train_free
from study.launch.local.workers import Interrupt, Workers

if TYPE_CHECKING:
    from study.launch.machine import Machine


def train(packs: Sequence[list[Path]], shape: Pool, machine: Machine, view: View) -> tuple[dict[str, str], bool]:
    """Train packs of runs on this machine, in the foreground.

    Each pack is a list of run folders with their specs, and is trained by one worker as a whole. Returns the outcome of each
    run that ended, and False where Ctrl-C or SIGTERM came first. Raises WriteError where the results folder cannot be
    written, and StudyError where the code was edited or no worker can start.
    """
    with Interrupt() as interrupt, Workers(packs, shape, machine, view, interrupt) as workers:
        workers.start()
        while workers.running and not interrupt.count:
            workers.look()
            time.sleep(0.05)
    if complete := not interrupt.count:
        workers.watch.held_elsewhere()
        if workers.broken and workers.watch.left:
            raise StudyError(f"no worker could start: {workers.broken}")
    return workers.watch.outcomes, complete


def train_here(packs: Sequence[list[Path]], shape: Pool, machine: Machine, view: View) -> tuple[dict[str, str], bool]:
    """The debug executor: train in this very process; an exception in training is raised."""
    import torch

    from study.launch.attempt.work import work
    from study.training.session import Session

    watch = watch_over(packs, view)
    seen = time.monotonic()

    def report(progress: object) -> None:
        nonlocal seen
        if time.monotonic() - seen > LOOK_SECONDS:
            seen = time.monotonic()
            watch.look({os.getpid()})

    with Interrupt() as interrupt, _warnings_to(view):
        session = Session(
            machine.data_root,
            torch.device(shape.devices[0]),
            "debug",
            checkpoint_seconds=machine.checkpoint_seconds,
            stopped=lambda: interrupt.count > 0,
            why=lambda: interrupt.why,
            report=report,
            raise_errors=True,
        )

        def train_pack(folders: list[Path]) -> None:
            work(folders, session)
            watch.look({os.getpid()})

        train_free(packs, shape.threads, lambda: interrupt.count > 0, train_pack)
    watch.look({os.getpid()})
    if not interrupt.count:
        watch.held_elsewhere()
    return watch.outcomes, not interrupt.count


@contextmanager
def _warnings_to(view: View) -> Iterator[None]:
    logger = logging.getLogger("study")
    before, logger.handlers = logger.handlers, [Warnings(view.note)]
    try:
        yield
    finally:
        logger.handlers = before
