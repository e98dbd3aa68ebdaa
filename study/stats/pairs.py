"""Differences between networks, paired by seed: the same seed starts both from the same values and samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from study.stats.intervals import Interval, bca_interval
from study.stats.outcomes import Line, Outcome
from study.stats.sign_flip import SignFlip, sign_flip, sized
from study.stats.significance import ALPHA, Needed, needed


class Term(NamedTuple):
    """One network of a comparison: it counts with `sign`, +1 or -1."""

    sign: int
    line: Line
    depth: int

    @property
    def name(self) -> str:
        return self.line.name(self.depth)


@dataclass(frozen=True)
class Contrast:
    """A difference between networks, one value per seed, and how sure it is.

    `differences`, in the unit of `measure`, has a value for each of `seeds`: infinite where a run diverged (plus where
    that speaks for the contrast), NaN where diverged runs stand on both sides, which decides nothing. `absent` says of
    each other seed why it has no pair. `expected` is the sign that He et al. 2015 found, or would find.
    """

    name: str
    measure: str
    expected: int
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    absent: tuple[str, ...] = ()

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The finite differences."""
        return tuple(d for d in self.differences if math.isfinite(d))

    @property
    def n(self) -> int:
        """How many pairs have a result, divergence included."""
        return len(self.differences)

    @property
    def worse(self) -> int:
        """Pairs in which a run diverged that speaks for the contrast."""
        return sum(d == math.inf for d in self.differences)

    @property
    def better(self) -> int:
        """Pairs in which a run diverged that speaks against the contrast."""
        return sum(d == -math.inf for d in self.differences)

    @property
    def undecided(self) -> int:
        """Pairs with diverged runs on both sides, or whose measure a diverged run doesn't have."""
        return sum(math.isnan(d) for d in self.differences)

    @property
    def mean(self) -> float:
        """Of the finite differences."""
        return float(np.mean(self.numbers)) if self.numbers else math.nan

    @property
    def std(self) -> float:
        """Of the finite differences, ddof 1."""
        return float(np.std(self.numbers, ddof=1)) if len(self.numbers) > 1 else math.nan

    @property
    def median(self) -> float:
        """Of all pairs that decide; infinite where divergence is the typical outcome."""
        decided = [d for d in self.differences if not math.isnan(d)]
        if not decided or {math.inf, -math.inf} <= set(decided):
            return math.nan
        return float(np.median(decided))

    @cached_property
    def interval(self) -> Interval:
        """BCa 95 % interval of the mean of the finite differences."""
        return bca_interval(self.numbers)

    @cached_property
    def test(self) -> SignFlip:
        """The sign-flip test over all pairs, diverged ones included."""
        return sign_flip(self.differences)

    @property
    def direction(self) -> int:
        """+1, -1 or 0: where the pairs point on the whole."""
        return int(np.sign(sized(self.differences).sum()))

    @property
    def sides(self) -> int:
        """Of the test that `p` is from: 1 where the difference points the expected way, or nowhere, else 2."""
        return 1 if self.direction in (0, self.expected) else 2

    @property
    def p(self) -> float:
        """One-sided where the difference points the expected way, two-sided where it points the other way.

        NaN where fewer than two pairs decide: of one the test says nothing.
        """
        if self.n - self.undecided < 2:
            return math.nan
        if self.sides == 2:
            return self.test.two_sided
        return self.test.greater if self.expected > 0 else self.test.less

    @property
    def smallest_p(self) -> float:
        """The least that `p` could be with so many pairs, by the same side or sides; NaN where there is no `p`."""
        return math.nan if math.isnan(self.p) else min(1.0, self.sides * self.test.smallest)

    @property
    def at_floor(self) -> bool:
        """Whether no differences of so many pairs could have a smaller `p`."""
        return self.p <= self.smallest_p < 1

    @property
    def established(self) -> int:
        """+1 or -1 where the difference is established, else 0.

        It is where p is at most 0.05 and the interval excludes zero on the same side. Where there is no interval,
        because diverged runs leave too few numbers for one or because all differences are equal, p alone decides, as
        long as no finite difference points the other way.
        """
        sign = self.direction
        if not sign or not self.p <= ALPHA:
            return 0
        if math.isnan(self.interval.low):
            return sign if all(sign * d >= 0 for d in self.numbers) else 0
        return sign if self.interval.excludes_zero and sign * self.mean > 0 else 0

    @cached_property
    def needed(self) -> Needed:
        """How many pairs would show it, if it is as large as it looks: an estimate."""
        return needed(self.mean, self.std, len(self.numbers), self.sides)


def contrast(
    terms: Sequence[Term], measure: str, expected: int, name: str = "", only: Collection[int] | None = None
) -> Contrast:
    """Add up the terms seed by seed; a seed that any of them lacks is named with the reason, never dropped in silence.

    Parameters
    ----------
    terms
        Such as deep (+1) and shallow (-1); with four terms, a difference of differences.
    measure
        `train`, `test` (errors in percent) or `gap` (points).
    expected
        The sign that He et al. 2015 found.
    name
        By default the terms' names with their signs.
    only
        The seeds that count; by default all.
    """
    seeds, differences, absent = [], [], []
    every = {seed for term in terms for seed in term.line.outcomes[term.depth]}
    for seed in sorted(every if only is None else every & set(only)):
        outcomes = [(term, term.line.outcomes[term.depth].get(seed)) for term in terms]
        reasons = [f"{term.name} {_reason(o, measure)}" for term, o in outcomes if not _has(o, measure)]
        if reasons:
            absent.append(f"seed {seed}: " + ", ".join(reasons))
            continue
        seeds.append(seed)
        differences.append(_total([term.sign * o.value(measure) for term, o in outcomes if o]))
    return Contrast(name or _name(terms), measure, expected, tuple(seeds), tuple(differences), tuple(absent))


def _has(outcome: Outcome | None, measure: str) -> bool:
    if outcome is None:
        return False
    return outcome.state == "diverged" or not math.isnan(outcome.value(measure))


def _reason(outcome: Outcome | None, measure: str) -> str:
    if outcome is None:
        return "is not in the sweep"
    if outcome.state == "done":
        return f"has no {measure} error"
    return {"failed": "failed", "running": "is still running", "interrupted": "was interrupted"}.get(
        outcome.state, "is missing"
    )


def _total(values: Sequence[float]) -> float:
    """The sum; NaN where plus and minus infinity meet, or where a value is NaN.

    To ten decimals: an error is a count of images, and what is beyond is left over from subtraction. Without that a
    difference of nothing would have a sign.
    """
    return math.nan if {math.inf, -math.inf} <= set(values) else round(sum(values), 10)


def _name(terms: Sequence[Term]) -> str:
    first, *others = terms
    return first.name + "".join(f" {'−' if term.sign < 0 else '+'} {term.name}" for term in others)
