"""The verdict on a sweep: does depth raise the training error of the plain networks, and does the shortcut mend it?

`verdict` finds; `study.stats.words` says it; `study.stats.report` lays it out as text, Markdown or JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from study.stats.gaps import Split, split
from study.stats.naming import absences
from study.stats.outcomes import Group, Line, groups
from study.stats.pairs import Contrast, Term, contrast
from study.stats.rates import Curves, Rates, rates, running


@dataclass(frozen=True)
class Mend:
    """What a shortcut does about depth, between the shallowest and the deepest depth that both networks have.

    `relief` is (plain deep - plain shallow) - (residual deep - residual shallow), `rest` the residual part of it; both
    None where the networks share one depth only. `ends` is plain - residual at the deepest common depth.
    """

    line: Line
    shallow: int
    deep: int
    relief: Contrast | None
    rest: Contrast | None
    ends: Contrast


@dataclass(frozen=True)
class Finding:
    """What is found for one group: a plain line and the residual lines that match it, under one condition.

    `spans` compares the deepest with the shallowest network of each line that has two depths: the headline. `steps`
    compares neighbours in depth, where a line has three depths or more: a description, not corrected for the number of
    comparisons.
    """

    group: Group
    spans: tuple[Split, ...]
    steps: tuple[Split, ...]
    mends: tuple[Mend, ...]
    rates: Rates | None

    @property
    def degradation(self) -> Contrast | None:
        """Training error of the deepest plain network minus that of the shallowest; None without two plain depths."""
        return next((span.train for span in self.spans if span.line is self.group.plain), None)

    @property
    def absences(self) -> list[str]:
        """A sentence per kind of absence that names every run without a final value."""
        return absences(self.group.runs.assign(condition=""))

    def contrasts(self) -> Iterator[tuple[str, Contrast]]:
        """Every comparison, with the question that it belongs to."""
        for kind, splits in (("span", self.spans), ("step", self.steps)):
            for one in splits:
                yield from ((f"{one.line.network} {kind}", part) for part in (one.train, one.gap, one.test))
        for mend in self.mends:
            for question, found in (("relief", mend.relief), ("ends", mend.ends)):
                if found is not None:
                    yield question, found


@dataclass(frozen=True)
class Verdict:
    """The findings, one per group; `print` it, or let a notebook show it."""

    findings: tuple[Finding, ...]
    training: str

    def __str__(self) -> str:
        from study.stats.report import render

        return render(self, "text")

    def _repr_markdown_(self) -> str:
        from study.stats.report import render

        return render(self, "md")

    def table(self) -> pd.DataFrame:
        """One row per comparison, with all its numbers, in points of error; see `study.stats.pairs.Contrast`."""
        rows = [
            {"condition": finding.group.condition, "question": question, **numbers(found)}
            for finding in self.findings
            for question, found in finding.contrasts()
        ]
        return pd.DataFrame(rows)


def verdict(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", level: float | None = None
) -> Verdict:
    """Compare the networks of one or several sweeps, paired by seed, at the last iteration.

    Parameters
    ----------
    curves, runs
        As `study.read_curves` and `study.read_runs` give them; without `runs`, runs without a curve can't be named.
    training
        What stands for the training error: `train_clean` (evaluation mode, no augmentation) or `train` (running).
    level
        The running training loss, in nats, that convergence is timed to; see `study.stats.rates.rates`.

    Raises
    ------
    StudyError
        A frame that lacks columns, no curve at all, or an unknown split.
    """
    sorted_out = groups(curves, runs, training)
    lines = running(curves)
    return Verdict(tuple(_find(group, lines, level) for group in sorted_out), training)


def _find(group: Group, curves: Curves, level: float | None) -> Finding:
    spans = [split(line, line.depths[0], line.depths[-1]) for line in group.lines if len(line.depths) > 1]
    longer = [line for line in group.lines if len(line.depths) > 2]
    steps = [split(line, *depths) for line in longer for depths in pairwise(line.depths)]
    mends = [_mend(group.plain, line) for line in group.residuals] if group.plain else []
    found = tuple(mend for mend in mends if mend)
    return Finding(group, tuple(spans), tuple(steps), found, rates(group, curves, level))


def _mend(plain: Line, line: Line) -> Mend | None:
    common = [depth for depth in plain.depths if depth in line.depths]
    if not common:
        return None
    shallow, deep = common[0], common[-1]
    ends = contrast([Term(1, plain, deep), Term(-1, line, deep)], "train", 1)
    if shallow == deep:
        return Mend(line, shallow, deep, None, None, ends)
    rise = Term(1, plain, deep), Term(-1, plain, shallow)
    rest = Term(1, line, deep), Term(-1, line, shallow)
    name = " − ".join(f"({one.name} − {other.name})" for one, other in (rise, rest))
    relief = contrast([*rise, *(Term(-term.sign, *term[1:]) for term in rest)], "train", 1, name)
    return Mend(line, shallow, deep, relief, contrast(rest, "train", -1), ends)


def numbers(found: Contrast) -> dict[str, Any]:
    """All numbers of a comparison, flat."""
    return {
        "contrast": found.name,
        "measure": found.measure,
        "n": found.n,
        "mean": found.mean,
        "std": found.std,
        "median": found.median,
        "low": found.interval.low,
        "high": found.interval.high,
        "p": found.p,
        "sides": found.sides,
        "p_greater": found.test.greater,
        "p_less": found.test.less,
        "smallest_p": found.smallest_p,
        "diverged_for": found.worse,
        "diverged_against": found.better,
        "undecided": found.undecided,
        "established": found.established,
        "pairs_needed": found.needed.pairs,
        "why_not": found.needed.why,
        "seeds": list(found.seeds),
        "differences": list(found.differences),
        "absent": list(found.absent),
    }
