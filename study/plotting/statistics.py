"""What a handful of seeds says about a mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
SEED = 0


def bootstrap_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean, in the unit of the values; NaN for fewer than two.

    Seeded, so equal values give equal bounds. With three to five seeds it is narrower than it says, and never wider
    than the values themselves: it is a picture of the spread, to be read beside the single seeds.
    """
    if len(values) < 2:
        return float("nan"), float("nan")
    sample = np.sort(np.asarray(values, dtype=float))  # sorted: the order of the rows must not matter
    means = np.random.default_rng(SEED).choice(sample, (RESAMPLES, sample.size)).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
