"""Differences between networks, paired by seed: equal seeds start from the same values and see the same samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from study.stats.bca_interval import Interval, bca_interval
from study.stats.naming import lost
from study.stats.outcomes import Line, Outcome
from study.stats.significance import ALPHA, Needed, SignFlip, needed, sign_flip, sized
from study.store.runs import LOST

REASONS = {"failed": "failed", "running": "is still running", "interrupted": "was interrupted"}


class Term(NamedTuple):
    """One network of a comparison; `sign` is +1 or -1."""

    sign: int
    line: Line
    depth: int

    @property
    def name(self) -> str:
        return self.line.name(self.depth)


@dataclass(frozen=True)
class Contrast:
    """A difference between networks, one value per seed, and how sure it is.

    `differences`, in the unit of `measure`, has a value for each of `seeds`: infinite where a run is lost (plus if
    that supports the contrast), NaN if lost runs on both sides leave it undecided. `absent` says why each other
    seed has no pair. `expected` is the sign that He et al. 2015 found, or would find.
    """

    name: str
    measure: str
    expected: int
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    absent: tuple[str, ...] = ()
    lost: str = ""
    """How its runs without a final error ended, in words."""

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The finite differences."""
        return tuple(d for d in self.differences if math.isfinite(d))

    @property
    def n(self) -> int:
        """The number of pairs with a result, lost runs included."""
        return len(self.differences)

    @property
    def worse(self) -> int:
        """Pairs in which a run is lost that supports the contrast."""
        return self.differences.count(math.inf)

    @property
    def better(self) -> int:
        """Pairs in which a run is lost that contradicts the contrast."""
        return self.differences.count(-math.inf)

    @property
    def undecided(self) -> int:
        """Pairs with lost runs on both sides, or with a lost run that lacks the measure."""
        return sum(math.isnan(d) for d in self.differences)

    @property
    def differing(self) -> int:
        """Decided pairs that are not zero: those that count in the sign-flip test."""
        return sum(d != 0 and not math.isnan(d) for d in self.differences)

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
        """Of all decided pairs; infinite if runs of most of them are lost."""
        decided = [d for d in self.differences if not math.isnan(d)]
        if not decided or (self.worse and self.better):
            return math.nan
        return float(np.median(decided))

    @cached_property
    def interval(self) -> Interval:
        """The BCa 95 % interval of the mean of the finite differences."""
        return bca_interval(self.numbers)

    @cached_property
    def test(self) -> SignFlip:
        """The sign-flip test over all pairs, those of lost runs included."""
        return sign_flip(self.differences)

    @cached_property
    def direction(self) -> int:
        """The sign of the sum of all pairs."""
        return int(np.sign(sized(self.differences).sum()))

    @property
    def sides(self) -> int:
        """1 if the difference points the expected way, or nowhere, else 2."""
        return 1 if self.direction in (0, self.expected) else 2

    @property
    def p(self) -> float:
        """One-sided if the difference points the expected way, else two-sided; NaN with fewer than two decided pairs."""
        if self.n - self.undecided < 2:
            return math.nan
        if self.sides == 2:
            return self.test.two_sided
        return self.test.greater if self.expected > 0 else self.test.less

    @property
    def smallest_p(self) -> float:
        """The smallest `p` that so many pairs could have; NaN without `p`."""
        return math.nan if math.isnan(self.p) else min(1.0, self.sides * self.test.smallest)

    @property
    def at_floor(self) -> bool:
        """Whether `p` is as small as so many pairs allow."""
        return self.p <= self.smallest_p < 1

    @property
    def established(self) -> int:
        """+1 or -1 if the difference is established, else 0.

        It is if p is at most 0.05 and the interval excludes zero on the same side. Without an interval, because too few
        differences are finite or all are equal, p alone decides, unless a finite difference points the other way.
        """
        sign = self.direction
        if not sign or not self.p <= ALPHA:
            return 0
        if math.isnan(self.interval.low):
            return sign if all(sign * d >= 0 for d in self.numbers) else 0
        return sign if self.interval.excludes_zero and sign * self.mean > 0 else 0

    @cached_property
    def needed(self) -> Needed:
        """How many pairs would establish it, if mean and spread are as observed."""
        return needed(self.mean, self.std, len(self.numbers), self.sides)


def contrast(
    terms: Sequence[Term], measure: str, expected: int, name: str = "", only: Collection[int] | None = None
) -> Contrast:
    """Add up the terms seed by seed; a seed that a term lacks is named with the reason.

    `measure` is `train`, `test` (errors in percent) or `gap` (points); `expected` the sign that He et al. 2015 found;
    `only` restricts the seeds.
    """
    seeds, differences, absent, states = [], [], [], []
    every = {seed for term in terms for seed in term.line.outcomes[term.depth]}
    for seed in sorted(every if only is None else every & set(only)):
        outcomes = [(term, term.line.outcomes[term.depth].get(seed)) for term in terms]
        reasons = [f"{term.name} {reason}" for term, o in outcomes if (reason := _lacks(o, measure))]
        if reasons:
            absent.append(f"seed {seed}: " + ", ".join(reasons))
            continue
        seeds.append(seed)
        differences.append(_total([term.sign * o.value(measure) for term, o in outcomes if o]))
        states += [o.state for _, o in outcomes if o]
    signs = (f"{' − ' if term.sign < 0 else ' + '}{term.name}" for term in terms[1:])
    title = name or terms[0].name + "".join(signs)
    return Contrast(title, measure, expected, tuple(seeds), tuple(differences), tuple(absent), lost(states))


def _lacks(outcome: Outcome | None, measure: str) -> str:
    """Why a run has no such value; empty if it has one, or is lost."""
    if outcome is None:
        return "is not in the sweep"
    if outcome.state in LOST or not math.isnan(outcome.value(measure)):
        return ""
    return f"has no {measure} error" if outcome.state == "done" else REASONS.get(outcome.state, "is missing")


def _total(values: Sequence[float]) -> float:
    """The sum to ten decimals, so that rounding errors give no sign to zero; NaN if infinities of both signs meet."""
    return math.nan if {math.inf, -math.inf} <= set(values) else round(sum(values), 10)


@dataclass(frozen=True)
class Split:
    """How the errors of a line change between two depths; `test` = `train` + `gap`, pair by pair.

    `train` is due to optimisation: a deeper network could train at least as well, since identity layers would make it
    the same (He et al. 2015, section 1). `gap` is due to generalisation: if it alone grows, depth overfits, as with
    their 1202-layer network (section 4.2).
    """

    line: Line
    shallow: int
    deep: int
    train: Contrast
    gap: Contrast
    test: Contrast
    left_out: tuple[str, ...] = ()
    """Networks of the line beyond these depths that too few seeds have, with their number of seeds."""

    def per_depth(self, part: str) -> float:
        """The mean change of one part in points per ten added layers."""
        change: Contrast = getattr(self, part)
        return 10 * change.mean / (self.deep - self.shallow)


def split(line: Line, shallow: int, deep: int, left_out: tuple[str, ...] = ()) -> Split:
    """Compare each error of a line at two depths.

    By He et al. 2015, figure 6 and table 6, plain networks get worse with depth and residual ones better. The gap is
    expected to grow.
    """
    terms = Term(1, line, deep), Term(-1, line, shallow)
    worse = 1 if line.network == "plain" else -1
    parts, name = (("train", worse), ("gap", 1), ("test", worse)), line.name(deep, shallow)
    train, gap, test = (contrast(terms, part, sign, name) for part, sign in parts)
    return Split(line, shallow, deep, train, gap, test, left_out)
