"""How fast the training loss falls, against depth: the conjecture of He et al. 2015, section 4.1.

They conjecture that deep plain networks have "exponentially low convergence rates". As a rate that can be measured
this takes 1 / T, where T is the number of iterations until the running training loss has come down to a level that is
the same for all networks of a comparison. If the rate is exponentially low in the depth D, ln T = a + c D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from study.stats.outcomes import Group, Line
from study.stats.pairs import Contrast

Curves = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]
"""Per run its running training curve: iteration, loss (nats) and learning rate, each of shape (points,)."""


@dataclass(frozen=True)
class Times:
    """How many iterations each run of a line needs to reach the level.

    `reached[depth][seed]` is infinite where the run ended, or diverged, before it got there: the time is censored at
    `length`, the run's iterations. Runs that are not through and not there yet are left out.
    """

    line: Line
    reached: Mapping[int, Mapping[int, float]]
    length: float

    def median(self, depth: int) -> float:
        """Over the seeds of a depth; infinite where half of them or more never get there, NaN without any."""
        times = list(self.reached[depth].values())
        return float(np.median(times)) if times else math.nan

    def never(self, depth: int) -> int:
        """How many runs of a depth never get there."""
        return sum(math.isinf(t) for t in self.reached[depth].values())

    @cached_property
    def slopes(self) -> Contrast:
        """c of ln T = a + c D, one least-squares fit per seed over its depths, per layer; expected above zero.

        Only seeds that have two depths and at least one run that gets there. Censored times enter at `length`.
        """
        series = self._by_seed()
        values = tuple(round(_slope(depths, np.log(times)), 12) for depths, times in series.values())
        return Contrast(f"slope of ln T, {self.line.title}", "slope", 1, tuple(series), values)

    @property
    def censored(self) -> bool:
        """Whether some time in the fit is censored."""
        return any(self.never(depth) for depth in self.reached)

    @property
    def lower_bound(self) -> bool:
        """Whether the slopes are lower bounds: times are censored, and those of the deeper half of each fit alone."""
        return self.censored and all(
            depths[times >= self.length].min(initial=math.inf) >= depths.mean()
            for depths, times in self._by_seed().values()
        )

    @property
    def factor(self) -> float:
        """By what ten more layers multiply the time: exp(10 c) of the mean slope."""
        return math.exp(10 * self.slopes.mean)

    @property
    def fits(self) -> tuple[float, float]:
        """R^2 of ln T against D (exponential) and against ln D (a power of the depth).

        Pooled over seeds, each about its own mean. NaN with fewer than three depths, which any curve would fit, or with
        censored times.
        """
        series = list(self._by_seed().values())
        if self.censored or not series or min(len(depths) for depths, _ in series) < 3:
            return math.nan, math.nan
        return _explained(series), _explained([(np.log(depths), times) for depths, times in series])

    @property
    def trend(self) -> int:
        """+1 where deeper networks take longer all along, -1 where they take less time all along, else 0.

        All along: from each depth to the next the median over the seeds that have both does not turn back; and, where
        `fits` are known, depth or its logarithm explains more than half of the variation of ln T. The slope alone would
        call times of 52, 42 and 63 iterations a rise.
        """
        steps = set()
        for before, after in pairwise(self.reached.values()):
            both = before.keys() & after.keys()
            steps.add(_sign([min(after[seed], self.length) - min(before[seed], self.length) for seed in both]))
        explained = [fit for fit in self.fits if not math.isnan(fit)]
        steady = steps <= {0, self.slopes.direction} and max(explained, default=1.0) > 0.5
        return self.slopes.direction if steady else 0

    def _by_seed(self) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Depths and times of each seed that can be fitted."""
        series = {}
        for seed in sorted({seed for seeds in self.reached.values() for seed in seeds}):
            points = [(d, seeds[seed]) for d, seeds in self.reached.items() if seed in seeds]
            depths, times = np.array(points, dtype=float).T
            if len(points) > 1 and np.isfinite(times).any():
                series[seed] = depths, np.minimum(times, self.length)
        return series


@dataclass(frozen=True)
class Rates:
    """The level (nats), whether the caller gave it, the network it was else taken from, and each line's times."""

    level: float
    given: bool
    reference: str
    times: tuple[Times, ...]


