"""How fast the training loss falls, against depth: the conjecture of He et al. 2015, section 4.1.

They conjecture that deep plain networks have "exponentially low convergence rates". Here the rate is 1 / T, with T the
number of iterations until the running training loss reaches a level common to all networks of a comparison. If the
rate is exponentially low in the depth D, ln T = a + c D.
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
from study.store.runs import ENDED

Curves = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]
"""Per run its running training curve: iteration, loss (nats) and learning rate, each of shape (points,)."""


@dataclass(frozen=True)
class Times:
    """How many iterations each run of a line needs to reach the level.

    `reached[depth][seed]` is infinite if the run ended, or was lost, before: the time is censored at `length`, the
    iterations of a run. Unfinished runs are left out.
    """

    line: Line
    reached: Mapping[int, Mapping[int, float]]
    length: float

    def median(self, depth: int) -> float:
        """Over the seeds of a depth; infinite if at least half of them never reach it."""
        return float(np.median(list(self.reached[depth].values())))

    def never(self, depth: int) -> int:
        """The number of runs of a depth that never reach it."""
        return sum(math.isinf(t) for t in self.reached[depth].values())

    @cached_property
    def slopes(self) -> Contrast:
        """c of ln T = a + c D per layer, a least-squares fit per seed over its depths; expected above zero.

        Only of seeds with two depths and a run that reaches the level. Censored times enter at `length`.
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
        """Whether the slopes are lower bounds: only times of the deeper half of each fit are censored."""
        return self.censored and all(
            depths[times >= self.length].min(initial=math.inf) >= depths.mean()
            for depths, times in self._by_seed().values()
        )

    @property
    def comparable(self) -> bool:
        """Whether the slopes say anything: none are given if shallow networks are censored, or bounds point down."""
        return self.slopes.n > 0 and (not self.censored or (self.lower_bound and self.slopes.direction >= 0))

    @property
    def factor(self) -> float:
        """The factor on the time of ten more layers: exp(10 c) of the mean slope."""
        return math.exp(10 * self.slopes.mean)

    @property
    def factor_bounds(self) -> tuple[float, float]:
        """The interval of `factor`; NaN without one."""
        low, high, _ = self.slopes.interval
        return math.exp(10 * low), math.exp(10 * high)

    @property
    def fits(self) -> tuple[float, float]:
        """R^2 of ln T against D (exponential) and against ln D (a power of the depth), pooled over seeds about their means.

        NaN with fewer than three depths, or with censored times.
        """
        series = list(self._by_seed().values())
        if self.censored or not series or min(len(depths) for depths, _ in series) < 3:
            return math.nan, math.nan
        return _explained(series), _explained([(np.log(depths), times) for depths, times in series])

    @property
    def trend(self) -> int:
        """+1 if times rise with depth throughout, -1 if they fall throughout, else 0.

        Throughout: the median over seeds does not turn back from any depth to the next, and, if `fits` are known, depth or
        its logarithm explains more than half of the variation of ln T. By the slope alone times of 52, 42 and 63
        iterations would be a rise.
        """
        steps = set()
        for before, after in pairwise(self.reached.values()):
            if both := before.keys() & after.keys():
                changes = [min(after[seed], self.length) - min(before[seed], self.length) for seed in both]
                steps.add(int(np.sign(np.median(changes))))
        explained = [fit for fit in self.fits if not math.isnan(fit)]
        steady = steps <= {0, self.slopes.direction} and max(explained, default=1.0) > 0.5
        return self.slopes.direction if steady else 0

    def _by_seed(self) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """The depths and times of each seed that can be fitted."""
        series = {}
        for seed in sorted({seed for seeds in self.reached.values() for seed in seeds}):
            points = [(d, seeds[seed]) for d, seeds in self.reached.items() if seed in seeds]
            depths, times = np.array(points, dtype=float).T
            if len(points) > 1 and np.isfinite(times).any():
                series[seed] = depths, np.minimum(times, self.length)
        return series


@dataclass(frozen=True)
class Rates:
    """The level in nats, whether the caller gave it, otherwise the network it was taken from, and each line's times."""

    level: float
    given: bool
    reference: str
    times: tuple[Times, ...]


def running(curves: pd.DataFrame) -> Curves:
    """The running training curve of each run, without NaN."""
    rows = curves[(curves["split"] == "train") & curves["loss"].notna()].sort_values(["run_id", "iteration"])
    ids, starts = np.unique(rows["run_id"].to_numpy(), return_index=True)
    columns = (np.split(rows[name].to_numpy(dtype=float), starts[1:]) for name in ("iteration", "loss", "lr"))
    return dict(zip(ids, zip(*columns, strict=True), strict=False))  # without any curve there is one empty part


def rates(group: Group, curves: Curves, level: float | None = None) -> Rates | None:
    """Time every line of a group to one level of the running training loss; None if no curve gives a level.

    The level, in nats, is by default half-way, on a logarithmic scale, from the first point of the curve to the last
    point at the highest learning rate, both medians over the seeds of the shallowest plain network (residual without
    plain ones). So it lies in the phase of constant rate.
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
    """The geometric mean of the first loss and the last at the highest rate; None if the loss does not fall."""
    if not curves:
        return None
    first = float(np.median([loss[0] for _, loss, _ in curves]))
    last = float(np.median([loss[np.flatnonzero(rate == rate.max())[-1]] for _, loss, rate in curves]))
    return math.sqrt(first * last) if 0 < last < first else None


def _length(group: Group, curves: Curves) -> float:
    """The iterations of a run of the group, as planned or as reached."""
    went = max(float(curves[run_id][0][-1]) for run_id in group.runs["run_id"] if run_id in curves)
    return max(went, float(pd.to_numeric(group.runs["iterations"]).fillna(0).max()))


def _times(line: Line, curves: Curves, level: float, length: float) -> Times:
    """Without runs under way, of which only fast ones would count."""
    reached = {
        depth: {
            seed: iterations_to(level, *curves[outcome.run_id][:2])
            for seed, outcome in seeds.items()
            if outcome.run_id in curves and outcome.state in ENDED
        }
        for depth, seeds in line.outcomes.items()
    }
    return Times(line, {depth: seeds for depth, seeds in reached.items() if seeds}, length)


def iterations_to(level: float, iteration: NDArray[np.float64], loss: NDArray[np.float64]) -> float:
    """The first iteration at which the loss is at the level or below; infinite if it never is.

    ln(loss) is interpolated linearly between points. The running loss is a mean over the iterations before each point,
    so the time is late by up to half of that window, for all runs alike.
    """
    below = np.flatnonzero(loss <= level)
    if not below.size:
        return math.inf
    k = int(below[0])
    if k == 0 or loss[k] <= 0:
        return float(iteration[k])
    above, under = math.log(loss[k - 1]), math.log(loss[k])
    return float(iteration[k - 1] + (iteration[k] - iteration[k - 1]) * (above - math.log(level)) / (above - under))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _explained(series: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """R^2 of ln(times) against x with one slope for all seeds and a level for each."""
    x = np.concatenate([x - x.mean() for x, _ in series])
    y = np.concatenate([np.log(times) - np.log(times).mean() for _, times in series])
    rest = y - _slope(x, y) * x
    return float(1 - rest @ rest / (y @ y)) if y @ y else math.nan
