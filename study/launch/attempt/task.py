"""One attempt at tasks by one process: leases, heartbeat, log, the attempt's record, and what is left behind on failure.

Every executor ends here: a local worker, a job on a cluster, or the command's own process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from typing import Protocol, TypeVar

import torch

from study.data.decode import lost
from study.errors import StudyError
from study.launch.attempt import provenance
from study.launch.attempt.heartbeat import Heartbeat
from study.store import runs as store
from study.store.files import WriteError, sweep_away_temporaries, writing
from study.store.layout import TaskFiles
from study.store.lease import Lease, LeaseLost, claim_all
from study.training.session import Session

MAX_FRUITLESS = 3
"""Attempts by jobs in a row that may start without progress."""

log = logging.getLogger(__name__)

T_contra = TypeVar("T_contra", bound=TaskFiles, contravariant=True)
T = TypeVar("T", bound=TaskFiles)


class Kind(Protocol[T_contra]):
    """What differs between runs and chunks of surfaces."""

    def check(self, files: T_contra) -> None:
        """Raise StudyError if the task can never be done."""

    def do(self, tasks: Sequence[T_contra], session: Session) -> None:
        """Train or measure until the tasks are sealed or the session is stopped."""

    def end(self, files: T_contra) -> None:
        """Called when a task is sealed."""


def attempt(tasks: Sequence[T], session: Session, kind: Kind[T]) -> dict[str, str]:
    """Try tasks of one kind together; arguments and result as of `study.launch.attempt.work.work`."""
    outcomes: dict[str, str] = {}
    with ExitStack() as stack:
        claimed = claim_all(tasks)
        for lease in claimed.values():
            stack.callback(lease.release)
        mine: list[T] = []
        for files in tasks:
            if files.run_id not in claimed:
                outcomes[files.run_id] = "busy"
                continue
            stack.enter_context(log_into(files))
            if (outcome := _refuse(files, session, kind)) is not None:
                outcomes[files.run_id] = outcome
                continue
            sweep_away_temporaries(files.folder, held=True)
            mine.append(files)
        if session.ranks.any(bool(mine), session.device):
            leases = {files.run_id: claimed[files.run_id] for files in mine}
            heartbeat = stack.enter_context(Heartbeat(leases, session.watchdog))
            outcomes |= _try(mine, heartbeat.watched(session), leases, kind)
    return outcomes


def _refuse(files: T, session: Session, kind: Kind[T]) -> str | None:
    """The outcome of a task that is not to be tried, now that its lease is held; None if it is to be tried."""
    now = store.status(files)
    if now.state in store.ENDED:  # by another process, a moment ago
        return now.state
    if now.damage:
        log.warning("%s: %s", files.run_id, now.damage)
    try:
        if session.executor == "slurm" and store.fruitless_attempts(files) >= MAX_FRUITLESS:
            # A time limit too short for one checkpoint would requeue the job for ever.
            where = f"at iteration {store.checkpointed(files):,}"
            raise StudyError(f"{MAX_FRUITLESS} attempts made no progress {where}; give its jobs more time")
        kind.check(files)  # here, so that no other task of the pack fails with this one
    except (StudyError, ValueError) as error:
        log.error("%s", error)
        store.write_failed(files, one_line(error))
        store.end_attempt(files, "failed", store.checkpointed(files))
        return "failed"
    return None


def _try(tasks: Sequence[T], session: Session, leases: Mapping[str, Lease], kind: Kind[T]) -> dict[str, str]:
    name = torch.cuda.get_device_name(session.device) if session.device.type == "cuda" else "cpu"
    record = provenance.describe(name, session.executor, torch.get_num_threads())
    for files in tasks:
        store.start_attempt(files, record, leases[files.run_id].before)
        log.info("attempt on %s, %s, %s threads, torch %s", record["host"], name, record["threads"], record["torch"])
    try:
        kind.do(tasks, session)
    except LeaseLost as error:
        log.warning("%s; nothing more is written here", error)
        return {files.run_id: "busy" for files in tasks}
    except WriteError as error:
        for files in tasks:
            _end_unwritable(files, error)
        raise
    except Exception as raised:
        told = (lost(raised) if isinstance(raised, RuntimeError) else None) or raised
        for files in tasks:
            if not files.done.exists():
                log.exception("the attempt failed")
                store.write_failed(files, one_line(told), traceback.format_exc())
        if session.raise_errors and not isinstance(told, StudyError):
            raise
    return {files.run_id: _outcome(files, session.why, kind) for files in tasks}


def _end_unwritable(files: TaskFiles, error: WriteError) -> None:
    """Record that the disk ended an attempt, if the disk allows that."""
    log.error("the attempt cannot go on: %s", error)
    if not files.done.exists():
        with contextlib.suppress(WriteError):
            store.end_attempt(files, "interrupted", store.checkpointed(files), str(error))


def _outcome(files: T, why: Callable[[], str], kind: Kind[T]) -> str:
    """How the attempt left a task, from the files alone; recorded with the attempt."""
    if done := files.done.exists():
        now = store.status(files)
        outcome, iteration = str(now.state), now.iteration
    else:
        outcome = "failed" if files.failed.exists() else "interrupted"
        iteration = store.checkpointed(files)
    store.end_attempt(files, outcome, iteration, why() if outcome == "interrupted" else "")
    log.info("%s at iteration %d", outcome, iteration)
    if done:
        kind.end(files)
    return outcome


def one_line(error: Exception) -> str:
    """A failure in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, StudyError) else f"{type(error).__name__}: {text}"


class _Log(logging.FileHandler):
    """A log that a full disk may cut short: that is no reason to stop the work."""

    def _open(self) -> TextIOWrapper:
        # Not through a link: what is logged belongs into the task's folder.
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        pass


@contextmanager
def log_into(files: TaskFiles) -> Iterator[None]:
    """Send this package's log messages into the task's log."""
    with writing(files.log):
        handler = _Log(files.log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("study")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # what a full disk did not take
            handler.close()
