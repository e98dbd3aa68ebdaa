"""The local and the debug executor: worker processes of one command, watched and replaced when they die; or this process."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from study.boot import command, environment
from study.errors import StudyError
from study.launch.attempt.log import warnings_to
from study.launch.attempt.provenance import ALLOCATOR
from study.launch.local.pool import Pool
from study.launch.local.terminal import Terminal
from study.launch.local.watch import Watch
from study.launch.local.worker import REFUSED, UNWRITABLE, Interrupt, work_on
from study.launch.machine import Machine, Terms
from study.store import runs as store
from study.store.files import WriteError
from study.store.layout import TaskFiles
from study.store.lease import holder, tidy

MAX_DEATHS = 3
"""Deaths of workers on a run without any progress after which the run counts as failed."""


class Process:
    """A process of this package, in a session of its own: a Ctrl-C in the terminal is for the parent alone."""

    def __init__(self, threads: int, module: str, *arguments: str, stdin: int, stdout: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `failure_message`
        self.process = subprocess.Popen(
            command(module, *arguments),
            stdin=stdin,
            stdout=stdout,
            stderr=self._errors,
            env={**ALLOCATOR, **environment(), "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )

    def failure_message(self) -> str:
        """How it died: the signal, or its exit status and the last line that it printed."""
        with self._errors:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last, status = lines[-1] if lines else "no message", self.process.returncode
        if status == REFUSED:
            raise StudyError(last)
        if status == UNWRITABLE:  # usually for every other run, too
            file, _, text = last.rpartition(": ")
            raise WriteError(errno.EIO, text, file)
        if status < 0:
            return f"killed by {signal.Signals(-status).name}" + (" (out of memory?)" if status == -9 else "")
        return f"exit status {status}: {last}"


class _Worker(Process):
    """A worker process; `deaths` of its predecessors died before they took any task."""

    def __init__(self, device: str, first: int, deaths: int, stdin: int, stdout: int, threads: int) -> None:
        self.device, self.deaths = device, deaths
        super().__init__(threads, "study.launch.local.worker", device, str(first), stdin=stdin, stdout=stdout)


class Workers:
    """The workers of one command; entering the context starts as many as have something to do.

    The first interruption asks them to checkpoint, the second kills them.
    """

    def __init__(
        self, packs: Sequence[list[Path]], pool: Pool, machine: Machine, view: Terminal, interrupt: Interrupt
    ) -> None:
        self.packs, self.pool, self.machine, self.view, self.interrupt = packs, pool, machine, view, interrupt
        self.watch = Watch(packs, view)
        self.running: list[_Worker] = []
        self.broken = ""
        """Why a worker could not start."""
        self._deaths: dict[str, tuple[int, int]] = {}  # by run: its iteration, and how many workers died there
        self._said: set[str] = set()
        self._read = 0

    def __enter__(self) -> Workers:
        terms = Terms.of(self.machine, "auto", self.pool.threads)
        packs = [list(map(str, pack)) for pack in self.packs]
        task = {"packs": packs, "parent": os.getpid(), "terms": asdict(terms)}
        with ExitStack() as stack:
            stack.callback(self._stop)
            self._list = stack.enter_context(tempfile.TemporaryFile())
            self._notes = stack.enter_context(tempfile.TemporaryFile())
            self._list.write(json.dumps(task).encode())
            self._list.flush()
            for first, device in enumerate(self.pool.devices[: len(packs)]):
                self._start(device, first)
            self._files = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def _start(self, device: str, first: int = 0, deaths: int = 0) -> None:
        stdin, stdout = self._list.fileno(), self._notes.fileno()
        self.running.append(_Worker(device, first, deaths, stdin, stdout, self.pool.threads))

    def look(self) -> None:
        """Show what has happened, and replace workers that have died."""
        ended = [worker for worker in self.running if worker.process.poll() is not None]
        self.watch.look({worker.process.pid for worker in self.running}, soon=bool(ended))
        self._tell()
        for worker in ended:
            self.running.remove(worker)
            if worker.process.returncode:
                self._died(worker)

    def _tell(self) -> None:
        """Pass on the workers' warnings; one that several have is shown once."""
        content = os.pread(self._notes.fileno(), 1 << 20, self._read)
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if line not in self._said:
                self._said.add(line)
                self.view.note(line)

    def _died(self, worker: _Worker) -> None:
        """Replace a worker that died, unless its tasks killed several without any progress."""
        words = worker.failure_message()
        held = [name for name, pid in self.watch.holders.items() if pid == worker.process.pid]
        for run_id in held:
            self._count(self.watch.tasks[run_id], words)
        deaths = 0 if held else worker.deaths + 1
        if deaths >= MAX_DEATHS:
            self.broken = words
        elif self.watch.left:
            self._start(worker.device, deaths=deaths)

    def _count(self, files: TaskFiles, words: str) -> None:
        """Count the death of a worker with a task; the task fails if that happens too often."""
        run_id, now = files.run_id, store.status(files)
        if run_id not in self.watch.left:
            if now.state in store.ENDED:
                tidy(files)
            return
        at, deaths = self._deaths.get(run_id, (-1, 0))
        deaths = deaths + 1 if now.iteration <= at else 1
        self._deaths[run_id] = (now.iteration, deaths)
        if deaths < MAX_DEATHS:
            self.view.note(f"a worker died ({words}); {run_id} goes on from iteration {now.iteration:,}")
        elif holder(files) is None:
            store.write_failed(files, f"its worker died {deaths} times at iteration {now.iteration:,}: {words}")
            self.watch.end(run_id, "failed")

    def _stop(self) -> None:
        """End all workers. They checkpoint first, unless a second interruption kills them."""
        running = [worker.process for worker in self.running if worker.process.poll() is None]
        if running:
            self.view.note("checkpointing; press Ctrl-C once more to stop at once")
        for process in running:
            process.send_signal(self.interrupt.number or signal.SIGTERM)
        killed = False
        while any(process.poll() is None for process in running):
            if self.interrupt.count > 1 and not killed:
                killed = True
                self.view.note("stopped at once: training since the last checkpoints is lost")
                for process in running:
                    process.kill()
            self.view.tick()
            time.sleep(0.05)


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
