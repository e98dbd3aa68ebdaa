"""What a terminal shows while tasks are worked on: a bar for each run in training, or for each surface."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from study.config.differences import labels
from study.config.run import RunSpec
from study.launch.plan.runs import cost
from study.launch.plan.surface import SurfaceAction
from study.measure.surface.lattice import chunks
from study.text import duration

FILE_SECONDS = 60.0
"""Between two lines where the output is not a terminal."""


class Shown(NamedTuple):
    """A task to show. Tasks of one group share a bar."""

    task_id: str
    group: str
    name: str
    steps: int
    """Iterations of a run, or points of a chunk."""
    cost: float
    """Relative to the other tasks."""


def runs_shown(specs: Mapping[str, RunSpec], sweep: Mapping[str, RunSpec]) -> list[Shown]:
    """Runs to train; `sweep` holds all runs, among which each has its name."""
    names = labels(sweep)
    return [Shown(name, name, names[name], spec.recipe.iterations, cost(spec)) for name, spec in specs.items()]


def surfaces_shown(actions: Iterable[SurfaceAction], packs: Iterable[Iterable[Path]]) -> list[Shown]:
    """The chunks of packs, whether or not another process has taken them since."""
    folders, found = {folder for pack in packs for folder in pack}, []
    for action in actions:
        for key, points in chunks(action.surface).items():
            chunk = action.files.chunk(key)
            if chunk.folder in folders:
                found.append(Shown(chunk.run_id, action.files.run_id, action.title, len(points), float(len(points))))
    return found


class Terminal:
    """Progress bars at a terminal; a line a minute where output goes to a file.

    `ready` is how many groups had finished before; `noun` and `verb` are `runs` and `trained`, or `surfaces` and `measured`.
    """

    def __init__(
        self, tasks: Iterable[Shown], ready: int, console: Console, noun: str = "runs", verb: str = "trained"
    ) -> None:
        self.console, self.noun, self.verb = console, noun, verb
        self.tasks = {task.task_id: task for task in tasks}
        self._open: dict[str, set[str]] = {}  # by group, its unfinished tasks
        for task in self.tasks.values():
            self._open.setdefault(task.group, set()).add(task.task_id)
        self._members = {group: frozenset(members) for group, members in self._open.items()}
        self.total, self.finished = ready + len(self._open), ready
        self.began = self._told = time.monotonic()
        self._costs = {task.task_id: task.cost for task in self.tasks.values()}
        self._began: dict[str, float] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, str] = {}
        self._shares: dict[str, tuple[float, float]] = {}  # of a task: done before this call, and done now
        columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[told]}"))
        self._bars = Progress(
            *columns,
            console=console,
            transient=True,
            refresh_per_second=2,
            speed_estimate_period=3600,
            disable=not console.is_terminal,
        )
        self._all = self._bars.add_task(self._head(), total=sum(self._costs.values()), told="")
        self._bar: dict[str, TaskID] = {}

    def __enter__(self) -> Terminal:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    # -- study.launch.local.watch.View -----------------------------------------------------------------------------------

    def started(self, run_id: str, iteration: int) -> None:
        task = self.tasks[run_id]
        before = iteration / task.steps
        self._shares.setdefault(run_id, (before, before))
        self._began.setdefault(task.group, time.monotonic())
        if task.group not in self._bar:
            self._bar[task.group] = self._bars.add_task(task.name, total=None, told="starting")

    def progress(self, facts: dict[str, Any]) -> None:
        run_id, step, total = facts["run_id"], facts["iteration"], facts["iterations"]
        self._facts[run_id] = facts
        self._shares[run_id] = (self._shares[run_id][0], step / total if total else 1.0)
        self._draw(self.tasks[run_id].group, facts)
        self._measure()

    def ended(self, run_id: str, outcome: str) -> None:
        group = self.tasks[run_id].group
        self._outcomes[run_id] = outcome
        if outcome == "busy":
            del self._costs[run_id]
        else:
            self._shares[run_id] = (self._shares.get(run_id, (0.0, 0.0))[0], 1.0)
        self._measure()
        self._open[group].discard(run_id)
        if not self._open[group]:
            self._close(group)

    def note(self, message: str) -> None:
        self.console.print(Text(message), highlight=False, soft_wrap=True)

    def tick(self) -> None:
        if self.console.is_terminal:
            self._bars.update(self._all, description=self._head())
        elif time.monotonic() - self._told >= FILE_SECONDS:
            self._told = time.monotonic()
            self.note("; ".join(filter(None, [self._head(), self._left(), ", ".join(map(self._brief, self._bar))])))

    # -- the picture -----------------------------------------------------------------------------------------------------

    def _draw(self, group: str, facts: dict[str, Any]) -> None:
        step, total = self._reached(group)
        told = _told(facts) if len(self._members[group]) == 1 else f"{step:,}/{total:,} points"
        self._bars.update(self._bar[group], total=total or None, completed=step, told=told)

    def _reached(self, group: str) -> tuple[int, int]:
        """How far a group is, and of how much."""
        members = [self.tasks[name] for name in self._members[group]]
        steps = [min(self._facts.get(task.task_id, {}).get("iteration", 0), task.steps) for task in members]
        return sum(steps), sum(task.steps for task in members)

    def _close(self, group: str) -> None:
        if group in self._bar:
            self._bars.remove_task(self._bar.pop(group))
        members = self._members[group]
        outcomes = {self._outcomes[name] for name in members}
        outcome = next((one for one in ("failed", "busy", "diverged") if one in outcomes), "done")
        self.finished += outcome != "busy"
        name = next(iter(members))
        error = self._facts.get(name, {}).get("error")
        took = f" in {duration(time.monotonic() - self._began[group])}" if group in self._began else ""
        shown = "" if error is None or outcome != "done" else f", test error {error:.2f} %"
        said = f"is being {self.verb} by another process" if outcome == "busy" else f"{outcome}{took}{shown}"
        self.note(f"{self.finished:>{len(str(self.total))}}/{self.total}  {self.tasks[name].name}: {said}")

    def _measure(self) -> None:
        """Update the bar of all tasks: the arithmetic done by this call."""
        done = sum(self._costs.get(run_id, 0.0) * (now - first) for run_id, (first, now) in self._shares.items())
        before = sum(self._costs.get(run_id, 0.0) * first for run_id, (first, _) in self._shares.items())
        self._bars.update(self._all, completed=done, total=sum(self._costs.values()) - before, told=self._left())

    def _left(self) -> str:
        seconds = self._bars.tasks[0].time_remaining
        return "" if seconds is None else f"about {duration(seconds)} left"

    def _head(self) -> str:
        return f"{self.finished}/{self.total} {self.noun} finished in {duration(time.monotonic() - self.began)}"

    def _brief(self, group: str) -> str:
        step, total = self._reached(group)
        name = self.tasks[next(iter(self._members[group]))].name
        return f"{name} at {step:,}/{total:,}" if step else f"{name} starting"


def _told(facts: dict[str, Any]) -> str:
    """The words beside a run's bar."""
    error, speed, left = (facts.get(key) for key in ("error", "images_per_second", "seconds_left"))
    words = [f"{facts['iteration']:,}/{facts['iterations']:,}"]
    words += [] if error is None else [f"error {error:.1f} %"]
    words += [] if not speed else [f"{speed:,.0f} images/s"]
    words += [] if not left else [f"{duration(left)} left"]
    return "  ".join(words)
