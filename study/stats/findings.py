"""The comparisons of each group of networks: deep against shallow, plain against residual, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from study.stats.naming import absences, naming
from study.stats.outcomes import Group, Line
from study.stats.pairs import Contrast, Split, Term, contrast, split
from study.stats.rates import Curves, Rates, rates
from study.stats.significance import fewest
from study.text import counted


@dataclass(frozen=True)
class Mend:
    """What a shortcut does about depth, between two depths that both networks have (`_ends`).

    `relief` is (plain deep - plain shallow) - (residual deep - residual shallow); `rise` is its plain part and `rest` its
    residual part, over the same seeds. All are None if the networks share only one depth. `ends` is plain - residual at the
    deeper depth.
    """

    line: Line
    shallow: int
    deep: int
    relief: Contrast | None
    rise: Contrast | None
    rest: Contrast | None
    ends: Contrast
    left_out: tuple[str, ...] = ()
    """As in `Split`, of depths that plain and residual networks share."""

    @property
    def share(self) -> int | None:
        """What is left, in percent of the rise of the plain networks; None without a rise, or with lost runs."""
        if self.rise is None or self.rest is None or not self.rest.n or not self.rise.mean > 0:
            return None
        whole = len(self.rest.numbers) == self.rest.n and len(self.rise.numbers) == self.rise.n
        return round(100 * self.rest.mean / self.rise.mean) if whole else None


@dataclass(frozen=True)
class Finding:
    """The comparisons of one group: a plain line and the residual lines that match it, under one condition.

    `spans`, the headline, compares a deep with a shallow network of each line that has two depths (`_ends`). `steps`
    compares neighbours in depth of a line with three depths or more: a description, not corrected for the number of
    comparisons.
    """

    group: Group
    spans: tuple[Split, ...]
    steps: tuple[Split, ...]
    mends: tuple[Mend, ...]
    rates: Rates | None

    @property
    def plain(self) -> Split | None:
        """The headline of the plain networks; None without two depths."""
        return next((span for span in self.spans if span.line is self.group.plain), None)

    @property
    def degradation(self) -> Contrast | None:
        """Training error of the deep plain network minus that of the shallow one; None without two plain depths."""
        return self.plain.train if self.plain else None

    @property
    def absences(self) -> list[str]:
        """A sentence per kind of absence, naming every run without a final value."""
        with naming(self.group.runs["family"].dropna().unique()):
            return absences(self.group.runs.assign(condition=""))

    def contrasts(self) -> Iterator[tuple[str, Contrast]]:
        """Every comparison, with its question."""
        for kind, splits in (("span", self.spans), ("step", self.steps)):
            for one in splits:
                yield from ((f"{one.line.network} {kind}", part) for part in (one.train, one.gap, one.test))
        for mend in self.mends:
            for question, found in (("relief", mend.relief), ("ends", mend.ends)):
                if found is not None:
                    yield question, found


def find(group: Group, curves: Curves, level: float | None) -> Finding:
    """Compare the networks of a group; `level` as in `study.stats.rates.rates`."""
    spans = [_span(line) for line in group.lines if len(line.depths) > 1]
    longer = [line for line in group.lines if len(line.depths) > 2]
    steps = [split(line, *depths) for line in longer for depths in pairwise(line.depths)]
    mends = [_mend(group.plain, line) for line in group.residuals] if group.plain else []
    found = tuple(mend for mend in mends if mend)
    return Finding(group, tuple(spans), tuple(steps), found, rates(group, curves, level))


def _ends(line: Line, depths: Sequence[int], pairs: Callable[[int, int], int]) -> tuple[int, int, tuple[str, ...]]:
    """The two depths that a headline compares, and the networks beyond them with the number of seeds that they would have.

    The two depths farthest apart that enough seeds have: the fewest that can reach p = 0.05, or else the most that any two
    depths have. So a single deep run that finishes early does not displace a comparison of many seeds.
    """
    counts = {ends: pairs(*ends) for ends in combinations(depths, 2)}
    enough = min(fewest(), max(counts.values()))
    shallow, deep = max(
        (ends for ends, n in counts.items() if n >= enough), key=lambda ends: (ends[1] - ends[0], ends[1])
    )
    beyond = {d: counts[d, deep] for d in depths if d < shallow} | {d: counts[shallow, d] for d in depths if d > deep}
    return shallow, deep, tuple(f"{line.name(depth)} ({counted(n, 'seed')})" for depth, n in beyond.items())


def _span(line: Line) -> Split:
    return split(line, *_ends(line, line.depths, lambda *ends: split(line, *ends).train.n))


def _mend(plain: Line, line: Line) -> Mend | None:
    common = [depth for depth in plain.depths if depth in line.depths]
    if not common:
        return None
    if len(common) == 1:
        return Mend(line, common[0], common[0], None, None, None, _between(plain, line, common[0]))
    shallow, deep, left_out = _ends(line, common, lambda *ends: _relief(plain, line, *ends).n)
    relief = _relief(plain, line, shallow, deep)
    rise, rest = (
        contrast(_change(one, shallow, deep), "train", sign, only=relief.seeds)
        for one, sign in ((plain, 1), (line, -1))
    )
    return Mend(line, shallow, deep, relief, rise, rest, _between(plain, line, deep), left_out)


def _between(plain: Line, line: Line, depth: int) -> Contrast:
    return contrast([Term(1, plain, depth), Term(-1, line, depth)], "train", 1)


def _change(line: Line, shallow: int, deep: int) -> tuple[Term, Term]:
    return Term(1, line, deep), Term(-1, line, shallow)


def _relief(plain: Line, line: Line, shallow: int, deep: int) -> Contrast:
    """(plain deep - plain shallow) - (residual deep - residual shallow)."""
    rise, rest = (_change(one, shallow, deep) for one in (plain, line))
    name = " − ".join(f"({one.name} − {other.name})" for one, other in (rise, rest))
    return contrast([*rise, *(Term(-term.sign, *term[1:]) for term in rest)], "train", 1, name)


def numbers(found: Contrast) -> dict[str, Any]:
    """All numbers of a comparison, flat."""
    tested = not math.isnan(found.p)
    own = ("measure", "n", "mean", "std", "median", "p", "sides", "smallest_p", "undecided", "established")
    return {
        "contrast": found.name,
        **{name: getattr(found, name) for name in own},
        "low": found.interval.low,
        "high": found.interval.high,
        "no_interval": found.interval.why,
        "p_greater": found.test.greater if tested else math.nan,
        "p_less": found.test.less if tested else math.nan,
        "lost_for": found.worse,
        "lost_against": found.better,
        "pairs_needed": found.needed.pairs,
        "why_not": found.needed.why,
        **{name: list(getattr(found, name)) for name in ("seeds", "differences", "absent")},
    }
