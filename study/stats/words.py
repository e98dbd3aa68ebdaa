"""A verdict in words. Each word hangs on a number: "yes" needs an interval without zero and a p of at most 0.05."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from study.stats.gaps import Split
from study.stats.pairs import Contrast
from study.stats.rates import Rates, Times
from study.stats.seeds import ALPHA, fewest
from study.stats.verdict import Finding, Mend

UNKNOWN = "Cannot tell"
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
Answer = tuple[str, list[str]]
"""The short answer, and the sentences that give its numbers."""

BESIDE_DIVERGENCE = 5.0
"""Points of error that may be left where every plain network diverged, so that its rise has no size."""


# -- numbers ----------------------------------------------------------------------------------------------------------


def signed(value: float) -> str:
    """`+1.20`, `−0.35`; `diverged` for infinity."""
    if math.isinf(value):
        return "diverged" if value > 0 else "−diverged"
    return "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")


def probability(p: float) -> str:
    """`= 0.031`, `< 0.001`."""
    return f"= {p:.3f}" if p >= 0.0005 else "< 0.001"


def spread(found: Contrast) -> str:
    """`+1.20 ± 0.30`, or the one value; `diverged` where no pair has a number."""
    if not found.numbers:
        return signed(found.median)
    return signed(found.mean) + ("" if math.isnan(found.std) else f" ± {found.std:.2f}")


def bounds(low: float, high: float) -> str:
    """`+0.90 to +1.40`, or a dash where there is no interval."""
    return "–" if math.isnan(low) else f"{signed(low)} to {signed(high)}"


def evidence(found: Contrast, unpaired: bool = True) -> str:
    """The numbers of a comparison in one clause, and, where wanted, which seeds have no pair."""
    without = f"; unpaired: {', '.join(found.absent)}" if found.absent and unpaired else ""
    if not found.n:
        return "no seed has a result at both ends" + without
    if found.n == found.undecided:
        return f"none, since runs diverged with {'the one seed' if found.n == 1 else f'all {found.n} seeds'}" + without
    return ", ".join([*_numbers(found), plural(found.n, "seed")]) + _diverged(found) + without


def _numbers(found: Contrast) -> Iterator[str]:
    if found.numbers:
        yield f"{spread(found)} points"
    if len(found.numbers) > 1:
        yield f"median {signed(found.median)}"
        low, high, why = found.interval
        yield f"no interval, as {why}" if why else f"95 % interval {bounds(low, high)}"
    if found.n > 1:
        yield chance(found)


def chance(found: Contrast) -> str:
    """`p = 0.031`, and whether it is two-sided."""
    return f"p {probability(found.p)}" + ("" if found.sides == 1 else " (two-sided)")


def _diverged(found: Contrast) -> str:
    meanings = {
        "counts for the difference": found.worse,
        "counts against it": found.better,
        "decides nothing here": found.undecided,
    }
    told = [f"; with {plural(n, 'seed')} a run diverged, which {meaning}" for meaning, n in meanings.items() if n]
    return "".join(told)


def plural(count: int, noun: str) -> str:
    """`1 pair`, `3 pairs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unknown(found: Contrast) -> str:
    """`Cannot tell`, and why the difference is not established. Yes is a difference above zero."""
    values = [d for d in found.differences if not math.isnan(d)]
    if not values:
        why = "a diverged run has no such number" if found.n else "no seed has a result at both ends"
    elif not any(values):
        why = f"{'the one seed shows' if len(values) == 1 else f'all {len(values)} seeds show'} no difference at all"
    elif found.smallest_p > ALPHA:
        why = _too_few(values, found.sides)
    elif found.p > ALPHA:
        why = f"p {probability(found.p)}" + (", though the interval excludes zero" * found.interval.excludes_zero)
    else:
        why = f"the interval includes zero, though p {probability(found.p)}"
    return f"{UNKNOWN}: {why}"


def _too_few(values: Sequence[float], sides: int) -> str:
    """What the seeds point to, and that they are too few; a value above zero says yes."""
    ups, downs, n = sum(v > 0 for v in values), sum(v < 0 for v in values), len(values)
    if n == 1:
        return f"one seed says {'yes' if ups else 'no'}, but has no spread"
    least = f"fewer than {COUNTS[fewest(sides)]} cannot reach p = {ALPHA}"
    if n in (ups, downs):
        return f"all {n} seeds say {'yes' if ups else 'no'}, but {least}"
    level = f", {n - ups - downs} show no difference" if ups + downs < n else ""
    return f"{ups} of {n} seeds say yes{level}, and {least}"


# -- the five questions -----------------------------------------------------------------------------------------------


def degradation(finding: Finding) -> Answer:
    """1. Does depth raise the training error of the plain networks?"""
    plain, found = finding.group.plain, finding.degradation
    if plain is None:
        return f"{UNKNOWN}: there are no plain networks here", []
    if found is None:
        reached = f"results at one depth only ({plain.depths[0]})" if plain.depths else "no result yet"
        return f"{UNKNOWN}: the plain networks have {reached}", []
    answer = {1: "Yes", -1: "No, it lowers it", 0: unknown(found)}[found.established]
    return answer, [f"{found.name}: {evidence(found)}."]


def mending(finding: Finding, mend: Mend) -> Answer:
    """2. Does the shortcut mend it? Of one residual line."""
    if mend.relief is None or mend.rest is None:
        ends = f"At {mend.deep} layers, {mend.ends.name}: {evidence(mend.ends)}."
        return f"{UNKNOWN}: the networks have one depth in common", [ends]
    left = f"{mend.rest.name}: {evidence(mend.rest, unpaired=False)}"
    because = [
        f"Plain change minus residual change, {mend.shallow} to {mend.deep} layers: {evidence(mend.relief)}.",
        f"What is left{_fate(mend.rest)}, {left}.",
        f"At {mend.deep} layers, {mend.ends.name}: {evidence(mend.ends, unpaired=False)}.",
    ]
    return _mended(finding, mend.relief, mend.rest), because


def _fate(rest: Contrast) -> str:
    return {1: " is a rise", -1: " is a fall", 0: " cannot be told from no change"}[rest.established] * (rest.n > 1)


def _mended(finding: Finding, relief: Contrast, rest: Contrast) -> str:
    if relief.established < 0:
        return "No, depth costs more with it"
    if not relief.established:
        return unknown(relief)
    if finding.degradation is None or finding.degradation.established <= 0:
        return "Depth serves the training error better with it, but that it harms the plain networks is not established"
    if rest.established > 0 or rest.interval.low > 0 or rest.worse:
        return "In part"
    return "Yes" if _small(rest, finding.degradation) else "At least in part: what is left is uncertain"


def _small(rest: Contrast, rise: Contrast) -> bool:
    """Whether the interval of what is left ends below half of the rise of the plain networks."""
    size = rise.mean if rise.numbers else 2 * BESIDE_DIVERGENCE
    if rest.interval.why:  # values that are all equal: they stand for themselves
        return bool(rest.numbers) and len(rest.numbers) > 1 and not 2 * rest.mean > size
    return not 2 * rest.interval.high > size


def overfitting(span: Split) -> Answer:
    """3. Is the rest overfitting? Of one line."""
    because = [f"Gap: {evidence(span.gap)}."]
    if span.gap.numbers:
        parts = ", ".join(f"{name} {signed(span.per_depth(part))}" for name, part in PARTS.items())
        because.insert(0, f"Per ten layers: {parts}.")
    return _overfits(span), because


def _overfits(span: Split) -> str:
    train, gap, test = (part.established for part in (span.train, span.gap, span.test))
    if gap > 0 and train > 0:
        return "In part: training error and gap both rise"
    if gap > 0:
        rises = "and the test error with it" if test > 0 else "but the test error is not shown to rise"
        return ("Yes: the gap grows, " if test > 0 else "The gap grows, ") + rises
    if gap < 0:
        return "No, the gap shrinks"
    if train > 0 and span.gap.numbers:
        return "Not shown: the training error rises, growth of the gap is not established"
    return unknown(span.gap)


PARTS = {"test": "test", "training": "train", "gap": "gap"}


def convergence(times: Times) -> Answer:
    """4. Do deeper networks converge more slowly? Of one line."""
    because = [", ".join(f"{times.line.name(depth)} {_time(times, depth)}" for depth in times.reached) + "."]
    slopes = times.slopes
    if not slopes.n:
        return f"{UNKNOWN}: no seed has two depths of which one gets there", because
    if times.censored and not times.lower_bound:
        return f"{UNKNOWN}: shallow networks too never get there", because
    sure = ", ".join([*([chance(slopes)] if slopes.n > 1 else []), plural(slopes.n, "seed")])
    if times.lower_bound:
        told = f"at least {times.factor:.2f} ({sure}; those that never get there count as the length of a run)"
    else:
        low, high, why = slopes.interval
        between = "" if why else f"95 % interval {math.exp(10 * low):.2f} to {math.exp(10 * high):.2f}, "
        told = f"{times.factor:.2f} ({between}{sure}){_shape(times)}"
    if times.lower_bound and slopes.direction < 0:  # it could be faster or slower
        return f"{UNKNOWN}: too many never get there", because
    answer = {1: "Yes", -1: "No, they are faster", 0: unknown(slopes)}[slopes.established]
    return answer, [*because, f"Ten more layers multiply the time by {told}."]


def _time(times: Times, depth: int) -> str:
    never, median = times.never(depth), times.median(depth)
    got = "never" if math.isinf(median) else f"{median:,.0f}"
    count = len(times.reached[depth])
    return got + (f" (not in {never} of {plural(count, 'run')})" if never and count > 1 else "")


def _shape(times: Times) -> str:
    exponential, power = times.fits
    if math.isnan(exponential):
        return "; two depths cannot show whether it grows exponentially" if len(times.reached) < 3 else ""
    fit = f"{exponential:.2f} against depth (exponential), {power:.2f} against its logarithm (a power)"
    return f"; R² of the logarithm of the time {fit}"


def level(rates: Rates) -> str:
    """What convergence is timed to."""
    start = f"{rates.reference}'s first point to its last at the highest learning rate"
    where = "" if rates.given else f", half-way on a logarithmic scale from {start}"
    return f"Iterations until the running training loss is {rates.level:.3g} nats{where}; medians over seeds."


def more_seeds(finding: Finding) -> Iterator[str]:
    """5. How many seeds would it take? A sentence per headline comparison."""
    for question, found in headline(finding):
        pairs, why = found.needed
        if found.established:
            yield f"{question}: no more; {plural(found.n, 'seed')} showed it."
        elif pairs is None:
            least = fewest(found.sides)
            hint = f"; the fewest that can reach p = {ALPHA} are {COUNTS[least]}" if found.n < least else ""
            yield f"{question}: {'' if why.startswith('more') else 'no estimate, as '}{why}{hint}."
        elif pairs <= found.n:
            yield f"{question}: {pairs} might have done, but the {found.n} here did not; a few more."
        else:
            yield f"{question}: about {pairs} in all, {pairs - found.n} more."


def headline(finding: Finding) -> Sequence[tuple[str, Contrast]]:
    """The comparisons that the first three questions rest on, each with a name."""
    found = [("Depth, plain", finding.degradation)] if finding.degradation else []
    found += [(f"Mending, {mend.line.title}", mend.relief or mend.ends) for mend in finding.mends]
    return [*found, *((f"Gap, {span.line.title}", span.gap) for span in finding.spans)]
