"""The sign-flip test of paired differences: exact up to 20 pairs, by seeded draws beyond."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENUMERATED = 20  # pairs; 2^20 sums are 8 MB
DRAWS = 99_999
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

    If a pair's two members are exchangeable, each difference was as likely to come out with the other sign. p is the
    share of all 2^n ways to sign the differences whose sum is at least the observed one. No distribution is assumed,
    and nothing is asymptotic; but p can't be below 2^-n, so five seeds are needed for 0.05.

    Parameters
    ----------
    differences
        One per pair, shape (n,). Plus or minus infinity stands for a pair of which one member diverged: its sign is
        known, its size isn't. It counts as the largest finite size among the pairs (as 1 where there is none), which
        leaves the test exact, for a size that doesn't depend on the sign is all that it needs. NaN stands for a pair
        that says nothing, such as one whose members both diverged, and counts as zero.

    Returns
    -------
    SignFlip
        For no pair at all, and for zeros only, every p is 1.
    """
    values = sized(differences)
    values = values[values != 0]  # flipping a zero changes nothing, so it would only repeat every sum
    if values.size == 0:
        return SignFlip(1.0, 1.0, 1.0, 1.0, True)
    observed = values.sum()
    slack = 1e-12 * np.abs(values).sum()  # equal sums differ in their last digits by the order of addition
    exact = values.size <= ENUMERATED
    sums = _all_sums(values) if exact else _drawn_sums(values)
    one = 0 if exact else 1  # a drawn p counts the observed signs among the draws, so that it is never zero
    greater, less = (
        float((np.count_nonzero(beyond) + one) / (sums.size + one))
        for beyond in (sums >= observed - slack, sums <= observed + slack)
    )
    smallest = max(2.0**-values.size, 0.0 if exact else 1 / (sums.size + 1))
    return SignFlip(greater, less, min(1.0, 2 * min(greater, less)), smallest, exact)


def sized(differences: Iterable[float]) -> NDArray[np.float64]:
    """The differences with a size for each: see `sign_flip` for infinities and NaN."""
    values = np.nan_to_num(np.fromiter(differences, dtype=float), nan=0.0, posinf=np.inf, neginf=-np.inf)
    finite = np.abs(values[np.isfinite(values)])
    largest = finite.max(initial=0.0) or 1.0
    sizes: NDArray[np.float64] = np.where(np.isinf(values), np.sign(values) * largest, values)
    return sizes


def _all_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for value in np.abs(values):
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    draws = np.random.default_rng(SEED)
    sizes = np.sort(np.abs(values))  # sorted: the order of the pairs must not matter
    sums = np.full(DRAWS, -sizes.sum())
    for size in sizes:  # a bit a sign: to choose among numbers takes seven times as long
        up = np.unpackbits(np.frombuffer(draws.bytes(-(-DRAWS // 8)), np.uint8), count=DRAWS)
        sums += 2 * size * up
    return sums
