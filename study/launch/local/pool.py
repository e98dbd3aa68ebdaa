"""The local executor: a bounded pool of worker processes in the foreground, with live progress."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from study.boot import command, environment
from study.errors import StudyError
from study.launch.allocator import ALLOCATOR
from study.launch.attempt.provenance import code, usable_cores
from study.store import runs as store
from study.store.files import WriteError
from study.store.layout import task_files
from study.store.lease import tidy

MAX_FRUITLESS = 3
"""Times that a worker may die on a run without bringing it forward before the run counts as failed."""


CHECKPOINT_SECONDS = 60.0
"""Training time between two checkpoints: what a crash costs at most."""


@dataclass(frozen=True)
class Job:
    """What every worker of a sweep needs to know."""

    data_root: Path
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    watchdog: float = math.inf
    """Seconds without a step after which a worker is ended, and its runs go on in another."""


RUNS_PER_GPU = 16
"""Runs trained side by side on a GPU, where they fit into its memory."""


@dataclass(frozen=True)
class Pool:
    """Workers of a machine: how many, on which devices, with how many threads each."""

    devices: tuple[str, ...]
    """One for each worker: `cpu`, or `cuda:0`, `cuda:1`, ..."""
    threads: int

    @property
    def pack_size(self) -> int:
        """Runs of a pack: on a CPU one fills its worker's cores."""
        return 1 if self.devices[0] == "cpu" else RUNS_PER_GPU


def visible_gpus() -> int:
    """GPUs that a worker could use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([item for item in visible.split(",") if item.strip() and item.strip() != "-1"])
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def pool(runs: int, device: str = "auto", workers: int | None = None, threads: int | None = None) -> Pool:
    """The workers for a sweep of `runs` runs: by default one per GPU, else the cores shared out.

    The number of threads follows from the sweep's size and the machine, not from what is left to do, so that a
    sweep that is interrupted sums in the same order as one that is not.

    Raises
    ------
    StudyError
        A GPU is asked for, and none is visible.
    """
    gpus = 0 if device == "cpu" else visible_gpus()
    if device == "cuda" and not gpus:
        raise StudyError("--device cuda: no GPU is visible here (see `study doctor`); leave it out to use the CPU")
    cores = usable_cores()
    count = workers or gpus or cores
    threads = threads or max(1, cores // min(count, max(1, runs)))
    devices = tuple(f"cuda:{i % gpus}" if gpus else "cpu" for i in range(count))
    return Pool(devices, threads)


class View(Protocol):
    """What watches a sweep being trained."""

    def started(self, run_id: str) -> None:
        """A worker took the run."""

    def progress(self, facts: dict[str, Any]) -> None:
        """The fields of `study.training.pack.Progress`."""

    def ended(self, run_id: str, outcome: str) -> None:
        """The run is through: `done`, `diverged`, `failed`, `interrupted` or `busy`."""

    def note(self, message: str) -> None:
        """Something the user should know."""

    def tick(self) -> None:
        """Time passes."""


class _Worker:
    """A worker process and the threads that read its events and wait for its end."""

    def __init__(self, device: str, threads: int, job: Job, events: queue.Queue[tuple[_Worker, Any]]) -> None:
        self.folders: list[Path] = []
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `close`
        words = command("study.launch.local.worker", "--device", device, "--threads", str(threads), "--code", code())
        words += ["--data-root", str(job.data_root.resolve()), "--checkpoint-seconds", str(job.checkpoint_seconds)]
        self.process = subprocess.Popen(
            [*words, "--watchdog", str(job.watchdog)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**ALLOCATOR, **environment(), "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # a Ctrl-C in the terminal is for the parent alone
        )
        self._follow(events)

    def _follow(self, events: queue.Queue[tuple[_Worker, Any]]) -> None:
        reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        reader.start()
        threading.Thread(target=self._await, args=(events, reader), daemon=True).start()

    def _read(self, events: queue.Queue[tuple[_Worker, Any]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(json.JSONDecodeError):  # cut short by its death, or a library's words
                events.put((self, json.loads(line)))

    def _await(self, events: queue.Queue[tuple[_Worker, Any]], reader: threading.Thread) -> None:
        """Tell of its end once all that it said is told; not for ever, for a process of its own that hangs may outlive it
        and hold its output open."""
        self.process.wait()
        reader.join(timeout=2)
        events.put((self, None))

    def send(self, folders: list[Path]) -> None:
        self.folders = folders
        self._write({"folders": [str(folder) for folder in folders]})

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died; its reader says so
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def terminate(self, why: str) -> None:
        """Ask it to checkpoint what it trains, and end."""
        if self.process.poll() is None:
            self._write({"stop": why})
            self.process.terminate()

    def close(self) -> None:
        """Wait for its end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.errors.close()

    def last_words(self) -> str:
        """Why it died, as far as can be told."""
        code = self.process.returncode
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        if code < 0:
            name = signal.Signals(-code).name
            return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"exit status {code}: {lines[-1] if lines else 'no message'}"


class _Interrupt:
    """Counts SIGINT and SIGTERM: the first asks for an orderly end, the second for a quick one."""

    def __init__(self) -> None:
        self.count = 0
        self.why = ""

    def __call__(self, number: int, frame: object) -> None:
        self.count += 1
        self.why = self.why or {signal.SIGINT: "Ctrl-C"}.get(signal.Signals(number), signal.Signals(number).name)

    @contextmanager
    def installed(self) -> Iterator[_Interrupt]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


