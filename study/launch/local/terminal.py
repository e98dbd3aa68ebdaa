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
from study.store.runs import LOST
from study.text import duration

FILE_SECONDS = 60.0
"""Seconds between two lines if the output is not a terminal."""


class Shown(NamedTuple):
    """A task to show. Tasks of one group share a bar."""

    task_id: str
    group: str
    name: str
    steps: int
    """Iterations of a run, or points of a chunk."""
    cost: float


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
    """Progress bars at a terminal; a line a minute if output goes to a file."""

    def __init__(
        self, tasks: Iterable[Shown], ready: int, console: Console, noun: str = "runs", verb: str = "trained"
    ) -> None:
        self.console, self.noun, self.verb = console, noun, verb
        self.tasks = {task.task_id: task for task in tasks}
        self.groups: dict[str, list[Shown]] = {}
        for task in self.tasks.values():
            self.groups.setdefault(task.group, []).append(task)
        self.total, self.finished = ready + len(self.groups), ready
        self.began = self._told = time.monotonic()
        self._begun: dict[str, float] = {}  # when each group began
        self._before: dict[str, float] = {}  # the fraction of each task that earlier calls did
        self._done: dict[str, float] = {}  # the fraction of each task that is done
        self._facts: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, str] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(20),
            TextColumn("{task.fields[told]}"),
            console=console,
            transient=True,
            refresh_per_second=2,
            speed_estimate_period=3600,
            disable=not console.is_terminal,
        )
        self._all = self._bars.add_task(self._head(), told="")
        self._bar: dict[str, TaskID] = {}
        self._room = max(20, console.width - max([32, *(len(task.name) for task in self.tasks.values())]) - 22)

    def __enter__(self) -> Terminal:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def started(self, run_id: str, iteration: int) -> None:
        """A worker took the task, at the iteration of its newest checkpoint."""
        task = self.tasks[run_id]
        self._begun.setdefault(task.group, time.monotonic())
        self._before.setdefault(run_id, iteration / task.steps if task.steps else 0.0)
        if task.group not in self._bar:
            self._bar[task.group] = self._bars.add_task(task.name, total=None, told="starting")

    def progress(self, run_id: str, step: int, total: int, facts: dict[str, Any]) -> None:
        """The task is at a step of `total`; `facts` may have `error`, `images_per_second` and `seconds_left`."""
        task = self.tasks[run_id]
        self._facts[run_id] = facts
        self._done[run_id] = step / total if total else 1.0
        told = _told(step, total, facts, self._room)
        if len(members := self.groups[task.group]) > 1:
            step = sum(round(self._done.get(one.task_id, 0.0) * one.steps) for one in members)
            total = sum(one.steps for one in members)
            told = f"{step:,}/{total:,} points"
        self._bars.update(self._bar[task.group], total=total or None, completed=step, told=told)

    def ended(self, run_id: str, outcome: str) -> None:
        """The task has ended: `done`, `diverged`, `at_chance`, `failed`, or `busy` if another process works on it."""
        group = self.tasks[run_id].group
        self._outcomes[run_id] = outcome
        if all(member.task_id in self._outcomes for member in self.groups[group]):
            self._close(group)

    def note(self, message: str) -> None:
        """Print a message above the bars."""
        self.console.print(Text(message), highlight=False, soft_wrap=not self.console.is_terminal)

    def tick(self) -> None:
        """Show the time, and how far all tasks are together."""
        shares = [
            (task.cost, self._before.get(name, 0.0), 1.0 if name in self._outcomes else self._done.get(name, 0.0))
            for name, task in self.tasks.items()
            if self._outcomes.get(name) != "busy"
        ]
        done = sum(cost * max(0.0, now - before) for cost, before, now in shares)
        whole = sum(cost * (1.0 - before) for cost, before, _ in shares)
        self._bars.update(self._all, description=self._head(), total=whole, completed=done)
        seconds = self._bars.tasks[0].time_remaining
        left = "" if seconds is None else f"about {duration(seconds)} left"
        self._bars.update(self._all, told=left)
        if not self.console.is_terminal and time.monotonic() - self._told >= FILE_SECONDS:
            self._told = time.monotonic()
            _, *bars = self._bars.tasks
            running = ", ".join(
                f"{bar.description} at {bar.completed:,.0f}/{bar.total:,.0f}"
                if bar.total
                else f"{bar.description} starting"
                for bar in bars
            )
            self.note("; ".join(filter(None, [self._head(), left, running])))

    def _close(self, group: str) -> None:
        if group in self._bar:
            self._bars.remove_task(self._bar.pop(group))
        members = self.groups[group]
        outcomes = {self._outcomes[task.task_id] for task in members}
        outcome = next((one for one in ("failed", "busy", *LOST) if one in outcomes), "done")
        self.finished += outcome != "busy"
        error = self._facts.get(members[0].task_id, {}).get("error")
        took = f" in {duration(time.monotonic() - self._begun[group])}" if group in self._begun else ""
        shown = "" if error is None or outcome != "done" else f", test error {error:.2f} %"
        said = (
            f"is being {self.verb} by another process"
            if outcome == "busy"
            else f"{outcome.replace('_', ' ')}{took}{shown}"
        )
        self.note(f"{self.finished:>{len(str(self.total))}}/{self.total}  {members[0].name}: {said}")

    def _head(self) -> str:
        return f"{self.finished}/{self.total} {self.noun} finished in {duration(time.monotonic() - self.began)}"


def _told(step: int, total: int, facts: Mapping[str, Any], room: int) -> str:
    """The words beside a run's bar, the most important first, as many as there is room for."""
    error, speed, left = (facts.get(key) for key in ("error", "images_per_second", "seconds_left"))
    words = [f"{step:,}/{total:,}"]
    words += [f"{duration(left)} left"] if left else []
    words += [] if error is None else [f"error {error:.1f} %"]
    words += [f"{speed:,.0f} images/s"] if speed else []
    while len(told := "  ".join(words)) > room and len(words) > 1:
        words.pop()
    return told
