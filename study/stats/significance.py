"""The sign-flip test of paired differences, and how many seeds a difference would take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
POWER = 0.8
MOST = 1000  # seeds; beyond this no estimate is given
ENUMERATED = 20  # pairs whose 2^20 sums are all computed
DRAWS = 99_999  # for more pairs
SEED = 0


class SignFlip(NamedTuple):
    """p-values, and the smallest that any differences of so many pairs could have.

    `greater` is one-sided (the mean is above zero), `less` the other side, `two_sided` twice the smaller of them.
    `smallest` is the least possible one-sided p: 2^-n with n differences that are not zero.
    """

    greater: float
    less: float
    two_sided: float
    smallest: float
    exact: bool


def sign_flip(differences: Iterable[float]) -> SignFlip:
    """Test whether paired differences are centred on zero, by flipping their signs (Fisher 1935, section 21).

    If the members of a pair are exchangeable, each difference was as likely to have the other sign. p is the share of
    all 2^n ways to sign the differences whose sum is at least the observed one; beyond `ENUMERATED` pairs of seeded draws.
    Five seeds are needed to reach 0.05. Infinite differences and NaN count as `sized` says. Without any pair, or
    with zeros only, every p is 1.
    """
    values = sized(differences)
    values = np.sort(values[values != 0])  # flipping a zero changes nothing; the order of pairs must not matter
    if values.size == 0:
        return SignFlip(1.0, 1.0, 1.0, 1.0, True)
    observed = values.sum()
    slack = 1e-12 * np.abs(values).sum()  # equal sums differ in their last digits by the order of addition
    exact = values.size <= ENUMERATED
    sums = _all_sums(values) if exact else _drawn_sums(values)
    one = 0 if exact else 1  # a drawn p counts the observed signs among the draws, so it is never zero
    greater, less = (
        float((np.count_nonzero(beyond) + one) / (sums.size + one))
        for beyond in (sums >= observed - slack, sums <= observed + slack)
    )
    smallest = max(2.0**-values.size, 0.0 if exact else 1 / (sums.size + 1))
    return SignFlip(greater, less, min(1.0, 2 * min(greater, less)), smallest, exact)


def sized(differences: Iterable[float]) -> NDArray[np.float64]:
    """Give every difference a finite size.

    Infinity stands for a pair of which one member is lost: its sign is known, its size is not. It counts as the largest
    finite size among the pairs (1 without any). The test stays exact, since that size does not depend on the sign.
    NaN, such as of a pair whose members are both lost, counts as zero.
    """
    values = np.nan_to_num(np.fromiter(differences, dtype=float), nan=0.0, posinf=np.inf, neginf=-np.inf)
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0) or 1.0
    sizes: NDArray[np.float64] = np.where(np.isinf(values), np.sign(values) * largest, values)
    return sizes


def _all_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of all 2^n signs. With 16 pairs scipy's permutation test takes 0.8 s, this a millisecond."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of drawn signs, a bit each. With 200 pairs scipy's permutation test takes 13 s, this 0.03 s."""
    draws = np.random.default_rng(SEED)
    sizes = np.sort(np.abs(values))
    sums = np.full(DRAWS, -sizes.sum())
    for size in sizes:
        sums += 2 * size * np.unpackbits(np.frombuffer(draws.bytes(-(-DRAWS // 8)), np.uint8), count=DRAWS)
    return sums


class Needed(NamedTuple):
    """The number of pairs in all; None, with the reason in `why`, without an estimate or above `MOST`."""

    pairs: int | None
    why: str = ""


def fewest(sides: int = 1) -> int:
    """The fewest pairs with which a sign-flip test can reach 0.05: 2^-n <= 0.05 makes 5 one-sided, 6 two-sided."""
    return math.ceil(-math.log2(ALPHA / sides))


def needed(mean: float, std: float, n: int, sides: int = 1) -> Needed:
    """Estimate how many paired seeds would show a difference with this mean and standard deviation (ddof 1).

    The smallest number with which both the sign-flip test can reach p = 0.05 and a paired t-test (two-sided, 0.05) has
    a power of 0.8, from the noncentral t distribution (Cohen 1988, chapter 2). With few seeds it is an order of magnitude.
    """
    if n < 2:
        return Needed(None, "one seed has no spread" if n else "no seed has a number for it")
    if std == 0:
        return Needed(None, "all differences are equal, so their spread is unknown")
    if mean == 0 or _power(mean / std, MOST) < POWER:
        return Needed(None, f"more than {MOST:,}: the difference, if any, is small beside its spread")
    low, high = fewest(sides) - 1, MOST  # the power rises with n: bisect
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(mean / std, middle) >= POWER else (middle, high)
    return Needed(high)


def _power(effect: float, n: int) -> float:
    """The probability that a two-sided t-test of n differences rejects, for a mean of `effect` standard deviations."""
    from scipy.special import nctdtr, stdtrit

    # Rejecting on the wrong side is left out: its probability is below 0.025, and it is no success.
    return 1.0 - float(nctdtr(n - 1, abs(effect) * math.sqrt(n), stdtrit(n - 1, 1 - ALPHA / 2)))