def running(curves: pd.DataFrame) -> Curves:
    """The running training curve of each run, without points that are no number."""
    rows = curves[(curves["split"] == "train") & curves["loss"].notna()].sort_values(["run_id", "iteration"])
    columns = [rows[name].to_numpy(dtype=float) for name in ("iteration", "loss", "lr")]
    ids = rows["run_id"].to_numpy()
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.array([], dtype=int)
    bounds = pairwise([*starts, len(ids)])
    return {ids[a]: (columns[0][a:b], columns[1][a:b], columns[2][a:b]) for a, b in bounds}


def rates(group: Group, curves: Curves, level: float | None = None) -> Rates | None:
    """The times of every line of a group to one level of the running training loss.

    Parameters
    ----------
    group, curves
        What is compared, and the curves of its runs.
    level
        In nats. By default half-way, on a logarithmic scale, between the first point of the curve and the last point
        at the highest learning rate, both medians over the seeds of the shallowest plain network (residual where there
        is no plain one). So it is a level of the phase of constant rate, and one that learning leads to.

    Returns
    -------
    Rates
        None where no run has a curve to take the level from.
    """
    for line in group.lines:
        for depth in line.depths:
            found = _half_way([curves[o.run_id] for o in line.outcomes[depth].values() if o.run_id in curves])
            if found is not None:
                aim, length = found if level is None else level, _length(group, curves)
                times = tuple(_times(one, curves, aim, length) for one in group.lines)
                return Rates(aim, level is not None, line.name(depth), times)
    return None


def _half_way(curves: Sequence[tuple[NDArray[np.float64], ...]]) -> float | None:
    """The geometric mean of the first loss and the last at the highest rate; None where the loss doesn't fall."""
    if not curves:
        return None
    first = float(np.median([loss[0] for _, loss, _ in curves]))
    last = float(np.median([loss[np.flatnonzero(rate == rate.max())[-1]] for _, loss, rate in curves]))
    return math.sqrt(first * last) if 0 < last < first else None


def _length(group: Group, curves: Curves) -> float:
    """The iterations of a run of the group: as planned, or as far as any of them went where no plan is at hand."""
    went = max(float(curves[run_id][0][-1]) for run_id in group.runs["run_id"] if run_id in curves)
    return max(went, float(pd.to_numeric(group.runs["iterations"]).fillna(0).max()))


def _times(line: Line, curves: Curves, level: float, length: float) -> Times:
    reached: dict[int, dict[int, float]] = {}
    for depth in line.outcomes:
        reached[depth] = {}
        for seed, outcome in line.outcomes[depth].items():
            if outcome.run_id not in curves:
                continue
            iteration, loss, _ = curves[outcome.run_id]
            time = iterations_to(level, iteration, loss)
            # One under way would count only where it is fast enough to have come there already.
            if outcome.state in ("done", "diverged"):
                reached[depth][seed] = time
    return Times(line, {depth: seeds for depth, seeds in reached.items() if seeds}, length)


def iterations_to(level: float, iteration: NDArray[np.float64], loss: NDArray[np.float64]) -> float:
    """The first iteration at which the loss is at the level or below it; infinite where it never is.

    Between two points of the curve ln(loss) is taken to be linear. A loss that starts below the level is there at its
    first point. `iteration` and `loss` have shape (points,); the running loss is a mean over the iterations before each
    point, so the time is late by up to half of that window, the same for all runs.
    """
    below = np.flatnonzero(loss <= level)
    if not below.size:
        return math.inf
    k = int(below[0])
    if k == 0 or loss[k] <= 0:
        return float(iteration[k])
    above, under = math.log(loss[k - 1]), math.log(loss[k])
    return float(iteration[k - 1] + (iteration[k] - iteration[k - 1]) * (above - math.log(level)) / (above - under))


def _sign(differences: Sequence[float]) -> int:
    return int(np.sign(np.median(differences))) if differences else 0


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _explained(series: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """R^2 of ln(times) against x with one slope for all seeds and a level for each."""
    x = np.concatenate([x - x.mean() for x, _ in series])
    y = np.concatenate([np.log(times) - np.log(times).mean() for _, times in series])
    rest = y - _slope(x, y) * x
    return float(1 - rest @ rest / (y @ y)) if y @ y else math.nan
