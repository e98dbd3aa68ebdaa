"""What the files tell of tasks while they are worked on: who holds each, how far it is, how it ended."""

from __future__ import annotations

from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from study.store import process
from study.store.files import DamagedError, read_json
from study.store.layout import TaskFiles
from study.store.lease import holder
from study.store.runs import ENDED, RunStatus, status


class View(Protocol):
    """What shows a sweep while it is trained."""

    def started(self, run_id: str) -> None:
        """A worker took the task."""

    def progress(self, facts: dict[str, Any]) -> None:
        """A heartbeat: `run_id`, `iteration`, `iterations`, `error` and perhaps `images_per_second`, `seconds_left`."""

    def ended(self, run_id: str, outcome: str) -> None:
        """The task has ended: `done`, `diverged`, `failed`, or `busy` where another process works on it."""

    def note(self, message: str) -> None:
        """Something the user should know."""

    def tick(self) -> None:
        """Time passes."""


class Watch:
    """Tells a view what has changed since it last looked."""

    def __init__(self, tasks: Iterable[TaskFiles], view: View) -> None:
        self.tasks = {files.run_id: files for files in tasks}
        self.left = dict(self.tasks)
        """The tasks that have not ended."""
        self.view = view
        self.outcomes: dict[str, str] = {}
        self.holders: dict[str, int] = {}
        """By task, the worker that was last seen with it."""
        self._beats: dict[str, dict[str, Any]] = {}

    def look(self, workers: Container[int]) -> None:
        """Look at every task that has not ended; `workers` are the process numbers of our own."""
        for files in list(self.left.values()):
            now = status(files) if files.done.exists() or files.failed.exists() else None
            if now and now.state in (*ENDED, "failed"):
                self._end(files, now)
            else:
                self._look(files, workers)
        self.view.tick()

    def _look(self, files: TaskFiles, workers: Container[int]) -> None:
        lease = _read(files.lease)
        if lease.get("pid") not in workers or any(lease.get(key) != value for key, value in process.machine().items()):
            return
        if self.holders.get(files.run_id) != lease["pid"]:
            self.holders[files.run_id] = lease["pid"]
            self.view.started(files.run_id)
        beat = _read(files.heartbeat)
        if beat.get("token") == lease["token"] and "iteration" in beat and beat != self._beats.get(files.run_id):
            self._beats[files.run_id] = beat
            self.view.progress({"run_id": files.run_id, **beat})

    def _end(self, files: TaskFiles, now: RunStatus) -> None:
        if now.state in ENDED:
            at = {"iteration": now.iteration, "iterations": now.iteration}
            if files.run_id not in self.holders:  # a short task may begin and end between two looks
                self.view.started(files.run_id)
            self.view.progress({"run_id": files.run_id, "error": now.error, **at})
        self.end(files.run_id, now.state)

    def end(self, run_id: str, outcome: str) -> None:
        """Take a task off the list."""
        del self.left[run_id]
        self.outcomes[run_id] = outcome
        self.view.ended(run_id, outcome)

    def held_elsewhere(self) -> None:
        """When all workers have gone: what is left and held is another process's."""
        for files in [files for files in self.left.values() if holder(files) is not None]:
            self.end(files.run_id, "busy")


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, DamagedError):
        return read_json(path) or {}
    return {}
