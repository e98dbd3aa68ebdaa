"""A verdict in words. Each word hangs on a number: "yes" needs an interval without zero and a p of at most 0.05."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from study.stats.findings import Finding, Mend
from study.stats.gaps import Split
from study.stats.intervals import FEWEST
from study.stats.pairs import Contrast
from study.stats.rates import Rates, Times
from study.stats.sign_flip import DRAWS
from study.stats.significance import ALPHA, fewest

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
    """`= 0.031`, `< 0.001`, or a dash where there is none."""
    if math.isnan(p):
        return "–"
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
    if not math.isnan(found.p):
        yield chance(found)


def chance(found: Contrast) -> str:
    """`p = 0.031`, and whether it is two-sided, and the smallest that there can be."""
    more = ["two-sided"] if found.sides == 2 else []
    if found.at_floor:
        signed_pairs = sum(d != 0 and not math.isnan(d) for d in found.differences)
        most = f"{COUNTS.get(signed_pairs, signed_pairs)} seed{'s' * (signed_pairs != 1)}"
        most += (" that differs" if signed_pairs == 1 else " that differ") * (signed_pairs < found.n)
        more.append(f"the smallest that {most if found.test.exact else f'{DRAWS:,} draws'} can give")
    return f"p {probability(found.p)}" + (f" ({', '.join(more)})" if more else "")


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


def unknown(found: Contrast, says: Sequence[str] | None = None) -> str:
    """`Cannot tell`, and why the difference is not established.

    `says` is the answer that each seed that decides points to, empty where it shows no difference; by default yes for a
    difference above zero and no for one below.
    """
    values = [d for d in found.differences if not math.isnan(d)]
    if not values:
        why = "a diverged run has no such number" if found.n else "no seed has a result at both ends"
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
    """What the seeds point to, and that they are too few."""
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


# -- the five questions -----------------------------------------------------------------------------------------------


def degradation(finding: Finding) -> Answer:
    """1. Does depth raise the training error of the plain networks?"""
    plain, span = finding.group.plain, finding.plain
    if plain is None:
        return f"{UNKNOWN}: there are no plain networks here", []
    if span is None:
        reached = f"results at one depth only ({plain.depths[0]})" if plain.depths else "no result yet"
        return f"{UNKNOWN}: the plain networks have {reached}", []
    found = span.train
    answer = {1: "Yes", -1: "No, it lowers it", 0: unknown(found)}[found.established]
    ends = [plain.outcomes[depth][seed].train for depth in (span.shallow, span.deep) for seed in found.seeds]
    floor = ["All of these errors are 0 %, where no difference can be seen."] if ends and not any(ends) else []
    return answer, [f"{found.name}: {evidence(found)}.", *floor, *_left_out(span)]


def _left_out(compared: Split | Mend) -> list[str]:
    """A sentence on the networks beyond the two depths that are compared."""
    return [f"Left out, having too few seeds: {', '.join(compared.left_out)}."] if compared.left_out else []


def mending(finding: Finding, mend: Mend) -> Answer:
    """2. Does the shortcut mend it? Of one residual line."""
    if mend.relief is None or mend.rest is None or mend.rise is None:
        ends = f"At {mend.deep} layers, {mend.ends.name}: {evidence(mend.ends)}."
        return f"{UNKNOWN}: the networks have one depth in common", [ends]
    between = f"{mend.shallow} to {mend.deep} layers"
    left = f"{mend.rest.name}: {evidence(mend.rest, unpaired=False)}{_share(mend.rest, mend.rise)}"
    because = [
        f"Plain change minus residual change, {between}: {evidence(mend.relief)}.",
        f"What is left{_fate(mend.rest)}, {left}.",
        f"At {mend.deep} layers, {mend.ends.name}: {evidence(mend.ends, unpaired=False)}.",
        *_left_out(mend),
    ]
    plain = finding.plain
    elsewhere = plain is not None and (plain.shallow, plain.deep) != (mend.shallow, mend.deep)
    return _mended(mend.relief, mend.rise, mend.rest) + f" ({between})" * elsewhere, because


def _fate(rest: Contrast) -> str:
    return {1: " is a rise", -1: " is a fall", 0: " cannot be told from no change"}[rest.established] * (rest.n > 1)


def _share(rest: Contrast, rise: Contrast) -> str:
    """What is left as a share of the rise of the plain networks, of the same seeds between the same depths."""
    if not rest.numbers or len(rest.numbers) != rest.n or len(rise.numbers) != rise.n or rise.mean <= 0:
        return ""
    share = round(100 * rest.mean / rise.mean)  # whole, so that there is no −0 %
    return f"; that is {share} % of the plain rise of {signed(rise.mean)}".replace("-", "−")


def _mended(relief: Contrast, rise: Contrast, rest: Contrast) -> str:
    if relief.established < 0:
        return "No, depth costs more with it"
    if not relief.established:
        pairs = zip(relief.differences, rise.differences, rest.differences, strict=True)
        return unknown(relief, [_points_to(*three) for three in pairs if not math.isnan(three[0])])
    if rise.established <= 0:
        return f"{SERVES}, but that it harms the plain networks is not established"
    low, high = rest.interval[:2]
    if len(rest.numbers) >= FEWEST and rest.interval.why:  # values that are all equal: they stand for themselves
        low = high = rest.mean
    if rest.established > 0 or low > 0 or rest.worse:
        return "In part"
    size = rise.mean if rise.numbers else 2 * BESIDE_DIVERGENCE
    return "Yes" if 2 * high <= size else "At least in part: what is left is uncertain"


SERVES = "Depth serves the training error better with it"


def _points_to(relief: float, rise: float, rest: float) -> str:
    """The answer of one seed, by the rule for many: its values stand for the intervals."""
    if relief <= 0:
        return "no" if relief else ""
    if not rise > 0:
        return SERVES.lower()
    return "in part" if rest > 0 else "yes"


def overfitting(span: Split) -> Answer:
    """3. Is the rest overfitting? Of one line."""
    because = [f"Gap, {span.gap.name}: {evidence(span.gap)}.", *_left_out(span)]
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
    train_of, test_of = (dict(zip(part.seeds, part.differences, strict=True)) for part in (span.train, span.test))
    gaps = zip(span.gap.seeds, span.gap.differences, strict=True)
    says = [_blames(gap, train_of[seed], test_of[seed]) for seed, gap in gaps if not math.isnan(gap)]
    return unknown(span.gap, says)


def _blames(gap: float, train: float, test: float) -> str:
    """The answer of one seed, by the rule for many."""
    if gap <= 0:
        return "no" if gap else ""
    if train > 0:
        return "in part"
    return "yes" if test > 0 else "the gap grows, but not the test error"


PARTS = {"test": "test", "training": "train", "gap": "gap"}


def convergence(times: Times) -> Answer:
    """4. Do deeper networks converge more slowly? Of one line."""
    because = [", ".join(f"{times.line.name(depth)} {_time(times, depth)}" for depth in times.reached) + "."]
    slopes = times.slopes
    if not slopes.n:
        return f"{UNKNOWN}: no seed has two depths of which one gets there", because
    if times.censored and not times.lower_bound:
        return f"{UNKNOWN}: shallow networks too never get there", because
    sure = ", ".join([*([] if math.isnan(slopes.p) else [chance(slopes)]), plural(slopes.n, "seed")])
    if times.lower_bound and slopes.direction < 0:  # it could be faster or slower
        return f"{UNKNOWN}: too many never get there", because
    shape = _shape(times)
    if slopes.direction and not times.trend:
        turns = "from one depth to the next the time does not keep rising, or falling, with depth"
        return f"{UNKNOWN}: {turns}", [*because, *([f"{shape}."] if shape else [])]
    if times.lower_bound:
        told = f"at least {times.factor:.2f} ({sure}; those that never get there count as the length of a run)"
    else:
        low, high, why = slopes.interval
        between = "" if why else f"95 % interval {math.exp(10 * low):.2f} to {math.exp(10 * high):.2f}, "
        told = f"{times.factor:.2f} ({between}{sure})" + (f"; {shape}" if shape else "")
    answer = {1: "Yes", -1: "No, they are faster", 0: unknown(slopes)}[slopes.established]
    return answer, [*because, f"Ten more layers multiply the time by {told}."]


def _time(times: Times, depth: int) -> str:
    never, median = times.never(depth), times.median(depth)
    got = "never" if math.isinf(median) else f"{median:,.0f}"
    count, most = len(times.reached[depth]), max(map(len, times.reached.values()))
    if never and count > 1:
        return f"{got} (not in {never} of {plural(count, 'run')})"
    return got + f" ({plural(count, 'run')})" * (count < most)


def _shape(times: Times) -> str:
    exponential, power = times.fits
    if math.isnan(exponential):
        return "two depths cannot show whether it grows exponentially" if len(times.reached) < 3 else ""
    fit = f"{exponential:.2f} against depth (exponential), {power:.2f} against its logarithm (a power)"
    return f"R² of the logarithm of the time {fit}"


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
