"""What a terminal shows while surfaces are being measured: a bar for each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from study.launch.local.terminal import FILE_SECONDS
from study.launch.plan.surfaces import SurfaceAction
from study.measure.surface.lattice import PATH
from study.text import duration


class SurfaceTerminal:
    """Live bars on a terminal, one for each surface that is begun; a line a minute where output goes to a file.

    As `study.launch.local.watch.View`: it is told of chunks.
    """

    def __init__(self, actions: Sequence[SurfaceAction], console: Console) -> None:
        self.console, self.began = console, time.monotonic()
        self.owner = {chunk.run_id: action for action in actions for chunk in action.chunks}
        self.left = {id(action): len(action.chunks) for action in actions}
        self.points = {id(action): action.points - action.sealed for action in actions}
        self.reached: dict[str, int] = {}
        self.failed: set[int] = set()
        self._bars: dict[int, TaskID] = {}
        self._under_way: set[int] = set()
        self._told = self.began
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TextColumn("points"))
        self._live = Progress(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )

    def __enter__(self) -> SurfaceTerminal:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    # -- study.launch.local.watch.View ----------------------------------------------------------------------------------------

    def started(self, run_id: str, iteration: int) -> None:
        action = self.owner[run_id]
        if id(action) not in self._bars:
            # The bar pulses until the first point is begun: a plane of eigenvectors takes minutes.
            self._bars[id(action)] = self._live.add_task(f"{action.title}: making its plane", total=None)

    def progress(self, facts: dict[str, Any]) -> None:
        action = self.owner[facts["run_id"]]
        if id(action) not in self._under_way:
            self._under_way.add(id(action))
            bar, total = self._bars[id(action)], action.points or None
            self._live.update(bar, description=action.title, total=total, completed=action.sealed)
        if facts["run_id"].endswith(f"-{PATH}"):  # snapshots, which are no points of the lattice
            return
        before = self.reached.get(facts["run_id"], 0)
        self.reached[facts["run_id"]] = facts["iteration"]
        if action.points:
            self._live.advance(self._bars[id(action)], facts["iteration"] - before)

    def ended(self, run_id: str, outcome: str) -> None:
        action = self.owner[run_id]
        self.left[id(action)] -= outcome in ("done", "failed")
        if outcome == "failed":
            self.failed.add(id(action))
        if not self.left[id(action)]:
            said = "failed" if id(action) in self.failed else f"measured, {self._elapsed()} so far"
            through = sum(not left for left in self.left.values())
            self.note(f"{through:>{len(str(len(self.left)))}}/{len(self.left)}  {action.title}: {said}")
            self._live.remove_task(self._bars[id(action)])

    def note(self, message: str) -> None:
        self.console.print(Text(message), highlight=False, soft_wrap=True)

    def tick(self) -> None:
        if self.console.is_terminal or time.monotonic() - self._told < FILE_SECONDS:
            return
        self._told = time.monotonic()
        done, total = sum(self.reached.values()), sum(self.points.values())
        elapsed = self._told - self.began
        left = f", about {duration((total - done) * elapsed / done)} left" if done else ""
        self.note(f"{done:,} of {total:,} points, {self._elapsed()} so far{left}")

    def _elapsed(self) -> str:
        return duration(time.monotonic() - self.began)
