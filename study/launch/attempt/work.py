"""One attempt at tasks by one process: leases, heartbeat, log, the attempt's record, and what a failure leaves behind.

Every executor ends here: a local worker, a job on a cluster, or the command's own process.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from study.data.decode import lost
from study.errors import StudyError
from study.launch.attempt import provenance, runs
from study.launch.attempt.heartbeat import Heartbeat
from study.launch.attempt.log import log_into, one_line
from study.store import runs as store
from study.store.files import WriteError, sweep_away_temporaries
from study.store.layout import ChunkFiles, RunFiles, TaskFiles, task_files
from study.store.lease import Lease, LeaseLost, claim_all
from study.training.session import Session

MAX_FRUITLESS = 3
"""Attempts by jobs in a row that may start without progress."""

log = logging.getLogger(__name__)

T = TypeVar("T", bound=TaskFiles)


def work(folders: Sequence[Path], session: Session) -> dict[str, str]:
    """Train runs side by side, or measure chunks of surfaces one by one, until each is sealed, has failed or is stopped.

    Returns the outcome of each: a state of `ENDED`, `failed`, `interrupted`, or `busy` if another process holds it. Raises
    WriteError if the results folder cannot be written; the tasks are then interrupted.
    """
    outcomes: dict[str, str] = {}
    if not isinstance(task_files(folders[0]), ChunkFiles):
        if not session.ranks.first:
            return runs.follow(RunFiles(folders[0]), session)
        with _attempt([RunFiles(folder) for folder in folders], session, outcomes) as (mine, watched):
            if mine:
                runs.train(mine, watched)
        return outcomes
    from study.launch.attempt import chunks  # late: SciPy, which no run needs

    for files in map(ChunkFiles, folders):
        if session.stopped():
            outcomes[files.run_id] = "interrupted"
            continue
        with _attempt([files], session, outcomes) as (claimed, watched):
            if claimed:
                chunks.measure(files, watched)
    return outcomes


@contextmanager
def _attempt(tasks: Sequence[T], session: Session, outcomes: dict[str, str]) -> Iterator[tuple[list[T], Session]]:
    """Yield the tasks to work on, under their leases and with their logs, and a session that their heartbeat watches.

    `outcomes` gets the outcome of each task, even if the work raises an exception.
    """
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
            if (outcome := _refuse(files, session)) is not None:
                outcomes[files.run_id] = outcome
                continue
            sweep_away_temporaries(files.folder, held=True)
            mine.append(files)
        if not session.ranks.any(bool(mine), session.device):
            yield [], session
            return
        leases = {files.run_id: claimed[files.run_id] for files in mine}
        heartbeat = stack.enter_context(Heartbeat(leases, session.watchdog))
        with _recorded(mine, session, leases, outcomes):
            yield mine, heartbeat.watched(session)


def _refuse(files: TaskFiles, session: Session) -> str | None:
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
        if isinstance(files, RunFiles):
            runs.check(files)  # here, so that no other run of the pack fails with this one
    except (StudyError, ValueError) as error:
        log.error("%s", error)
        store.write_failed(files, one_line(error))
        store.end_attempt(files, "failed", store.checkpointed(files))
        return "failed"
    return None


@contextmanager
def _recorded(
    tasks: Sequence[TaskFiles], session: Session, leases: Mapping[str, Lease], outcomes: dict[str, str]
) -> Iterator[None]:
    name = torch.cuda.get_device_name(session.device) if session.device.type == "cuda" else session.device.type
    record = provenance.describe(name, session.executor, torch.get_num_threads())
    for files in tasks:
        store.start_attempt(files, record, leases[files.run_id].before)
        log.info("attempt on %s, %s, %s threads, torch %s", record["host"], name, record["threads"], record["torch"])
    try:
        yield
    except LeaseLost as error:
        log.warning("%s; nothing more is written here", error)
        outcomes.update((files.run_id, "busy") for files in tasks)
        return
    except WriteError as error:
        log.error("the attempt cannot go on: %s", error)
        for files in tasks:
            if not files.done.exists():
                with contextlib.suppress(WriteError):  # the disk may refuse this, too
                    store.end_attempt(files, "interrupted", store.checkpointed(files), str(error))
        raise
    except Exception as raised:
        told = (lost(raised) if isinstance(raised, RuntimeError) else None) or raised
        for files in tasks:
            if not files.done.exists():
                log.exception("the attempt failed")
                store.write_failed(files, one_line(told), traceback.format_exc())
        if session.raise_errors and not isinstance(told, StudyError):
            raise
    for files in tasks:
        outcomes[files.run_id] = _outcome(files, session)


def _outcome(files: TaskFiles, session: Session) -> str:
    """How the attempt left a task, from the files alone; recorded with the attempt."""
    if files.done.exists():
        now = store.status(files)
        outcome, iteration = str(now.state), now.iteration
    else:
        outcome = "failed" if files.failed.exists() else "interrupted"
        iteration = store.checkpointed(files)
    store.end_attempt(files, outcome, iteration, session.why() if outcome == "interrupted" else "")
    log.info("%s at iteration %d", outcome, iteration)
    return outcome
