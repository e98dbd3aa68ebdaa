"""Decide a task's state from the disk and the queue, and what to do about it. Reads and starts nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from study.store.runs import ENDED, RunStatus

if TYPE_CHECKING:
    from study.launch.slurm.submissions import Place

Mode = Literal["missing", "retry", "force"]
"""missing: unfinished tasks; retry: failed ones too; force: all again, from the start."""

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
    """Where a scheduler holds it, such as `job 17_3, pending`."""
    job: str | None = None

    @property
    def task_id(self) -> str:
        """The id of the run or chunk."""
        return self.disk.run_id


def decide(disk: RunStatus, place: Place | None = None, trouble: str = "") -> TaskState:
    """The state of a task, from the disk first and the queue second.

    `place` is its newest job; `trouble` is why the queue could not be read.
    """
    state, message = str(disk.state), disk.message
    if place is None:
        unknown = trouble and state in ("pending", "interrupted")
        return TaskState(disk, "unknown", trouble) if unknown else TaskState(disk, state, message)
    queued, job = str(place) if place.waiting else "", place.job.job_id
    if queued and state == "failed":
        state, message = "queued", f"{place}; failed before: {message}"
    elif queued and state in ("pending", "interrupted"):
        state, message = "queued", "; ".join(filter(None, [queued, message]))
    elif state in ("pending", "interrupted"):
        words = place.failure_message()
        message = "; ".join(filter(None, [f"{place}: {words}" if words else str(place), message]))
        state = "unknown" if place.job.state == "UNKNOWN" else state
    return TaskState(disk, state, message, queued, job)


@dataclass(frozen=True)
class Action:
    """What to do about one task, and why."""

    run_id: str
    verb: Verb
    reason: str


def plan(tasks: Iterable[TaskState], mode: Mode = "missing") -> list[Action]:
    """One action for each task, in order."""
    return [Action(task.task_id, *_verb(task, mode)) for task in tasks]


def _verb(task: TaskState, mode: Mode) -> tuple[Verb, str]:
    now = task.disk
    if now.state == "running":
        return "wait", f"in progress on {now.progress.get('host', 'another machine')}"
    if now.state in ENDED and mode != "force":
        return "keep", now.state
    if task.queued:
        return "wait", task.queued
    if mode == "force" and now.state != "pending":
        return "redo", f"{now.state}; --mode force starts over"
    if now.state == "failed":
        return "retry" if mode == "retry" else "leave", now.message
    if now.state == "interrupted":
        return "resume", "; ".join(filter(None, [f"from iteration {now.iteration:,}", now.message]))
    return "start", now.message
