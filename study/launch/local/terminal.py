"""What a terminal shows while a sweep is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from study.config.differences import labels
from study.config.run import RunSpec
from study.launch.plan.runs import cost
from study.text import duration

FILE_SECONDS = 60.0
"""Between two lines where the output is not a terminal."""


class Terminal:
    """Progress bars at a terminal, one for each run in training; a line a minute where output goes to a file.

    `specs` are the runs to train, `ready` is how many of the sweep's runs had finished before, and `sweep` holds all its
    runs, among which each has its name.
    """

    def __init__(
        self, specs: Mapping[str, RunSpec], ready: int, console: Console, sweep: Mapping[str, RunSpec] | None = None
    ) -> None:
        self.console, self.names = console, labels(sweep or specs)
        self.total, self.finished = ready + len(specs), ready
        self.began = self._told = time.monotonic()
        self._costs = {run_id: cost(spec) for run_id, spec in specs.items()}
        self._began: dict[str, float] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._iterations = {run_id: spec.recipe.iterations for run_id, spec in specs.items()}
        self._shares: dict[str, tuple[float, float]] = {}  # of a run: done before this call, and done now
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
        self._began.setdefault(run_id, time.monotonic())
        if run_id not in self._bar:
            self._bar[run_id] = self._bars.add_task(self.names[run_id], total=None, told="starting")
            before = iteration / self._iterations[run_id]
            self._shares.setdefault(run_id, (before, before))

    def progress(self, facts: dict[str, Any]) -> None:
        run_id, step, total = facts["run_id"], facts["iteration"], facts["iterations"]
        self._facts[run_id] = facts
        self._shares[run_id] = (self._shares[run_id][0], step / total)
        self._bars.update(self._bar[run_id], total=total, completed=step, told=_told(facts))
        self._measure()

    def ended(self, run_id: str, outcome: str) -> None:
        if run_id in self._bar:
            self._bars.remove_task(self._bar.pop(run_id))
        if outcome == "busy":
            del self._costs[run_id]
        else:
            self.finished += 1
            self._shares[run_id] = (self._shares.get(run_id, (0.0, 0.0))[0], 1.0)
        self._measure()
        error = self._facts.get(run_id, {}).get("error")
        took = f" in {duration(time.monotonic() - self._began[run_id])}" if run_id in self._began else ""
        shown = "" if error is None or outcome != "done" else f", test error {error:.2f} %"
        said = "is being trained by another process" if outcome == "busy" else f"{outcome}{took}{shown}"
        self.note(f"{self.finished:>{len(str(self.total))}}/{self.total}  {self.names[run_id]}: {said}")

    def note(self, message: str) -> None:
        self.console.print(Text(message), highlight=False, soft_wrap=True)

    def tick(self) -> None:
        if self.console.is_terminal:
            self._bars.update(self._all, description=self._head())
        elif time.monotonic() - self._told >= FILE_SECONDS:
            self._told = time.monotonic()
            self.note("; ".join(filter(None, [self._head(), self._left(), ", ".join(map(self._brief, self._bar))])))

    # -- the picture -----------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Put the arithmetic of this call into the bar of the whole sweep."""
        done = sum(self._costs.get(run_id, 0.0) * (now - first) for run_id, (first, now) in self._shares.items())
        before = sum(self._costs.get(run_id, 0.0) * first for run_id, (first, _) in self._shares.items())
        self._bars.update(self._all, completed=done, total=sum(self._costs.values()) - before, told=self._left())

    def _left(self) -> str:
        seconds = self._bars.tasks[0].time_remaining
        return "" if seconds is None else f"about {duration(seconds)} left"

    def _head(self) -> str:
        return f"{self.finished}/{self.total} runs finished in {duration(time.monotonic() - self.began)}"

    def _brief(self, run_id: str) -> str:
        facts = self._facts.get(run_id)
        where = f"at {facts['iteration']:,}/{facts['iterations']:,}" if facts else "starting"
        return f"{self.names[run_id]} {where}"


def _told(facts: dict[str, Any]) -> str:
    """The words beside a run's bar."""
    error, speed, left = (facts.get(key) for key in ("error", "images_per_second", "seconds_left"))
    words = [f"{facts['iteration']:,}/{facts['iterations']:,}"]
    words += [] if error is None else [f"error {error:.1f} %"]
    words += [] if not speed else [f"{speed:,.0f} images/s"]
    words += [] if not left else [f"{duration(left)} left"]
    return "  ".join(words)
