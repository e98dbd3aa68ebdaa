"""The local and the debug executor: work on tasks in worker processes, or in this very process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from study.errors import StudyError
from study.launch.attempt.log import warnings_to
from study.launch.local.pool import Pool
from study.launch.local.terminal import Terminal
from study.launch.local.watch import Watch
from study.launch.local.worker import Interrupt, work_on
from study.launch.local.workers import Workers
from study.launch.machine import Machine, Terms


def train(packs: Sequence[list[Path]], pool: Pool, machine: Machine, view: Terminal) -> bool:
    """Work on packs of tasks, each a list of folders with their specs, in worker processes.

    Returns False if Ctrl-C, SIGTERM or the deadline came first. Raises WriteError if the results folder cannot be written, and
    StudyError if the code was edited or no worker can start.
    """
    with Interrupt(deadline=machine.deadline) as interrupt, Workers(packs, pool, machine, view, interrupt) as workers:
        while workers.running and not interrupt.count:
            workers.look()
            time.sleep(0.05)
    if complete := not interrupt.count:
        workers.watch.held_elsewhere()
        if workers.broken and workers.watch.left:
            raise StudyError(f"no worker could start: {workers.broken}")
    return complete


def train_here(packs: Sequence[list[Path]], pool: Pool, machine: Machine, view: Terminal) -> bool:
    """As `train`, in this process; an exception in training is raised."""
    watch, us = Watch(packs, view), {os.getpid()}
    device = pool.devices[0]
    with Interrupt(deadline=machine.deadline) as interrupt, warnings_to(view.note, alone=True):
        session = Terms.of(machine, device, pool.threads).session(
            device,
            "debug",
            interrupt.stopped,
            why=interrupt.why,
            report=lambda progress: watch.look(us, soon=False),
            raise_errors=True,
        )
        work_on(packs, pool.threads, session, lambda: watch.look(us))
    if not interrupt.count:
        watch.held_elsewhere()
    return not interrupt.count
