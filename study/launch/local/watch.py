"""Watch the files of tasks in progress: who holds each, how far it is, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from study.launch.local.terminal import Terminal
from study.store import process
from study.store.files import peek_json, remove
from study.store.layout import TaskFiles, task_files
from study.store.runs import ENDED, checkpointed, status

LOOK_SECONDS = 0.25


class Watch:
    """Tells a terminal what has changed since the last look. Earlier failures are forgotten."""

    def __init__(self, packs: Sequence[list[Path]], view: Terminal) -> None:
        self.tasks = {folder.name: task_files(folder) for pack in packs for folder in pack}
        for files in self.tasks.values():
            remove(files.failed)
        self.left = dict(self.tasks)
        """The tasks that have not ended."""
        self.view = view
        self.holders: dict[str, int] = {}
        """By task, the worker that was last seen with it."""
        self._beats: dict[str, dict[str, Any]] = {}
        self._next = 0.0

    def look(self, workers: Container[int], soon: bool = True) -> None:
        """Look at every task that has not ended; `workers` are the process numbers of our own."""
        began = time.monotonic()
        if not soon and began < self._next:
            return
        for files in list(self.left.values()):
            now = status(files) if files.done.exists() or files.failed.exists() else None
            if now is None or now.state not in (*ENDED, "failed"):
                self._look(files, workers)
                continue
            if now.state in ENDED:
                if files.run_id not in self.holders:  # a short task may begin and end between two looks
                    self.view.started(files.run_id, 0)
                self.view.progress(files.run_id, now.iteration, now.iteration, {"error": now.error})
            self.end(files.run_id, now.state)
        self.view.tick()
        took = time.monotonic() - began  # some 30 ms with thousands of runs
        self._next = began + max(LOOK_SECONDS, 20 * took)

    def _look(self, files: TaskFiles, workers: Container[int]) -> None:
        lease = peek_json(files.lease)
        if lease.get("pid") not in workers or any(lease.get(key) != value for key, value in process.machine().items()):
            return
        if self.holders.get(files.run_id) != lease["pid"]:
            self.holders[files.run_id] = lease["pid"]
            self.view.started(files.run_id, checkpointed(files))
        beat = peek_json(files.heartbeat)
        if beat.get("token") == lease["token"] and "iteration" in beat and beat != self._beats.get(files.run_id):
            self._beats[files.run_id] = beat
            self.view.progress(files.run_id, beat["iteration"], beat["iterations"], beat)

    def end(self, run_id: str, outcome: str) -> None:
        """Take a task off the list."""
        del self.left[run_id]
        self.view.ended(run_id, outcome)

    def held_elsewhere(self) -> None:
        """Once all workers have ended, count what is still held as another process's."""
        for files in list(self.left.values()):
            # Not by the age of the heartbeat: this machine's clock may be wrong, and no worker of ours could take it.
            if (lease := peek_json(files.lease)) and process.alive(lease) is not False:
                self.end(files.run_id, "busy")
