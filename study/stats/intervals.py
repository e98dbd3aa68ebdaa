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
ROUNDING = 1e-12  # of the largest value: what differs by less is equal


class Interval(NamedTuple):
    """Bounds in the unit of the values, NaN where there is no interval; `why` then says why, else it is empty."""

    low: float
    high: float
    why: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of zero; an interval that isn't there excludes nothing."""
        return self.low > 0 or self.high < 0


def bca_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), by `scipy.stats.bootstrap`.

    Seeded, and blind to the order of the values: equal values give equal bounds. A bootstrap knows no value that no
    seed has shown, so with few seeds the interval is narrower than its name: of normal values it holds the true mean
    in about 80 of 100 cases with 4 seeds, 84 with 5 and 90 with 10. Fewer than `FEWEST` have none. It is to
    be read beside an exact test (`study.stats.sign_flip`). It moves and scales with the values: with c above zero the
    interval of a + cx is a + c times that of x.

    Parameters
    ----------
    values
        One finite value per seed, shape (n,).
    level
        The nominal coverage, between 0 and 1.

    Returns
    -------
    Interval
        Without bounds, but with the reason, for fewer than `FEWEST` values, and for values that are all equal: their
        spread, zero, says that they are alike, not that the mean is known.

    Raises
    ------
    ValueError
        A value that is not finite.
    """
    from scipy.stats import bootstrap  # late: it takes half a second, and `study --help` has no use for it

    sample = np.sort(np.fromiter(values, dtype=float))  # sorted: the order of the rows must not matter
    if not np.isfinite(sample).all():
        raise ValueError("an interval needs finite values")
    if sample.size < 2:
        return _none("one seed has no spread" if sample.size else "there is no value")
    largest = float(np.abs(sample).max())
    scaled = sample / (largest or 1.0)
    lowest, spread = scaled[0], scaled[-1] - scaled[0]
    if spread <= ROUNDING:
        return _none(f"all {sample.size} values are equal")
    if sample.size < FEWEST:
        return _none(f"{sample.size} seeds are too few for one (at least {FEWEST})")
    draws = np.random.default_rng(SEED)
    unit = ((scaled - lowest) / spread,)  # from 0 to 1, so that rounding means the same for values of any size
    found = bootstrap(unit, _mean, n_resamples=RESAMPLES, confidence_level=level, method="BCa", rng=draws)
    low, high = (float(largest * (lowest + spread * bound)) for bound in found.confidence_interval)
    return Interval(low, high) if low <= high else _none("the bootstrap finds none for such values")


def _none(why: str) -> Interval:
    return Interval(math.nan, math.nan, why)


def _mean(samples: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The means, to ten decimals.

    The bias correction counts resamples whose mean is below that of the sample, and with few seeds many equal it. Sums in
    another order differ in their last digit, which would decide those ties, and so the interval.
    """
    means: NDArray[np.float64] = np.mean(samples, axis=axis).round(10)
    return means
