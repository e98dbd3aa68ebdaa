"""The BCa bootstrap interval of a mean over a handful of seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 0
FEWEST = 4
"""Values that an interval takes. A resample of n values is n times the smallest of them with probability n^-n (Hall 1992,
appendix I). With two and three that is more than 2.5 %, so a bound of 95 % is the smallest value itself, whatever it is."""
ROUNDING = 1e-12  # relative to the largest value; smaller differences are rounding


class Interval(NamedTuple):
    """Bounds in the unit of the values. Without an interval they are NaN, and `why` gives the reason."""

    low: float
    high: float
    why: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of zero; false without an interval."""
        return self.low > 0 or self.high < 0


def bca_interval(values: Iterable[float]) -> Interval:
    """Compute the bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), with `scipy.stats.bootstrap`.

    The result is seeded and does not depend on the order of the values. With few seeds the interval is too narrow: of normal
    values it covers the true mean in about 80 of 100 cases with 4 seeds, 84 with 5 and 90 with 10. Read it beside an exact
    test (`study.stats.significance`). Fewer than `FEWEST` values, or equal ones, have no interval.
    """
    from scipy.stats import bootstrap  # late: the import takes half a second

    sample = np.sort(np.fromiter(values, dtype=float))
    if not np.isfinite(sample).all():
        raise ValueError("an interval needs finite values")
    if sample.size < 2:
        return _none("one seed has no spread" if sample.size else "there is no value")
    largest = float(np.abs(sample).max()) or 1.0
    scaled = sample / largest
    lowest, spread = scaled[0], scaled[-1] - scaled[0]
    if spread <= ROUNDING:
        return _none(f"all {sample.size} values are equal")
    if sample.size < FEWEST:
        return _none(f"{sample.size} seeds are too few, it takes {FEWEST}")
    unit = ((scaled - lowest) / spread,)  # from 0 to 1, so that rounding affects values of any size alike
    draws = np.random.default_rng(SEED)
    found = bootstrap(unit, _mean, n_resamples=RESAMPLES, confidence_level=0.95, method="BCa", rng=draws)
    low, high = (float(largest * (lowest + spread * bound)) for bound in found.confidence_interval)
    return Interval(low, high) if low <= high else _none("the bootstrap finds none for these values")


def _none(why: str) -> Interval:
    return Interval(math.nan, math.nan, why)


def _mean(samples: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The means to ten decimals: the bias correction counts ties, which rounding errors would otherwise break."""
    means: NDArray[np.float64] = np.mean(samples, axis=axis).round(10)
    return means
