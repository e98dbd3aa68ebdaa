"""The local executor: workers in the background share a list of tasks, and the command shows how far they are."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from study.boot import command, environment
from study.errors import StudyError
from study.launch.attempt.provenance import ALLOCATOR, code
from study.launch.local.pool import Pool
from study.launch.local.watch import View, Watch
from study.launch.local.worker import REFUSED, UNWRITABLE, Warnings, Work, signal_name, train_free
from study.launch.machine import Machine
from study.store import runs as store
from study.store.files import WriteError, remove
from study.store.layout import TaskFiles, task_files
from study.store.lease import holder, tidy

MAX_DEATHS = 3
"""Deaths of workers on a run without any progress after which the run counts as failed."""
LOOK_SECONDS = 0.25
"""Between two looks at the files."""


def train(packs: Sequence[list[Path]], shape: Pool, machine: Machine, view: View) -> tuple[dict[str, str], bool]:
    """Train packs of runs on this machine, in the foreground.

    Each pack is a list of run folders with their specs, and is trained by one worker as a whole. Returns the outcome of each
    run that ended, and False where Ctrl-C or SIGTERM came first. Raises WriteError where the results folder cannot be
    written, and StudyError where the code was edited or no worker can start.
    """
    with _Interrupt() as interrupt, _Workers(packs, shape, machine, view, interrupt) as workers:
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

    watch = _open(packs, view)
    seen = time.monotonic()

    def report(progress: object) -> None:
        nonlocal seen
        if time.monotonic() - seen > LOOK_SECONDS:
            seen = time.monotonic()
            watch.look({os.getpid()})

    with _Interrupt() as interrupt, _warnings_to(view):
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


def _open(packs: Sequence[list[Path]], view: View) -> Watch:
    """A watch over the tasks, of which none counts as failed any more: what fails from now on is not tried again."""
    tasks = [task_files(folder) for pack in packs for folder in pack]
    for files in tasks:
        remove(files.failed)
    return Watch(tasks, view)


class _Interrupt:
    """Counts SIGINT and SIGTERM: the first asks the workers to checkpoint, the second kills them."""

    count = 0
    number = 0

    def __enter__(self) -> _Interrupt:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._came) for number in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, number: int, frame: object) -> None:
        self.count += 1
        self.number = self.number or number

    @property
    def why(self) -> str:
        return signal_name(self.number) if self.number else ""


@contextmanager
def _warnings_to(view: View) -> Iterator[None]:
    logger = logging.getLogger("study")
    before, logger.handlers = logger.handlers, [Warnings(view.note)]
    try:
        yield
    finally:
        logger.handlers = before


class _Worker:
    """A worker process, and what it last printed."""

    def __init__(self, words: list[str], device: str, deaths: int, stdin: int, stdout: int, threads: int) -> None:
        self.device, self.deaths = device, deaths
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `failure_message`
        self.process = subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=self.errors,
            env={**ALLOCATOR, **environment(), "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # a Ctrl-C in the terminal is for the parent alone
        )

    def failure_message(self) -> str:
        """The last line that it printed."""
        with self.errors:
            self.errors.seek(0)
            lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"


class _Workers:
    """The workers of one command: started, watched, replaced where they die, and stopped."""

    def __init__(
        self, packs: Sequence[list[Path]], shape: Pool, machine: Machine, view: View, interrupt: _Interrupt
    ) -> None:
        self.packs, self.shape, self.machine, self.view, self.interrupt = packs, shape, machine, view, interrupt
        self.watch = _open(packs, view)
        self.running: list[_Worker] = []
        self.broken = ""
        """Why a worker could not start."""
        self._deaths: dict[str, tuple[int, int]] = {}  # by run: where it was, and how many workers died there
        self._said: set[str] = set()
        self._read = 0
        self._look_at = 0.0

    def __enter__(self) -> _Workers:
        with ExitStack() as stack:
            self._list = stack.enter_context(tempfile.TemporaryFile())
            self._notes = stack.enter_context(tempfile.TemporaryFile())
            self._list.write(json.dumps(asdict(self._work())).encode())
            self._list.flush()
            self._files = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        self._files.close()

    def start(self) -> None:
        """Start as many workers as have something to do."""
        for first, device in enumerate(self.shape.devices[: len(self.packs)]):
            self._start(device, first)

    def _work(self) -> Work:
        packs = [[str(folder.absolute()) for folder in pack] for pack in self.packs]
        return Work(
            packs, os.getpid(), code(), str(self.machine.data_root.resolve()), self.shape.threads,
            self.machine.checkpoint_seconds, self.machine.watchdog,
        )  # fmt: skip

    def _start(self, device: str, first: int = 0, deaths: int = 0) -> None:
        """Start a worker at a pack of the list; `deaths` of its predecessors came before they had taken any."""
        words = command("study.launch.local.worker", device, str(first))
        self.running.append(
            _Worker(words, device, deaths, self._list.fileno(), self._notes.fileno(), self.shape.threads)
        )

    def look(self) -> None:
        """Show what has happened, and replace workers that have died."""
        ended = [worker for worker in self.running if worker.process.poll() is not None]
        began = time.monotonic()
        if ended or began > self._look_at:
            self.watch.look({worker.process.pid for worker in self.running})
            self._tell()
            took = time.monotonic() - began  # some 30 ms with thousands of runs
            self._look_at = began + max(LOOK_SECONDS, 20 * took)
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
        """Start another worker in the place of one that died, unless its tasks killed several without any progress."""
        status, words = worker.process.returncode, worker.failure_message()
        if status == REFUSED:
            raise StudyError(words)
        if status == UNWRITABLE:  # nor can it be for any other run, as a rule
            file, _, text = words.rpartition(": ")
            raise WriteError(errno.EIO, text, file)
        if status < 0:
            words = f"killed by {signal.Signals(-status).name}" + (" (out of memory?)" if status == -9 else "")
        else:
            words = f"exit status {status}: {words}"
        held = [name for name, pid in self.watch.holders.items() if pid == worker.process.pid]
        for run_id in held:
            self._count(self.watch.tasks[run_id], words)
        deaths = 0 if held else worker.deaths + 1
        if deaths >= MAX_DEATHS:
            self.broken = words
        elif self.watch.left:
            self._start(worker.device, deaths=deaths)

    def _count(self, files: TaskFiles, words: str) -> None:
        """Note that a worker died with a task, which fails when that has happened too often."""
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
