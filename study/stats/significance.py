"""How many seeds would show a difference, judged from the few that there are."""

from __future__ import annotations

import math
from typing import NamedTuple

ALPHA = 0.05
POWER = 0.8
MOST = 1000  # more seeds than anybody trains: the answer is then that seeds won't show it


class Needed(NamedTuple):
    """The number of pairs in all, None where it can't be estimated or is above `MOST`; `why` then says which."""

    pairs: int | None
    why: str = ""


def fewest(sides: int = 1) -> int:
    """The fewest pairs with which a sign-flip test can reach 0.05: 2^-n <= 0.05 makes 5 on one side, 6 on two."""
    return math.ceil(-math.log2(ALPHA / sides))


def needed(mean: float, std: float, n: int, sides: int = 1) -> Needed:
    """Estimate how many paired seeds would show a difference.

    The smallest number with which both the sign-flip test can reach p = 0.05 and a paired t-test (two-sided, 0.05) has
    a power of 0.8, from the noncentral t distribution (Cohen 1988, chapter 2), if the observed mean and standard
    deviation were the true ones. With few seeds they are not: it is an order of magnitude.

    Parameters
    ----------
    mean, std
        Of the observed differences, in one unit; std with ddof 1.
    n
        How many differences there are.
    sides
        Of the sign-flip test.
    """
    if n < 2:
        return Needed(None, "one seed has no spread" if n else "no seed has a number for it")
    if std == 0:
        return Needed(None, "all differences are equal, so their spread is unknown")
    if mean == 0 or _power(mean / std, MOST) < POWER:
        return Needed(None, f"more than {MOST:,}: the difference, if any, is small beside its spread")
    low, high = fewest(sides) - 1, MOST  # the power rises with n: halve
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(mean / std, middle) >= POWER else (middle, high)
    return Needed(high)


def _power(effect: float, n: int) -> float:
    """That a two-sided t-test of n differences rejects, for a mean of `effect` standard deviations."""
    from scipy.special import nctdtr, stdtrit

    # The chance of rejecting on the wrong side is left out: it is below 0.025 and no success.
    return 1.0 - float(nctdtr(n - 1, abs(effect) * math.sqrt(n), stdtrit(n - 1, 1 - ALPHA / 2)))
