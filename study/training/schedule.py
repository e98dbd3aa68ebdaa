"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Any

from study.config.components import Options
from study.config.run import RunSpec


class Plateau:
    """Counts the plateaus of an error (He et al. 2015, section 3.4, which leaves the rule open).

    An error improves if it is below the best so far by the share `improvement`. `patience` errors in a
    row without improvement are a plateau, and the count restarts; there are at most `drops`. The best error
    stays. torch's `ReduceLROnPlateau` does the same with a patience one less.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.best, self.stale, self.drops = math.inf, 0, 0

    def observe(self, error: float) -> bool:
        """Record an error; return whether the rate drops."""
        if error < self.best * (1 - self.options.improvement):
            self.best, self.stale = error, 0
        else:
            self.stale += 1
        if self.stale < self.options.patience or self.drops == self.options.drops:
            return False
        self.stale = 0
        self.drops += 1
        return True

    def state(self) -> dict[str, Any]:
        """Return the part of a checkpoint."""
        return {"best": self.best, "stale": self.stale, "drops": self.drops}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state`."""
        self.best, self.stale, self.drops = state["best"], state["stale"], state["drops"]


class Schedule:
    """Drops at milestones or plateaus, after the papers' two warm-ups (He et al. 2015, section 4.2; 2016, section 3).

    The warm-up holds the rate at its own `rate`, for a fixed number of iterations or until the running training error
    falls below `below`; the milestones count from the start of training either way, plateaus from its end.

    Plateaus are those of the running training error between two evaluations. The test error never decides what is
    trained, or the final test error would be biased.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.recipe = spec.recipe
        self.warmup, self.schedule = spec.recipe.warmup, spec.recipe.schedule
        applies = self.warmup.name != "none" and spec.depth >= self.warmup.from_depth
        self.kind = self.warmup.name if applies else "none"
        self.warmed_up = self.kind != "error"
        """Whether an `error` warm-up has ended; part of a checkpoint."""
        self.plateau = Plateau(self.schedule) if self.schedule.name == "plateau" else None

    def _warming_up(self, iteration: int) -> bool:
        return not self.warmed_up or (self.kind == "iterations" and iteration < self.warmup.iterations)

    def rate(self, iteration: int) -> float:
        """Return the rate of step `iteration`, counted from 0; with plateaus, given those so far."""
        if self._warming_up(iteration):
            return float(self.warmup.rate)
        drops = self.plateau.drops if self.plateau else sum(iteration >= milestone for milestone in self.schedule.at)
        return float(self.recipe.learning_rate * self.schedule.gamma**drops)

    def observe(self, error: float) -> bool:
        """Record the running training error (percent) of the last `log_every` steps; return whether later rates change."""
        before = self.warmed_up
        self.warmed_up = before or error < self.warmup.below
        return self.warmed_up != before

    def observe_evaluation(self, iteration: int, error: float) -> bool:
        """Record the running training error (percent) since the last evaluation; return whether later rates change."""
        if self.plateau is None or self._warming_up(iteration - 1):
            return False
        return self.plateau.observe(error)

    def state(self) -> dict[str, Any]:
        """Return the part of a checkpoint."""
        return {"warmed_up": self.warmed_up, "plateau": self.plateau.state() if self.plateau else None}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state`."""
        self.warmed_up = state["warmed_up"]
        if self.plateau:
            self.plateau.restore(state["plateau"])

    def warning(self) -> str | None:
        """Return a warning about a finished run, if there is one."""
        if self.warmed_up:
            return None
        return (
            f"the warm-up never ended: the training error stayed above {self.warmup.below:g} %, "
            f"so all {self.recipe.iterations:,} iterations ran at rate {self.warmup.rate:g}"
        )
