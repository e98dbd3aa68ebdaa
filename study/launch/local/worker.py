"""A local worker: a process that works on the free tasks of a list, one pack after another, until none is left.

Workers share the list by the tasks' leases, as two commands on one sweep do. Each starts at another place in the list and
passes over tasks that are finished, failed or held by another process.

Standard input is the list, as JSON (`Work`). Standard output takes warnings for the user, one a line. On SIGTERM, SIGINT or
the death of its parent a worker checkpoints and exits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from study.errors import StudyError
from study.launch.attempt.log import warnings_to
from study.launch.attempt.provenance import require
from study.store.files import WriteError
from study.store.layout import task_files
from study.store.runs import status

UNWRITABLE, REFUSED = 74, 78
"""Exit statuses: the results folder cannot be written, or the code was edited. Either concerns the whole command."""


class _Stop:
    """Whether the worker should stop, and why: a signal came, or its parent died."""

    def __init__(self, parent: int) -> None:
        self.parent, self.number = parent, 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: object) -> None:
        self.number = self.number or number

    def __call__(self) -> bool:
        return self.number != 0 or os.getppid() != self.parent

    def why(self) -> str:
        if self.number:
            return signal_name(self.number)
        return "the process that started it died" if self() else ""


def signal_name(number: int) -> str:
    """A signal's name for the user."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def free(packs: Iterable[list[Path]], threads: int, stopped: Callable[[], bool]) -> Iterator[list[Path]]:
    """Yield one pack after another, without the tasks that are finished, failed or held by another process."""
    import torch

    for pack in packs:
        left = [folder for folder in pack if status(task_files(folder)).state in ("pending", "interrupted")]
        if stopped():
            return
        if left:
            torch.set_num_threads(threads)  # each time: a resumed run sets the number that it began with
            yield left


@dataclass(frozen=True)
class Work:
    """What all workers of a command get on standard input."""

    packs: list[list[str]]
    parent: int
    code: str
    data_root: str
    threads: int
    checkpoint_seconds: float
    watchdog: float


def main() -> None:
    """Entry of a worker's process (`study.boot`): its device, and the pack to begin with."""
    device, first = sys.argv[1], int(sys.argv[2])
    # All workers have the same open file, so it is read without moving its offset.
    task = Work(**json.loads(os.pread(0, os.fstat(0).st_size, 0)))
    stop = _Stop(task.parent)
    notes = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    try:
        with warnings_to(lambda message: print(message, file=notes, flush=True)):
            import torch  # late: the signal handlers are in place while this takes its seconds

            from study.launch.attempt.work import work
            from study.training.session import Session

            require(task.code)
            session = Session(
                Path(task.data_root),
                torch.device(device),
                "local",
                checkpoint_seconds=task.checkpoint_seconds,
                watchdog=task.watchdog,
                stopped=stop,
                why=stop.why,
            )
            packs = [[Path(folder) for folder in pack] for pack in task.packs[first:] + task.packs[:first]]
            for folders in free(packs, task.threads, stop):
                work(folders, session)
    except (StudyError, WriteError) as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED if isinstance(error, StudyError) else UNWRITABLE)
    sys.exit(128 + stop.number if stop.number else 0)
