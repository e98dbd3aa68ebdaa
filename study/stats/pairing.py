"""Two components against each other, paired by seed: does depth hurt one more than the other, and which mends it more?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from textwrap import fill
from typing import Any, NamedTuple

import pandas as pd

from study.config.differences import TRAINED, VARIANT, text
from study.errors import StudyError, nearest
from study.stats.answers import UNKNOWN, tested
from study.stats.findings import numbers
from study.stats.outcomes import Line, groups
from study.stats.pairs import Contrast, Term, contrast
from study.stats.verdict import FORMATS, WIDTH, bounds, spread
from study.text import counted

INDENT: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "  "}


class Compared(NamedTuple):
    """One comparison of the two, and its answer in words."""

    condition: str
    question: str
    answer: str
    found: Contrast


class _Side(NamedTuple):
    value: str
    rest: tuple[Any, ...]  # what two lines that are compared have in common
    condition: str
    line: Line


def compare(
    curves: pd.DataFrame, runs: pd.DataFrame | None, pair: str, training: str = "train_clean"
) -> list[Compared]:
    """Compare two values of a field, such as `block=basic,ghost`, wherever networks differ in it alone.

    No direction is expected, so every test is two-sided. Other arguments and errors as of `study.verdict`; StudyError also for a
    field or a value that the runs do not have.
    """
    field, equals, both = pair.partition("=")
    values = both.split(",")
    if not equals or len(values) != 2 or values[0] == values[1]:
        raise StudyError(f"--pair {pair}: write it as field=one,other, such as block=basic,bottleneck")
    if field == "network":
        raise StudyError(f"--pair {pair}: leave it out; the verdict compares plain and residual networks without it")
    sides = list(_sides(curves, runs, field, training))
    known = {side.value for side in sides}
    if strange := [value for value in values if value not in known]:
        raise StudyError(f"--pair {pair}: no network has {field} {strange[0]}{nearest(strange[0], known)}")
    found = list(_compared(sides, values[0], values[1]))
    if not found:
        raise StudyError(f"--pair {pair}: no two networks differ in {field} alone at a common depth")
    return found


def _sides(curves: pd.DataFrame, runs: pd.DataFrame | None, field: str, training: str) -> Iterator[_Side]:
    told = {field, "own", "own_code", "recipe_changes"}  # that follow from it, perhaps
    for group in groups(curves, runs, training):
        if field not in group.runs:
            raise StudyError(f"--pair: unknown field '{field}'{nearest(field, (*VARIANT, *TRAINED))}")
        how = [f for f in TRAINED if f in group.runs and f not in told and not f.startswith((f"{field}.", "recipe."))]
        rest = tuple(text(group.runs[f].iloc[0]) for f in how)
        for line in group.lines:
            kind = dict(line.kind)
            value = kind.get(field) if field in VARIANT else group.runs[field].iloc[0]
            own = tuple(sorted((k, str(v)) for k, v in kind.items() if k not in told and not k.startswith(f"{field}.")))
            yield _Side(text(value), (*rest, line.network, own), group.condition, line)


def _told(side: _Side, other: _Side) -> _Side:
    """With the value in its line's name, if nothing else tells the two apart: `plain-56 (bf16)`."""
    label = ", ".join(filter(None, [side.line.label, side.value]))
    return side if side.line.label != other.line.label else side._replace(line=replace(side.line, label=label))


def _compared(sides: list[_Side], a: str, b: str) -> Iterator[Compared]:
    mates = [
        (_told(one, other), _told(other, one))
        for one in sides
        for other in sides
        if (one.value, other.value) == (a, b) and one.rest == other.rest
    ]
    for one, other in mates:
        depths = sorted(set(one.line.depths) & set(other.line.depths))
        if not depths:
            continue
        deep, shallow, network = depths[-1], depths[0], one.line.network
        ends = contrast([Term(1, one.line, deep), Term(-1, other.line, deep)], "train", 0)
        worse = (f"Yes, {a} is worse", f"Yes, {b} is worse", f"{UNKNOWN}: no difference is established")
        question = f"Do {a} and {b} end with different training errors ({network}, {deep} layers)?"
        yield Compared(one.condition, question, _said(ends, worse), ends)
        if deep > shallow:
            rise = contrast([*_rise(one.line, shallow, deep), *_rise(other.line, shallow, deep, -1)], "train", 0)
            question = f"Does depth hurt one more than the other ({network}, {shallow} to {deep} layers)?"
            yield Compared(one.condition, question, _said(rise, (f"Yes, {a}", f"Yes, {b}", worse[2])), rise)
    plain = {
        (one.condition, other.condition): (one.line, other.line) for one, other in mates if one.line.network == "plain"
    }
    for one, other in mates:
        pair = plain.get((one.condition, other.condition))
        if one.line.network == "plain" or pair is None:
            continue
        shared = set.intersection(*(set(line.depths) for line in (one.line, other.line, *pair)))
        if len(shared) > 1:
            shallow, deep = min(shared), max(shared)
            terms = [
                *_rise(pair[0], shallow, deep), *_rise(one.line, shallow, deep, -1),
                *_rise(pair[1], shallow, deep, -1), *_rise(other.line, shallow, deep),
            ]  # fmt: skip
            relief = contrast(terms, "train", 0, f"relief with {a} − relief with {b}")
            question = f"Does the shortcut relieve one more than the other ({shallow} to {deep} layers)?"
            yield Compared(
                one.condition,
                question,
                _said(relief, (f"Yes, {a}", f"Yes, {b}", f"{UNKNOWN}: no difference is established")),
                relief,
            )


def _rise(line: Line, shallow: int, deep: int, sign: int = 1) -> tuple[Term, Term]:
    return Term(sign, line, deep), Term(-sign, line, shallow)


def _said(found: Contrast, words: tuple[str, str, str]) -> str:
    return {1: words[0], -1: words[1], 0: words[2]}[found.established]


def render(found: list[Compared], fmt: str = "text") -> str:
    """The comparisons as `text`, `md` or `json`, with a line break at the end."""
    if fmt not in FORMATS or fmt == "html":
        raise StudyError(f"--pair has the formats text, md and json, not '{fmt}'")
    if fmt == "json":
        rows = [{**one._asdict(), "found": numbers(one.found)} for one in found]
        return json.dumps(rows, indent=1, ensure_ascii=False, default=str) + "\n"
    lines, before = [], None
    for one in found:
        if one.condition != before:
            lines += ["", f"## {one.condition}" if fmt == "md" else one.condition, ""]
            before = one.condition
        head = f"**{one.question}** {one.answer}." if fmt == "md" else f"{one.question} {one.answer}."
        told = f"{one.found.name}: {_numbers(one.found)}"
        lines += [head, "", told, ""] if fmt == "md" else [fill(head, WIDTH), fill(told, WIDTH, **INDENT), ""]
    return "\n".join(lines).strip("\n") + "\n"


def _numbers(found: Contrast) -> str:
    if not found.numbers:
        return f"no seed has a finite difference ({counted(found.n, 'pair')})"
    interval = (
        f"no interval ({found.interval.why})" if found.interval.why else f"95 % interval {bounds(found.interval)}"
    )
    parts = [f"{spread(found)} points", interval, tested(found), counted(found.n, "seed")]
    return ", ".join(filter(None, parts)) + ("; unpaired: " + ", ".join(found.absent) if found.absent else "")
