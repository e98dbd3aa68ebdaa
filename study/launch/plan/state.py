"""Decide a task's state from the disk and the queue, and what to do about it. Reads and starts nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from study.config import Mode
from study.launch.slurm.submissions import Place
from study.store.runs import ENDED, RunStatus

Verb = Literal["start", "resume", "retry", "redo", "keep", "wait", "hold", "leave"]

WORK: tuple[Verb, ...] = ("start", "resume", "retry", "redo")
"""The verbs that train or measure. The others: `keep` a result, `wait` for another process or the queue, `hold` what depends
on an unfinished run, `leave` a failed task."""


@dataclass(frozen=True)
class TaskState:
    """The state of a run, or of a chunk of a surface."""

    disk: RunStatus
    state: str
    """As on disk, or `queued` (a scheduler holds it), or `unknown` (it was submitted, and its job cannot be traced)."""
    message: str = ""
    queued: str = ""
    """Where a scheduler holds it, such as `job 17_3, pending`; a job that is `ending` may yet be requeued."""
    job: str | None = None


def decide(disk: RunStatus, place: Place | None = None, trouble: str = "") -> TaskState:
    """The state of a task, from the disk first and the queue second."""
    state, message = str(disk.state), disk.message
    unfinished = state in ("pending", "interrupted")
    if place is None:
        return TaskState(disk, "unknown", trouble) if trouble and unfinished else TaskState(disk, state, message)
    queued, waits = str(place) if place.waiting else "", place.waiting and not place.ending
    if waits and state == "failed":
        state, message = "queued", f"{place}; failed before: {message}"
    elif unfinished:
        words = ": ".join(filter(None, [str(place), place.failure_message()]))
        message = "; ".join(filter(None, [words, message]))
        state = "queued" if waits else "unknown" if place.job.state == "UNKNOWN" else state
    return TaskState(disk, state, message, queued, place.job.job_id)


@dataclass(frozen=True)
class Action:
    """What to do about one task, and why."""

    disk: RunStatus
    verb: Verb
    reason: str

    @property
    def run_id(self) -> str:
        """The task's id."""
        return self.disk.run_id


def plan(tasks: Iterable[TaskState], mode: Mode = "missing") -> list[Action]:
    """One action for each task, in order."""
    return [Action(task.disk, *_verb(task, mode)) for task in tasks]


def _verb(task: TaskState, mode: Mode) -> tuple[Verb, str]:
    now = task.disk
    if now.state == "running":
        return "wait", f"in progress on {now.progress.get('host', 'another machine')}"
    if now.state in ENDED and mode != "force":
        return "keep", now.state
    if task.state == "failed" and mode == "missing":
        return "leave", now.message
    if task.queued:
        return "wait", task.queued
    if mode == "force" and now.state != "pending":
        return "redo", f"{now.state}; --mode force starts over"
    if now.state == "failed":
        return "retry", now.message
    if now.state == "interrupted":
        return "resume", "; ".join(filter(None, [f"from iteration {now.iteration:,}", now.message]))
    return "start", now.message


def count(actions: Iterable[Any], *verbs: Verb) -> int:
    """How many actions, of runs or surfaces, have one of these verbs; without any, how many train or measure."""
    return sum(action.verb in (verbs or WORK) for action in actions)
