"""The learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from study.config.components import Options
from study.config.registry import SCHEDULES
from study.config.run import RunSpec


def constant(iteration: int, iterations: int) -> float:
    """Keep the rate."""
    return 1.0


def linear(iteration: int, iterations: int, *, final: float) -> float:
    """Fall on a line, as `torch.optim.lr_scheduler.LinearLR` from 1 to `final`."""
    return 1.0 + (final - 1.0) * iteration / iterations


def cosine(iteration: float, iterations: float, *, final: float) -> float:
    """Fall on half a cosine, as `torch.optim.lr_scheduler.CosineAnnealingLR`."""
    return final + (1.0 - final) * (1.0 + math.cos(math.pi * iteration / iterations)) / 2


def one_cycle(iteration: int, iterations: int, *, rise: float, start: float, final: float) -> float:
    """Rise and fall on half cosines, as `torch.optim.lr_scheduler.OneCycleLR` with a constant momentum."""
    peak = max(rise * iterations - 1, 0)
    if iteration <= peak and peak > 0:
        return cosine(peak - iteration, peak, final=start)
    return cosine(iteration - peak, max(iterations - 1 - peak, 1), final=final)


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
    """The rate of each step: a warm-up, then drops at milestones or plateaus, or a smooth shape.

    The papers' two warm-ups (He et al. 2015, section 4.2; 2016, section 3) hold the rate at their own `rate`, for a fixed
    number of iterations or until the running training error falls below `below`; a linear one rises from `rate`. Milestones
    count from the start of training, plateaus and smooth shapes from the end of a warm-up of known length.

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
        self._shape: Callable[..., float] | None = None
        if self.schedule.name not in ("milestones", "plateau"):
            self._shape = SCHEDULES[self.schedule.name].load()

    @property
    def _length(self) -> int:
        """The iterations of a warm-up whose length is known."""
        return int(self.warmup.iterations) if self.kind in ("iterations", "linear") else 0

    def _warming_up(self, iteration: int) -> bool:
        return not self.warmed_up or iteration < self._length

    def rate(self, iteration: int) -> float:
        """Return the rate of step `iteration`, counted from 0; with plateaus, given those so far."""
        whole = self.recipe.learning_rate
        if self._warming_up(iteration):
            climbed = iteration / self._length if self.kind == "linear" else 0.0
            return float(self.warmup.rate + climbed * (whole - self.warmup.rate))
        if self._shape is not None:
            rest = max(self.recipe.iterations - self._length, 1)
            return whole * self._shape(iteration - self._length, rest, **self.schedule.options)
        drops = self.plateau.drops if self.plateau else sum(iteration >= milestone for milestone in self.schedule.at)
        return float(whole * self.schedule.gamma**drops)

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
