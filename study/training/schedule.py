"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Any

from study.config.recipe import Recipe
from study.config.run import RunSpec


class Plateau:
    """Counts the plateaus of an error (He et al. 2015, section 3.4, which leaves the rule open).

    An error improves if it is below the best so far by the share `plateau_improvement`. `plateau_patience` errors in a
    row without improvement are a plateau, and the count restarts; there are at most `plateau_drops`. The best error
    stays. torch's `ReduceLROnPlateau` does the same with a patience one less.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.best, self.stale, self.drops = math.inf, 0, 0

    def observe(self, error: float) -> bool:
        """Record an error; return whether the rate drops."""
        if error < self.best * (1 - self.recipe.plateau_improvement):
            self.best, self.stale = error, 0
        else:
            self.stale += 1
        if self.stale < self.recipe.plateau_patience or self.drops == self.recipe.plateau_drops:
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

    The warm-up holds the rate at `warmup_rate`, for a fixed number of iterations or until the running training error
    falls below `warmup_error`; the milestones count from the start of training either way, plateaus from its end.

    Plateaus are those of the running training error between two evaluations. The test error never decides what is
    trained, or the final test error would be biased.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.recipe = spec.recipe
        applies = spec.depth >= spec.recipe.warmup_from_depth
        self.kind = spec.recipe.warmup if applies else "none"
        self.warmed_up = self.kind != "error"
        """Whether an `error` warm-up has ended; part of a checkpoint."""
        self.plateau = Plateau(spec.recipe) if spec.recipe.schedule == "plateau" else None

    def _warming_up(self, iteration: int) -> bool:
        return not self.warmed_up or (self.kind == "iterations" and iteration < self.recipe.warmup_iterations)

    def rate(self, iteration: int) -> float:
        """Return the rate of step `iteration`, counted from 0; with plateaus, given those so far."""
        recipe = self.recipe
        if self._warming_up(iteration):
            return recipe.warmup_rate
        drops = self.plateau.drops if self.plateau else sum(iteration >= milestone for milestone in recipe.milestones)
        return recipe.learning_rate * recipe.gamma**drops

    def observe(self, error: float) -> bool:
        """Record the running training error (percent) of the last `log_every` steps; return whether later rates change."""
        before = self.warmed_up
        self.warmed_up = before or error < self.recipe.warmup_error
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
        """Restore a `state`; older checkpoints have no plateau."""
        self.warmed_up = state["warmed_up"]
        if self.plateau and state.get("plateau"):
            self.plateau.restore(state["plateau"])

    def warning(self) -> str | None:
        """Return a warning about a finished run, if there is one."""
        if self.warmed_up:
            return None
        recipe = self.recipe
        return (
            f"the warm-up never ended: the training error stayed above {recipe.warmup_error:g} %, "
            f"so all {recipe.iterations:,} iterations ran at rate {recipe.warmup_rate:g}"
        )