class _Run:
    """One foreground run of the pool over a list of packs."""

    def __init__(self, packs: Sequence[list[Path]], shape: Pool, job: Job, view: View) -> None:
        self.todo = deque(packs)
        self.shape, self.job, self.view = shape, job, view
        self.events: queue.Queue[tuple[_Worker, Any]] = queue.Queue()
        self.workers: dict[_Worker, str] = {}
        self.outcomes: dict[str, str] = {}
        self.notes: set[str] = set()
        self.fruitless: dict[str, tuple[int, int]] = {}  # run: (iteration, deaths there)

    def go(self, interrupt: _Interrupt) -> bool:
        """Work through all packs. False when interrupted."""
        for device in self.shape.devices[: len(self.todo)]:
            self._hire(device)
        try:
            while any(worker.folders for worker in self.workers) and not interrupt.count:
                self._listen(0.1)
            return not interrupt.count
        finally:
            self._dismiss(interrupt)

    def _hire(self, device: str) -> None:
        worker = _Worker(device, self.shape.threads, self.job, self.events)
        self.workers[worker] = device
        self._next(worker)

    def _next(self, worker: _Worker) -> None:
        worker.folders = []
        if self.todo:
            worker.send(self.todo.popleft())
            for folder in worker.folders:
                self.view.started(folder.name)

    def _listen(self, seconds: float) -> None:
        self.view.tick()
        try:
            worker, event = self.events.get(timeout=seconds)
        except queue.Empty:
            return
        if event is None:
            self._died(worker)
        elif event["event"] == "progress":
            self.view.progress(event)
        elif event["event"] == "note":
            if event["message"] not in self.notes:  # each worker says it
                self.notes.add(event["message"])
                self.view.note(event["message"])
        elif event["event"] == "unwritable":  # nor for any other run, as a rule
            raise WriteError(event["number"], event["text"], event["file"])
        elif event["event"] == "refused":
            raise StudyError(event["text"])
        else:
            for run_id, outcome in event["outcomes"].items():
                self._ended(run_id, outcome)
            self._next(worker)

    def _ended(self, run_id: str, outcome: str) -> None:
        self.outcomes[run_id] = outcome
        self.view.ended(run_id, outcome)

    def _died(self, worker: _Worker) -> None:
        """A worker ended without being asked: try its runs again, unless they die without getting anywhere."""
        device = self.workers.pop(worker)
        words = worker.last_words()
        again = []
        for folder in worker.folders:
            files = task_files(folder)
            now = store.status(files)
            at, deaths = self.fruitless.get(folder.name, (-1, 0))
            deaths = deaths + 1 if now.iteration <= at else 1
            self.fruitless[folder.name] = (now.iteration, deaths)
            if now.state in store.ENDED:
                tidy(files)
                self._ended(folder.name, now.state)
            elif deaths < MAX_FRUITLESS:
                self.view.note(f"a worker died ({words}); {folder.name} goes on from iteration {now.iteration:,}")
                again.append(folder)
            else:
                store.write_failed(files, f"its worker died {deaths} times at iteration {now.iteration:,}: {words}")
                self._ended(folder.name, "failed")
        if again:
            self.todo.appendleft(again)
        if self.todo:
            self._hire(device)

    def _dismiss(self, interrupt: _Interrupt) -> None:
        """End all workers: those that are busy checkpoint first, unless there is no time for that."""
        if any(worker.folders for worker in self.workers):
            self.view.note("checkpointing; once more Ctrl-C leaves without")
        for worker in self.workers:
            worker.terminate(interrupt.why)
        left = False
        while any(worker.process.poll() is None for worker in self.workers):
            if interrupt.count > 1 and not left:
                left = True
                self.view.note("left at once: what was trained since the last checkpoints is lost")
                for worker in self.workers:
                    worker.process.kill()
            self.view.tick()
            time.sleep(0.05)
        for worker in self.workers:
            worker.close()


def train(
    packs: Sequence[list[Path]],
    shape: Pool,
    job: Job,
    view: View,
) -> tuple[dict[str, str], bool]:
    """Train packs of runs on this machine, in the foreground.

    Parameters
    ----------
    packs
        Run folders, each with its `spec.json`; a pack goes to one worker as a whole, in this order.

    Returns
    -------
    outcomes, complete
        The outcome of each run that ended, and False when Ctrl-C or SIGTERM came first.

    Raises
    ------
    WriteError
        The results folder cannot be written.
    StudyError
        The code was edited, so that a worker would train with other code than this process has.
    """
    run = _Run(packs, shape, job, view)
    with _Interrupt().installed() as interrupt:
        complete = run.go(interrupt)
    return run.outcomes, complete


def train_here(packs: Sequence[list[Path]], shape: Pool, job: Job, view: View) -> tuple[dict[str, str], bool]:
    """The debug executor: one pack after another in this very process; an exception in training comes through."""
    import torch

    from study.launch.attempt.work import work
    from study.launch.local.worker import Warnings
    from study.training.session import Session

    outcomes: dict[str, str] = {}
    with _Interrupt().installed() as interrupt, _handling(Warnings(view.note)):
        session = Session(
            job.data_root,
            torch.device(shape.devices[0]),
            "debug",
            checkpoint_seconds=job.checkpoint_seconds,
            stopped=lambda: interrupt.count > 0,
            why=lambda: interrupt.why,
            report=lambda progress: view.progress(progress._asdict()),
            raise_errors=True,
        )
        for folders in packs:
            torch.set_num_threads(shape.threads)
            for folder in folders:
                view.started(folder.name)
            part = work(folders, session)
            outcomes |= part
            for run_id, outcome in part.items():
                view.ended(run_id, outcome)
            if interrupt.count:
                return outcomes, False
    return outcomes, True


@contextmanager
def _handling(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("study")
    before, logger.handlers = logger.handlers, [handler]
    try:
        yield
    finally:
        logger.handlers = before
