"""The short answers of a verdict. "Yes" and "no" need a p of at most 0.05 and an interval without zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from study.stats.bca_interval import FEWEST
from study.stats.findings import Finding, Mend
from study.stats.naming import lost
from study.stats.outcomes import Line
from study.stats.pairs import Contrast, Split
from study.stats.rates import Times
from study.stats.significance import ALPHA, DRAWS, fewest
from study.text import counted

UNKNOWN = "Cannot tell"
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
BESIDE_LOST = 5.0
"""Points of error that may be left if every plain network is lost, so that its rise has no size."""


def headline(finding: Finding) -> str:
    """The training errors of the deepest comparison in one sentence, with seeds and p."""
    span, plain = next(iter(finding.spans), None), finding.group.plain
    line = span.line if span else plain
    if line is None or not (span or finding.mends):
        return "Nothing is compared yet: no seed has results of two networks."
    deep, found = (span.deep, span.train) if span else (finding.mends[0].deep, finding.mends[0].ends)
    ends = [(f"{deep} {'plain layers' if line is plain else 'layers with shortcuts'}", [line], deep)]
    if span:
        ends.append((f"{span.shallow} layers", [line], span.shallow))
    if line is plain and (mended := [mend.line for mend in finding.mends if deep in mend.line.depths]):
        ends.append((f"{deep} with shortcuts", mended, deep))
    said = ""
    for who, lines, depth in ends:
        error = _error(lines, depth)
        if "%" in error:
            error = f"at {error}" if "%" in said else f"end at {error.replace('%', '% training error', 1)}"
        said += f"{', ' * bool(said)}{who} {error}"
    return f"{said}; {_certainty(found)}."


def _error(lines: Sequence[Line], depth: int) -> str:
    """`83 %`, of several lines `1.5 to 2.3 %`: mean final training errors; `diverged` if no run has any."""
    runs = [[o.train for o in line.outcomes[depth].values() if not math.isnan(o.train)] for line in lines]
    means = sorted(fmean(finite) for errors in runs if (finite := [e for e in errors if math.isfinite(e)]))
    how = lost(o.state for line in lines for o in line.outcomes[depth].values())
    if not means:
        return how
    without, count = sum(errors.count(math.inf) for errors in runs), sum(map(len, runs))
    span = " to ".join(dict.fromkeys(map(_percent, (means[0], means[-1]))))
    return f"{span} %" + f" ({without} of {count} runs {how})" * (without > 0)


def _percent(error: float) -> str:
    return f"{error:.{0 if error >= 10 else 1 if error >= 1 else 2}f}"


def _certainty(found: Contrast) -> str:
    if math.isnan(found.p):
        return f"{counted(found.n, 'seed')}, which cannot show a difference"
    return f"{counted(found.n, 'seed')}, {tested(found)}"


def tested(found: Contrast) -> str:
    """`p = 0.031 (the least that five seeds can give)`; empty without a test."""
    if math.isnan(found.p):
        return ""
    remarks = ["two-sided"] * (found.sides == 2)
    if found.at_floor:
        seeds = f"{COUNTS.get(found.differing, found.differing)} seed{'s' * (found.differing > 1)}"
        differ = f" that differ{'s' * (found.differing == 1)}" * (found.differing < found.n)
        remarks.append(f"the least that {seeds + differ if found.test.exact else f'{DRAWS:,} draws'} can give")
    return f"p {probability(found.p)}" + f" ({', '.join(remarks)})" * bool(remarks)


def degradation(finding: Finding) -> str:
    """1. Does depth raise the training error of the plain networks?"""
    plain = finding.group.plain
    if plain is None:
        return f"{UNKNOWN}: there are no plain networks here"
    if finding.plain is None:
        reached = f"results at one depth only ({plain.depths[0]})" if plain.depths else "no result yet"
        return f"{UNKNOWN}: the plain networks have {reached}"
    found = finding.plain.train
    return {1: "Yes", -1: "No, it lowers it", 0: unknown(found)}[found.established]


def mending(finding: Finding, mend: Mend) -> str:
    """2. Does the shortcut mend it? For one residual line."""
    if mend.relief is None or mend.rest is None or mend.rise is None:
        return f"{UNKNOWN}: the networks have one depth in common"
    plain = finding.plain
    elsewhere = plain is not None and (plain.shallow, plain.deep) != (mend.shallow, mend.deep)
    between = f" ({mend.shallow} to {mend.deep} layers)" * elsewhere
    return _mended(mend.relief, mend.rise, mend.rest) + between


def _mended(relief: Contrast, rise: Contrast, rest: Contrast) -> str:
    if relief.established < 0:
        return "No, depth costs more with it"
    if not relief.established:
        return unknown(relief)
    if rise.established <= 0:
        return "Depth serves the training error better with it, but that it harms the plain networks is not established"
    low, high = rest.interval[:2]
    if len(rest.numbers) >= FEWEST and rest.interval.why:  # all values are equal
        low = high = rest.mean
    if rest.established > 0 or low > 0 or rest.worse:
        return "In part"
    size = rise.mean if rise.numbers else 2 * BESIDE_LOST
    return "Yes" if 2 * high <= size else "At least in part: what is left is uncertain"


def unmatched(finding: Finding) -> str:
    """The answer to question 2 without a pair of plain and residual networks."""
    if finding.group.plain and finding.group.residuals:
        return f"{UNKNOWN}: the networks have no depth in common"
    return f"{UNKNOWN}: there are no {'residual' if finding.group.plain else 'plain'} networks here that match"


def overfitting(span: Split) -> str:
    """3. Is the rest overfitting? For one line."""
    train, gap, test = (part.established for part in (span.train, span.gap, span.test))
    if gap < 0:
        return "No, the gap shrinks"
    if gap > 0:
        if train > 0:
            return "In part: training error and gap both rise"
        if test > 0:
            return "Yes: the gap grows, and the test error with it"
        return "The gap grows, but the test error is not shown to rise"
    if train > 0 and span.gap.numbers:
        return "Not shown: the training error rises, growth of the gap is not established"
    return unknown(span.gap)


def convergence(times: Times) -> str:
    """4. Do deeper networks converge more slowly? For one line."""
    slopes = times.slopes
    if not slopes.n:
        return f"{UNKNOWN}: no seed has two depths of which one reaches the level"
    if not times.comparable:
        which = "too many runs" if times.lower_bound else "shallow networks too"
        return f"{UNKNOWN}: {which} never reach the level"
    if slopes.direction and not times.trend:
        return f"{UNKNOWN}: the time does not keep rising, or falling, from one depth to the next"
    return {1: "Yes", -1: "No, they are faster", 0: unknown(slopes)}[slopes.established]


def compared(finding: Finding) -> list[tuple[str, Contrast]]:
    """5. The comparisons that the first three answers rest on, each with a name."""
    found = [("Depth", finding.degradation)] if finding.degradation else []
    several = len(finding.mends) > 1
    for mend in finding.mends:
        name = "Mending" if mend.relief else f"Plain against residual at {mend.deep} layers"
        found.append((name + f", {mend.line.title}" * several, mend.relief or mend.ends))
    return [*found, *((f"Gap, {span.line.title}", span.gap) for span in finding.spans)]


def more_seeds(found: Contrast) -> str:
    """5. How many seeds would it take? For one comparison."""
    pairs, why = found.needed
    if found.established:
        return f"no more; {counted(found.n, 'seed')} showed it"
    if pairs is None:
        least = fewest(found.sides)
        hint = f"; at least {COUNTS[least]} are needed to reach p = {ALPHA}" if found.n < least else ""
        return f"{'' if why.startswith('more') else 'no estimate: '}{why}{hint}"
    if pairs <= found.n:
        return f"{pairs} might have been enough, but the {found.n} here were not; a few more"
    return f"about {pairs} in all, {pairs - found.n} more"


def unknown(found: Contrast) -> str:
    """`Cannot tell`, and why the difference is not established."""
    values = [d for d in found.differences if not math.isnan(d)]
    if not values:
        why = f"runs that {found.lost} have no such number" if found.n else "no seed has a result at both ends"
    elif len(values) > 1 and not any(values):
        why = f"{_all(len(values))} seeds show no difference at all"
    elif not found.smallest_p <= ALPHA:
        why = f"{_signs(values)}; at least {COUNTS[fewest(found.sides)]} are needed"
    elif found.p > ALPHA:
        why = f"p {probability(found.p)}" + (", though the interval excludes zero" * found.interval.excludes_zero)
    else:
        why = f"the interval includes zero, though p {probability(found.p)}"
    return f"{UNKNOWN}: {why}"


def _signs(values: list[float]) -> str:
    """How many seeds have a difference above zero; nothing about one seed."""
    if len(values) == 1:
        return "one seed cannot show a difference"
    above, below = sum(value > 0 for value in values), sum(value < 0 for value in values)
    count, side = (above, "above") if above >= below else (below, "below")
    return (
        f"the difference is {side} zero in {_all(count) if count == len(values) else f'{count} of {len(values)}'} seeds"
    )


def _all(count: int) -> str:
    return "both" if count == 2 else f"all {count}"


def signed(value: float) -> str:
    """`+1.20`, `−0.35`, `+∞`; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−").replace("inf", "∞")


def probability(p: float) -> str:
    """`= 0.031`, `< 0.001`, or a dash for NaN."""
    if math.isnan(p):
        return "–"
    return f"= {p:.3f}" if p >= 0.0005 else "< 0.001"
