"""The short answers of a verdict. "Yes" and "no" need a p of at most 0.05 and an interval without zero."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from study.stats.bca_interval import FEWEST
from study.stats.findings import Finding, Mend
from study.stats.pairs import Contrast, Split
from study.stats.rates import Times
from study.stats.significance import ALPHA, fewest

UNKNOWN = "Cannot tell"
BETTER = "Depth serves the training error better with it"
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
BESIDE_DIVERGENCE = 5.0
"""Points of error that may be left if every plain network diverged, so that its rise has no size."""


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
        pairs = zip(relief.differences, rise.differences, rest.differences, strict=True)
        return unknown(relief, [_mended_by_one(*three) for three in pairs if not math.isnan(three[0])])
    if rise.established <= 0:
        return f"{BETTER}, but that it harms the plain networks is not established"
    low, high = rest.interval[:2]
    if len(rest.numbers) >= FEWEST and rest.interval.why:  # all values are equal
        low = high = rest.mean
    if rest.established > 0 or low > 0 or rest.worse:
        return "In part"
    size = rise.mean if rise.numbers else 2 * BESIDE_DIVERGENCE
    return "Yes" if 2 * high <= size else "At least in part: what is left is uncertain"


def _mended_by_one(relief: float, rise: float, rest: float) -> str:
    """The answer of one seed: its values stand for the intervals."""
    if relief <= 0:
        return "no" if relief else ""
    if not rise > 0:
        return BETTER.lower()
    return "in part" if rest > 0 else "yes"


def unmatched(finding: Finding) -> str:
    """The answer to question 2 without a pair of plain and residual networks."""
    if not finding.group.residuals:
        return f"{UNKNOWN}: there are no residual networks here that match"
    if not finding.group.plain:
        return f"{UNKNOWN}: there are no plain networks here that match"
    return f"{UNKNOWN}: the networks have no depth in common"


def overfitting(span: Split) -> str:
    """3. Is the rest overfitting? For one line."""
    train, gap, test = (part.established for part in (span.train, span.gap, span.test))
    if gap > 0 and train > 0:
        return "In part: training error and gap both rise"
    if gap > 0:
        return (
            "Yes: the gap grows, and the test error with it"
            if test > 0
            else "The gap grows, but the test error is not shown to rise"
        )
    if gap < 0:
        return "No, the gap shrinks"
    if train > 0 and span.gap.numbers:
        return "Not shown: the training error rises, growth of the gap is not established"
    train_of, test_of = (dict(zip(part.seeds, part.differences, strict=True)) for part in (span.train, span.test))
    gaps = zip(span.gap.seeds, span.gap.differences, strict=True)
    says = [_overfits_by_one(gap, train_of[seed], test_of[seed]) for seed, gap in gaps if not math.isnan(gap)]
    return unknown(span.gap, says)


def _overfits_by_one(gap: float, train: float, test: float) -> str:
    if gap <= 0:
        return "no" if gap else ""
    if train > 0:
        return "in part"
    return "yes" if test > 0 else "the gap grows, but not the test error"


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


def headline(finding: Finding) -> list[tuple[str, Contrast]]:
    """5. The comparisons that the first three answers rest on, each with a name."""
    found = [("Depth, plain", finding.degradation)] if finding.degradation else []
    found += [(f"Mending, {mend.line.title}", mend.relief or mend.ends) for mend in finding.mends]
    return [*found, *((f"Gap, {span.line.title}", span.gap) for span in finding.spans)]


def more_seeds(found: Contrast) -> str:
    """5. How many seeds would it take? For one comparison."""
    pairs, why = found.needed
    if found.established:
        return f"no more; {found.n} seed{'s' * (found.n != 1)} showed it"
    if pairs is None:
        least = fewest(found.sides)
        hint = f"; at least {COUNTS[least]} are needed to reach p = {ALPHA}" if found.n < least else ""
        return f"{'' if why.startswith('more') else 'no estimate: '}{why}{hint}"
    if pairs <= found.n:
        return f"{pairs} might have been enough, but the {found.n} here were not; a few more"
    return f"about {pairs} in all, {pairs - found.n} more"


def unknown(found: Contrast, says: Sequence[str] | None = None) -> str:
    """`Cannot tell`, and why the difference is not established.

    `says` is the answer that each decided seed points to, empty for no difference; by default yes above zero, no below.
    """
    values = [d for d in found.differences if not math.isnan(d)]
    if not values:
        why = "diverged runs have no such number" if found.n else "no seed has a result at both ends"
    elif not any(values):
        why = f"{'the one seed shows' if len(values) == 1 else f'{_all(len(values))} seeds show'} no difference at all"
    elif not found.smallest_p <= ALPHA:
        why = _too_few(["yes" if d > 0 else "no" if d else "" for d in values] if says is None else says, found.sides)
    elif found.p > ALPHA:
        why = f"p {probability(found.p)}" + (", though the interval excludes zero" * found.interval.excludes_zero)
    else:
        why = f"the interval includes zero, though p {probability(found.p)}"
    return f"{UNKNOWN}: {why}"


def _too_few(says: Sequence[str], sides: int) -> str:
    """What the seeds point to, and how many are needed."""
    least = f"at least {COUNTS[fewest(sides)]} are needed"
    if len(says) == 1:
        return f"one seed points to '{says[0]}'; {least}"
    ranked = Counter(sorted(says)).most_common()
    if len(ranked) == 1:
        return f"{_all(len(says))} seeds point to '{says[0]}'; {least}"
    told = ", ".join(f"{n} to '{word}'" if word else f"{n} to no difference" for word, n in ranked)
    verb = "points" if ranked[0][1] == 1 else "point"
    return f"of {len(says)} seeds {told.replace(' to ', f' {verb} to ', 1)}; {least}"


def _all(count: int) -> str:
    return "both" if count == 2 else f"all {count}"


def signed(value: float) -> str:
    """`+1.20`, `−0.35`; `diverged` for infinity."""
    if math.isinf(value):
        return "diverged" if value > 0 else "−diverged"
    return "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")


def probability(p: float) -> str:
    """`= 0.031`, `< 0.001`, or a dash for NaN."""
    if math.isnan(p):
        return "–"
    return f"= {p:.3f}" if p >= 0.0005 else "< 0.001"
