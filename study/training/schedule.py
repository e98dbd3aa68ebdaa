"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Any

from study.config.components import Options
from study.config.run import RunSpec


class Plateau:
    """Counts how often an error has come to a plateau (He et al. 2015, section 3.4, which leaves the rule open).

    An error is an improvement when it is below the best so far by a share of it, `improvement`. After
    `patience` errors in a row that are none, it has, and the count begins anew; `drops` times at most.
    The best error stays. That is torch's `ReduceLROnPlateau`, whose patience is one less.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.best, self.stale, self.drops = math.inf, 0, 0

    def observe(self, error: float) -> bool:
        """Take note of an error; returns whether the rate drops by it."""
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
        """The part of a checkpoint."""
        return {"best": self.best, "stale": self.stale, "drops": self.drops}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.best, self.stale, self.drops = state["best"], state["stale"], state["drops"]


class Schedule:
    """Drops at milestones or plateaus, after the papers' two warm-ups (He et al. 2015, section 4.2; 2016, section 3).

    The warm-up holds the rate at its own `rate`, for a fixed number of iterations or until the running training error
    falls below `below`; the milestones count from the start of training either way, plateaus from its end.

    A plateau is one of the running training error between two evaluations. The test error has no say in what is
    trained: else the final one would be of a network that was chosen by it.
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
        """Rate of the step `iteration`, counted from 0; with plateaus, as far as they have been seen."""
        if self._warming_up(iteration):
            return float(self.warmup.rate)
        drops = self.plateau.drops if self.plateau else sum(iteration >= milestone for milestone in self.schedule.at)
        return float(self.recipe.learning_rate * self.schedule.gamma**drops)

    def observe(self, error: float) -> bool:
        """Take note of the running training error (percent) of the last `log_every` iterations.

        Returns whether the rates of the steps to come change by it.
        """
        before = self.warmed_up
        self.warmed_up = before or error < self.warmup.below
        return self.warmed_up != before

    def observe_evaluation(self, iteration: int, error: float) -> bool:
        """Take note of the running training error (percent) since the last evaluation, at the evaluation of `iteration`.

        Returns whether the rates of the steps to come change by it.
        """
        if self.plateau is None or self._warming_up(iteration - 1):
            return False
        return self.plateau.observe(error)

    def state(self) -> dict[str, Any]:
        """The part of a checkpoint."""
        return {"warmed_up": self.warmed_up, "plateau": self.plateau.state() if self.plateau else None}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint that holds what `state` gave; older ones know of no plateau."""
        self.warmed_up = state["warmed_up"]
        if self.plateau and state.get("plateau"):
            self.plateau.restore(state["plateau"])

    def warning(self) -> str | None:
        """What has to be said about a finished run, if anything."""
        if self.warmed_up:
            return None
        return (
            f"the warm-up never ended: the training error stayed above {self.warmup.below:g} %, "
            f"so all {self.recipe.iterations:,} iterations ran at rate {self.warmup.rate:g}"
        )
