"""Cures of degradation side by side: what each takes away of the plain rise in error, and is it as good as the shortcut?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from study.config.registry import DATA
from study.config.stored import nested, recorded
from study.stats.findings import Finding
from study.stats.naming import network_title
from study.stats.outcomes import Line
from study.stats.pairs import Term, contrast
from study.stats.significance import ALPHA, holm, student
from study.text import counted, listed

AT_CHANCE = 0.9  # of the error of guessing: a network with a larger training error has learned too little
MARGIN = 0.05  # of the plain rise: a cure that ends less than this above the shortcut is as good
ANSWERS = {
    "as good": f"As good as the shortcut, less than {100 * MARGIN:.0f} % of the plain rise above it",
    "mends": "Mend it, but are not shown to be as good",
    "in part": "In part",
    "cannot tell": "No effect is established",
    "worse": "Worse than the plain network",
    "does not train": "Do not train",
}


def compare(findings: Sequence[Finding]) -> pd.DataFrame:
    """Compare the networks of each condition with its usual plain and its usual residual one, where there are others.

    One row per network and depth, best first. `condition`, `cure` (its name), `role` (plain, shortcut or cure), `network`,
    `norm`, `depth`, `shallow` and `deep` (the ends of the plain headline), `rise` (of the plain training error from `shallow` to
    this depth, in points; NaN unless above 0), `rises` (whether that is established), `run_ids`, `n` (runs done), `error_mean`
    and `error_std` (training error in percent); `untrained`: `at chance` or `diverged` where no run is better; `lost`: that, or
    which runs are so, such as `4 of 5 diverged`. Above `shallow`:

    - `share`: plain - cure in training error, paired by seed, in percent of `rise`; `share_low` and `share_high`: its BCa
      interval; `shares`: by seed. At 100, the cure is as good as the shallow plain network.
    - `p_holm`: of the paired t-test that it takes something away, corrected for the number of cures; of the sign-flip test five
      seeds would leave nothing after a correction. `p_as_good`: likewise that it is less than `MARGIN` above the shortcut.
    - `answer`: one of `ANSWERS`. Yes and no also need the sign-flip test and the interval, as for any verdict.
    """
    rows: list[dict[str, Any]] = []
    for finding in findings:
        plain, span, condition = finding.group.plain, finding.plain, finding.group.condition
        usual = [line for line in finding.group.lines if "," not in _name(line)]
        shortcut = next((line for line in usual if line is not plain), None)
        if plain not in usual or plain is None or span is None or shortcut is None:
            continue
        alike = [line for one in findings if one.group.condition == condition for line in one.group.lines]
        lines = [line for line in alike if _family(line) == _family(plain)]
        if len(lines) > 2 and all(row["condition"] != condition for row in rows):
            same = {"condition": condition, "shallow": span.shallow, "deep": span.deep}
            guess = chance(finding.group.runs) or math.inf
            depths = [depth for depth in plain.depths if span.shallow <= depth <= span.deep]
            mine = [same | row for depth in depths for row in _at(depth, span.shallow, plain, shortcut, lines, guess)]
            ends = {row["cure"]: (row["untrained"] != "", -_known(row)) for row in mine if row["depth"] == span.deep}
            mine = [row for row in mine if row["cure"] in ends]
            rows += sorted(mine, key=lambda row: (ends[row["cure"]], row["cure"], row["depth"]))
    return pd.DataFrame(rows)


def _known(row: Mapping[Any, Any]) -> float:
    share = row.get("share", 0.0)
    return -math.inf if math.isnan(share) else float(share)


def _family(line: Line) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in line.kind if name.partition(".")[0] == "family"]


def chance(runs: pd.DataFrame) -> float | None:
    """The error of guessing in percent, where all runs are of data sets with the same known number of classes."""
    known = {DATA[name].classes if name in DATA else None for name in map(str, runs["data"])}
    classes = known.pop() if len(known) == 1 else None
    return 100 * (1 - 1 / classes) if classes else None


def name_of(fields: Mapping[Any, Any]) -> str:
    """`ResNet`, or `plain, no norm, lsuv`: a kind of network by its fields, in what it differs from the usual one."""
    details = recorded(nested({**fields, "recipe": "unknown"})).details
    return ", ".join([network_title(str(fields["network"])), *details]).replace("_", " ")


def _name(line: Line) -> str:
    return name_of({"network": line.network, "depth": max(line.outcomes), **dict(line.kind)})


def _at(
    depth: int, shallow: int, plain: Line, shortcut: Line, lines: Sequence[Line], guess: float
) -> list[dict[str, Any]]:
    """The rows of one depth."""
    change = contrast([Term(1, plain, depth), Term(-1, plain, shallow)], "train", 1)
    rise = change.mean if change.mean > 0 else math.nan
    rows = []
    for line in lines:
        if depth in line.outcomes:
            role = {id(plain): "plain", id(shortcut): "shortcut"}.get(id(line), "cure")
            row = _row(line, depth, guess) | {"role": role, "rise": rise, "rises": change.established > 0}
            rows.append(
                row if depth == shallow or role == "plain" else row | _share(plain, shortcut, line, depth, rise)
            )
    cures = [row for row in rows if row["role"] == "cure" and "share" in row]
    for name in ("p_holm", "p_as_good"):
        for row, p in zip(cures, holm([row[name] for row in cures]), strict=True):
            row[name] = p
    return [row | {"answer": _answer(row)} for row in rows]


def _row(line: Line, depth: int, guess: float) -> dict[str, Any]:
    outcomes = line.outcomes[depth].values()
    errors = [outcome.train for outcome in outcomes if math.isfinite(outcome.train)]
    bad = sum(o.state == "at_chance" or AT_CHANCE * guess <= o.train < math.inf for o in outcomes)
    ways = {"at chance": bad, "diverged": sum(outcome.state == "diverged" for outcome in outcomes)}
    all_lost = max(ways, key=lambda how: ways[how]) if sum(ways.values()) == len(outcomes) else ""
    return {
        "cure": _name(line),
        "network": line.network, "norm": dict(line.kind).get("norm", "batch"), "depth": depth,
        "run_ids": [outcome.run_id for outcome in outcomes],
        "n": sum(outcome.state == "done" for outcome in outcomes),
        "error_mean": fmean(errors) if errors else math.nan,
        "error_std": stdev(errors) if len(errors) > 1 else math.nan,
        "untrained": all_lost,
        "lost": all_lost or listed(f"{n} of {len(outcomes)} {how}" for how, n in ways.items() if n),
    }  # fmt: skip


def _share(plain: Line, shortcut: Line, line: Line, depth: int, rise: float) -> dict[str, Any]:
    """What a network takes away of the rise; the p-values not yet corrected."""
    taken = contrast([Term(1, plain, depth), Term(-1, line, depth)], "train", 1)
    above = student(taken.differences)
    beside = (
        contrast([Term(1, line, depth), Term(-1, shortcut, depth)], "train", 0) if depth in shortcut.outcomes else None
    )
    values = {"share": taken.mean, "share_low": taken.interval.low, "share_high": taken.interval.high}
    return {
        **{name: 100 * value / rise for name, value in values.items()},
        "shares": {seed: 100 * value / rise for seed, value in zip(taken.seeds, taken.differences, strict=True)},
        "established": taken.established,
        "p_holm": above if taken.sides == 1 else min(1.0, 2 * (1 - above)),
        "p_as_good": student([MARGIN * rise - value for value in beside.differences]) if beside else math.nan,
    }


def _answer(row: Mapping[Any, Any]) -> str:
    if row["untrained"]:
        return "does not train"
    if row["role"] != "cure" or "share" not in row:
        return ""
    if not row["rises"] or not row["established"] or not row["p_holm"] <= ALPHA:
        return "cannot tell"
    low = row["share"] if math.isnan(row["share_low"]) else row["share_low"]
    better = "as good" if row["p_as_good"] <= ALPHA else "mends"
    return "worse" if row["established"] < 0 else "in part" if low < 50 else better


def untrained(rows: Iterable[Mapping[Any, Any]]) -> str:
    """Of the rows of one kind of network: `1 of 5 at chance at 20 and 56; diverged at 110`, or nothing."""
    depths: dict[str, list[int]] = {}
    for row in rows:
        depths.setdefault(row["lost"], []).append(row["depth"])
    return "; ".join(f"{how} at {listed(where)}" for how, where in depths.items() if how)


def headline(cures: pd.DataFrame) -> str:
    """Of the table of one condition: how many cures mend the rise, and how many of them are as good as the shortcut."""
    mine = cures[(cures["role"] == "cure") & (cures["depth"] == cures["deep"])]
    span, rise = f"from {mine['shallow'].iloc[0]} to {mine['deep'].iloc[0]} layers", mine["rise"].iloc[0]
    if not mine["rises"].all():
        return f"Nothing to mend is established: a rise of the plain training error {span} is not."
    good, more = ((mine["answer"] == answer).sum() for answer in ("as good", "mends"))
    mending = f"{good + more} of {counted(len(mine), 'cure')} mend the plain rise of {rise:.3g} points {span}"
    return f"{mending}, {good} of them as well as the shortcut."


def answers(cures: pd.DataFrame) -> Iterator[str]:
    """Of the table of one condition: the cures with each answer, such as `In part: plain, repvgg (63 %, 1 of 5 diverged).`"""
    mine = cures[(cures["role"] == "cure") & (cures["depth"] == cures["deep"])]
    for answer, head in ANSWERS.items():
        same = mine[mine["answer"] == answer]
        shares = [f"{share:.0f} %".replace("-", "−") for share in same["share"]]
        told = zip(same["untrained"].where(same["untrained"] != "", shares), same["lost"], strict=True)
        known = [", ".join(filter(None, dict.fromkeys(words))) for words in told]
        if len(same):
            yield f"{head}: {'; '.join(f'{name} ({words})' for name, words in zip(same['cure'], known, strict=True))}."
