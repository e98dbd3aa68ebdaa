"""A local worker: a process that works on the free tasks of a list, one pack after another, until none is left.

Workers share the list by the tasks' leases, as two commands on one sweep do. Each starts at another place in the list and
passes over tasks that are finished, failed or held by another process.

Standard input has the list as JSON: `packs`, `parent` and `terms`. Standard output takes warnings for the user, one a line.
On SIGTERM, SIGINT, SIGALRM or the death of its parent a worker checkpoints and exits.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import StudyError
from study.launch.attempt.log import warnings_to
from study.launch.machine import Terms
from study.store.files import WriteError
from study.store.layout import task_files
from study.store.runs import status

if TYPE_CHECKING:
    from study.training.session import Session

UNWRITABLE, REFUSED = 74, 78
"""Exit statuses: the results folder cannot be written, or the code was edited. Either concerns the whole command."""

NAMES: dict[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGALRM: "--max-hours"}
"""What interrupts the work, for the record of the attempt."""


class Interrupt:
    """Counts SIGINT, SIGTERM, and SIGALRM, which comes at the deadline, a value of the monotonic clock.

    For a worker the death of its parent is an interruption, too.
    """

    def __init__(self, parent: int | None = None, deadline: float = math.inf) -> None:
        self.parent, self.deadline, self.count, self.number = parent, deadline, 0, 0

    def __enter__(self) -> Interrupt:
        self._before = {number: signal.signal(number, self._came) for number in NAMES}
        if math.isfinite(self.deadline):
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, self.deadline - time.monotonic()))
        return self

    def __exit__(self, *exception: object) -> None:
        if math.isfinite(self.deadline):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, number: int, frame: object) -> None:
        self.count += 1
        self.number = self.number or number

    def stopped(self) -> bool:
        return self.count > 0 or self.parent not in (None, os.getppid())

    def why(self) -> str:
        """What stopped the work, for the record of the attempt."""
        if self.number:
            return NAMES[self.number]
        return "the process that started it died" if self.stopped() else ""


def work_on(
    packs: Sequence[list[Path]], threads: int, session: Session, after: Callable[[], None] = lambda: None
) -> None:
    """Work on one pack after another, without tasks that are finished, failed or held; call `after` each."""
    import torch

    from study.launch.attempt.work import work

    for pack in packs:
        left = [folder for folder in pack if status(task_files(folder)).state in ("pending", "interrupted")]
        if session.stopped():
            break
        if left:
            torch.set_num_threads(threads)  # each time: a resumed run sets the number that it began with
            work(left, session)
            after()


def main() -> None:
    """Entry of a worker's process (`study.boot`): its device, and the pack to begin with."""
    device, first = sys.argv[1], int(sys.argv[2])
    # All workers have the same open file, so it is read without moving its offset.
    task = json.loads(os.pread(0, os.fstat(0).st_size, 0))
    notes = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    try:
        with Interrupt(task["parent"]) as interrupt, warnings_to(lambda text: print(text, file=notes, flush=True)):
            terms = Terms(**task["terms"])
            session = terms.session(device, "local", interrupt.stopped, why=interrupt.why)
            packs = [[Path(folder) for folder in pack] for pack in task["packs"]]
            work_on(packs[first:] + packs[:first], terms.threads, session)
    except (StudyError, WriteError) as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED if isinstance(error, StudyError) else UNWRITABLE)
    sys.exit(128 + interrupt.number if interrupt.number else 0)
