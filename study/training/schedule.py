"""The learning rate of each step."""

from __future__ import annotations

from study.spec.run import RunSpec


class Schedule:
    """Step schedule with the papers' two warm-ups (He et al. 2015, section 4.2; He et al. 2016, section 3).

    The warm-up holds the rate at `warmup_rate`, for a fixed number of iterations or until the running training error
    falls below `warmup_error`; the milestones count from the start of training either way.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.recipe = spec.recipe
        applies = spec.depth >= spec.recipe.warmup_from_depth
        self.kind = spec.recipe.warmup if applies else "none"
        self.warmed_up = self.kind != "error"
        """Whether an `error` warm-up has ended; part of a checkpoint."""

    def rate(self, iteration: int) -> float:
        """Rate of the step `iteration`, counted from 0."""
        recipe = self.recipe
        if not self.warmed_up or (self.kind == "iterations" and iteration < recipe.warmup_iterations):
            return recipe.warmup_rate
        drops = sum(iteration >= milestone for milestone in recipe.milestones)
        return recipe.learning_rate * recipe.gamma**drops

    def observe(self, error: float) -> bool:
        """Take note of the running training error (percent) of the last `log_every` iterations.

        Returns whether the rates of the steps to come change by it.
        """
        before = self.warmed_up
        self.warmed_up = before or error < self.recipe.warmup_error
        return self.warmed_up != before

    def warning(self) -> str | None:
        """What has to be said about a finished run, if anything."""
        if self.warmed_up:
            return None
        recipe = self.recipe
        return (
            f"the warm-up never ended: the training error stayed above {recipe.warmup_error:g} %, "
            f"so all {recipe.iterations:,} iterations ran at rate {recipe.warmup_rate:g}"
        )
