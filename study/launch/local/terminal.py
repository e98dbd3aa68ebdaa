"""What a terminal shows while a sweep is being trained."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.config.differences import labels
from study.config.run import RunSpec
from study.launch.plan.runs import cost
from study.text import duration

LIVE_SECONDS, FILE_SECONDS = 0.25, 60.0
"""Between two pictures on a terminal, and two lines in a file."""
SPEED_WINDOW = 10.0
"""Seconds over which a speed is averaged."""


@dataclass
class _Active:
    started: float
    facts: dict[str, Any] = field(default_factory=dict)
    points: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))

    def take(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.points.append((time.monotonic(), facts["iteration"]))
        while len(self.points) > 2 and self.points[-1][0] - self.points[0][0] > SPEED_WINDOW:
            self.points.popleft()

    def speed(self) -> float | None:
        """Iterations a second."""
        if len(self.points) < 2 or self.points[-1][1] <= self.points[0][1]:
            return None
        (t0, i0), (t1, i1) = self.points[0], self.points[-1]
        return (i1 - i0) / (t1 - t0)


class Terminal:
    """Live lines on a terminal, one for each run in training; plain lines where output goes to a file.

    Parameters
    ----------
    specs
        Of the runs that are going to be trained.
    ready
        How many of the sweep's runs were through before.
    sweep
        All runs of the sweep, among which each has its name; default: `specs`.
    """

    def __init__(
        self, specs: Mapping[str, RunSpec], ready: int, console: Console, sweep: Mapping[str, RunSpec] | None = None
    ) -> None:
        self.specs, self.console = specs, console
        self.names = labels(sweep or specs)
        self.total = ready + len(specs)
        self.through = ready
        self.active: dict[str, _Active] = {}
        self.outcomes: dict[str, str] = {}
        self.began = time.monotonic()
        self._costs = {run_id: cost(spec) for run_id, spec in specs.items()}
        self._first: dict[str, float] = {}  # share of a run that an earlier attempt had done
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._drawn = self.began

    def __enter__(self) -> Terminal:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    # -- study.launch.local.pool.View ----------------------------------------------------------------------------------------

    def started(self, run_id: str) -> None:
        self.active[run_id] = _Active(time.monotonic())

    def progress(self, facts: dict[str, Any]) -> None:
        run_id = facts["run_id"]
        self._first.setdefault(run_id, facts["iteration"] / facts["iterations"])
        if run_id in self.active:
            self.active[run_id].take(facts)

    def ended(self, run_id: str, outcome: str) -> None:
        run = self.active.pop(run_id, None)
        self.outcomes[run_id] = outcome
        if outcome == "interrupted":
            return
        self.through += outcome != "busy"
        error = run.facts.get("error") if run else None
        took = f" in {duration(time.monotonic() - run.started)}" if run else ""
        shown = "" if error is None or outcome != "done" else f", test error {error:.2f} %"
        said = {"busy": "is being trained by another process"}.get(outcome, outcome)
        self.note(f"{self.through:>{len(str(self.total))}}/{self.total}  {self.names[run_id]}: {said}{took}{shown}")

    def note(self, message: str) -> None:
        self.console.print(Text(message), highlight=False, soft_wrap=True)

    def tick(self) -> None:
        if time.monotonic() - self._drawn < (LIVE_SECONDS if self._live else FILE_SECONDS):
            return
        self._drawn = time.monotonic()
        if self._live:
            self._live.update(self._picture(), refresh=True)
        else:
            self.note(f"{self._head()}; {', '.join(self._brief(*item) for item in self.active.items())}")

    # -- the picture ----------------------------------------------------------------------------------------------------

    def seconds_left(self) -> float | None:
        """For the whole sweep, from the arithmetic done since the start; None before there is anything to go by."""
        done = sum(self._costs[r] * (1 - self._first.get(r, 0.0)) for r, o in self.outcomes.items() if o != "busy")
        left = sum(c for r, c in self._costs.items() if r not in self.outcomes)
        for run_id, run in self.active.items():
            if run.facts:
                share = run.facts["iteration"] / run.facts["iterations"]
                done += self._costs[run_id] * (share - self._first[run_id])
                left -= self._costs[run_id] * share
        elapsed = time.monotonic() - self.began
        return left * elapsed / done if done > 0 and elapsed > 5 else None

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        for number in range(6):
            table.add_column(no_wrap=number > 0)  # a long name goes on below
        for run_id, run in self.active.items():
            table.add_row(*self._line(run_id, run))
        return Group(Text(self._head()), table)

    def _head(self) -> str:
        left = self.seconds_left()
        head = f"{self.through}/{self.total} runs through, {duration(time.monotonic() - self.began)} so far"
        return head + (f", about {duration(left)} left" if left is not None else "")

    def _brief(self, run_id: str, run: _Active) -> str:
        where = f"at {run.facts['iteration']:,}/{run.facts['iterations']:,}" if run.facts else "starting"
        return f"{self.names[run_id]} {where}"

    def _line(self, run_id: str, run: _Active) -> tuple[Any, ...]:
        spec, facts = self.specs[run_id], run.facts
        if not facts:
            return (self.names[run_id], ProgressBar(1, 0, width=20), Text("starting", "dim"), "", "", "")
        step, total, error, speed = facts["iteration"], facts["iterations"], facts["error"], run.speed()
        return (
            self.names[run_id],
            ProgressBar(total, step, width=20),
            f"{step:,}/{total:,}",
            "" if error is None else f"error {error:.1f} %",
            "" if speed is None else f"{speed * spec.recipe.batch_size:,.0f} images/s",
            "" if speed is None else f"{duration((total - step) / speed)} left",
        )
