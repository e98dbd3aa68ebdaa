"""A verdict laid out: as text for a terminal, as Markdown, or as JSON for programs."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from study.errors import StudyError, nearest
from study.stats import words
from study.stats.findings import Finding, numbers
from study.stats.intervals import FEWEST

WIDTH = 110
TRAINING = {
    "train_clean": "training error in evaluation mode, without augmentation",
    "train": "training error running, in training mode, on augmented images",
}
CAVEATS = (
    "Differences are paired by seed, in points of error, mean ± standard deviation. Intervals: BCa bootstrap of the "
    f"mean, from {FEWEST} seeds on; with few seeds narrower than 95 %. p: sign-flip test, one-sided where a difference "
    "points the way that He et al. (2015) found, else two-sided. Yes and no take both a p of at most 0.05 and an interval "
    "without zero. The side follows the data, and nothing is corrected for the number of answers: of ten where nothing is "
    "to be found, expect one in two such verdicts to have a wrong one."
)
FLOOR = "†"
LEAST = f"{FLOOR} the smallest p that so many seeds can give."
ESTIMATE = (
    "That many would have a chance of 80 % to show the difference, if mean and spread are as these seeds have them: an "
    "estimate, and a rough one from few seeds."
)


class Said(NamedTuple):
    """An answer: to which question, about which line (empty where there is one only), and the numbers behind it."""

    question: str
    about: str
    answer: str
    because: Sequence[str]


class Block(NamedTuple):
    """A piece of the report: `title`, `head`, `text`, `item` or `table`; a table's rows begin with its heads."""

    kind: str
    text: str = ""
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Verdict:
    """The findings, one per group; `print` it, or let a notebook show it."""

    findings: tuple[Finding, ...]
    training: str

    def __str__(self) -> str:
        return render(self, "text")

    def _repr_markdown_(self) -> str:
        return render(self, "md")

    def table(self) -> pd.DataFrame:
        """One row per comparison, with all its numbers, in points of error; see `study.stats.pairs.Contrast`."""
        rows = [
            {"condition": finding.group.condition, "question": question, **numbers(found)}
            for finding in self.findings
            for question, found in finding.contrasts()
        ]
        return pd.DataFrame(rows)


def render(verdict: Verdict, fmt: str = "text") -> str:
    """The verdict as `text`, `md` or `json`, with a line break at its end.

    Raises
    ------
    StudyError
        An unknown format.
    """
    if fmt == "json":
        return json.dumps(as_data(verdict), indent=1, ensure_ascii=False) + "\n"
    if fmt not in LAYOUTS:
        raise StudyError(f"unknown verdict format '{fmt}'{nearest(fmt, [*LAYOUTS, 'json'])}")
    return LAYOUTS[fmt](blocks(verdict))


def blocks(verdict: Verdict) -> list[Block]:
    """What is said, in order, for a layout."""
    found = [block for finding in verdict.findings for block in _blocks(finding, verdict.training)]
    return [*found, Block("head", "How to read this"), Block("text", CAVEATS)]


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data: no NaN (null) and no infinity ("diverged")."""
    return {
        "training": verdict.training,
        "findings": [
            _plain(
                {
                    "condition": finding.group.condition,
                    "networks": [line.name(depth) for line in finding.group.lines for depth in line.outcomes],
                    "absences": finding.absences,
                    "answers": [
                        {"question": said.question, "about": said.about, "answer": said.answer, "because": said.because}
                        for said in _answers(finding)
                    ],
                    "contrasts": [{"question": q, **numbers(found)} for q, found in finding.contrasts()],
                    "convergence": _convergence_data(finding),
                }
            )
            for finding in verdict.findings
        ],
    }


def _convergence_data(finding: Finding) -> dict[str, Any] | None:
    if finding.rates is None:
        return None
    lines = [
        {
            "network": times.line.network,
            "label": times.line.label,
            "iterations": {str(depth): _or_never(seeds) for depth, seeds in times.reached.items()},
            "slopes": numbers(times.slopes),
            "factor_of_ten_layers": times.factor,
            "lower_bound": times.lower_bound,
            "r2_exponential": times.fits[0],
            "r2_power": times.fits[1],
        }
        for times in finding.rates.times
    ]
    return {"level": finding.rates.level, "reference": finding.rates.reference, "lines": lines}


def _or_never(seeds: Mapping[int, float]) -> dict[str, float | str]:
    return {str(seed): "never" if math.isinf(time) else time for seed, time in seeds.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "diverged" if value > 0 else "-diverged"
    return value


# -- what is said, in order -------------------------------------------------------------------------------------------


QUESTIONS = (
    "1. Does depth raise the training error of the plain networks?",
    "2. Does the shortcut mend it?",
    "3. Is the rest overfitting?",
    "4. Do deeper networks converge more slowly?",
    "5. How many seeds would it take?",
)


def _answers(finding: Finding) -> Iterator[Said]:
    """The answers to the first four questions, in order; one question may have an answer for each line."""
    depth, mends, gaps, speed, _ = QUESTIONS
    yield Said(depth, "", *words.degradation(finding))
    for mend in finding.mends:
        about = mend.line.title if len(finding.mends) > 1 else ""
        yield Said(mends, about, *words.mending(finding, mend))
    if not finding.mends:
        yield Said(mends, "", f"{words.UNKNOWN}: {_unmatched(finding)}", [])
    for span in finding.spans:
        yield Said(gaps, span.line.title, *words.overfitting(span))
    if not finding.spans:
        yield Said(gaps, "", f"{words.UNKNOWN}: no network has results at two depths", [])
    timed = [times for times in finding.rates.times if len(times.reached) > 1] if finding.rates else []
    for times in timed:
        yield Said(speed, times.line.title, *words.convergence(times))
    if not timed:
        yield Said(speed, "", f"{words.UNKNOWN}: no network has a falling training loss at two depths", [])


def _unmatched(finding: Finding) -> str:
    if not finding.group.residuals:
        return "there are no residual networks here that match"
    return (
        "the networks have no depth in common" if finding.group.plain else "there are no plain networks here that match"
    )


def _blocks(finding: Finding, training: str) -> Iterator[Block]:
    runs = finding.group.runs
    done = int((runs["state"] == "done").sum())
    yield Block("title", finding.group.condition)
    yield Block("text", f"{done} of {len(runs)} runs done. Errors in % at the last iteration; {TRAINING[training]}.")
    yield from (Block("item", f"{line}.") for line in finding.absences)
    yield Block("table", rows=_points(finding))
    tables = {
        QUESTIONS[0]: _steps(finding, "plain"),
        QUESTIONS[1]: _steps(finding, "residual"),
        QUESTIONS[2]: _parts(finding),
    }
    said = list(_answers(finding))
    for question in QUESTIONS[:4]:
        lead = words.level(finding.rates) if question == QUESTIONS[3] and finding.rates else ""
        yield from _answered(
            question, [one for one in said if one.question == question], lead, tables.get(question, [])
        )
    yield Block("head", QUESTIONS[4])
    needs = list(words.more_seeds(finding))
    yield from (Block("item", need) for need in needs)
    if any("about" in need for need in needs):
        yield Block("text", ESTIMATE)
    if not needs:
        yield Block("text", "Nothing is compared here, so nothing can be estimated.")


def _answered(question: str, said: Sequence[Said], lead: str, rows: list[list[str]]) -> Iterator[Block]:
    """The question with its answer, or with an answer to each line, and a table if it has one."""
    if len(said) == 1 and not said[0].about:
        yield Block("head", f"{question} {said[0].answer}.")
        yield from (Block("text", sentence) for sentence in said[0].because)
    else:
        yield Block("head", question)
        yield from [Block("text", lead)] * bool(lead)
        yield from (Block("item", " ".join([f"{one.about}: {one.answer}.", *one.because])) for one in said)
    if rows:
        yield Block("table", rows=rows)
    if any(cell.endswith(FLOOR) for row in rows for cell in row):
        yield Block("text", LEAST)


def _points(finding: Finding) -> list[list[str]]:
    """A row per network: how many runs, and mean ± std and median of its final errors."""
    rows = [["network", "done", "training error", "median", "test error", "median", "gap"]]
    for line in finding.group.lines:
        for depth, seeds in line.outcomes.items():
            columns = [[o.value(m) for o in seeds.values() if o.state == "done"] for m in ("train", "test", "gap")]
            train, test, gap = (pd.Series(column, dtype=float) for column in columns)
            cells = [_mean(train), _cell(train.median()), _mean(test), _cell(test.median()), words.signed(gap.mean())]
            rows.append([line.name(depth), f"{len(train)}/{len(seeds)}", *cells])
    return rows


def _mean(values: pd.Series) -> str:
    return _cell(values.mean()) + ("" if len(values) < 2 else f" ± {values.std():.2f}")


def _cell(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _steps(finding: Finding, network: str) -> list[list[str]]:
    """A row per step between neighbours in depth: how the training error changes."""
    rows = [["change of training error", "mean ± std", "median", "95 % interval", "p", "seeds", ""]]
    reading = {1: "rises", -1: "falls", 0: "cannot tell"}
    for found in (step.train for step in finding.steps if step.line.network == network):
        low, high, _ = found.interval
        p = words.probability(found.p).removeprefix("= ") + FLOOR * found.at_floor
        cells = [words.spread(found), words.signed(found.median), words.bounds(low, high), p, str(found.n)]
        rows.append([found.name, *cells, reading[found.established]])
    return rows if len(rows) > 1 else []


def _parts(finding: Finding) -> list[list[str]]:
    """A row per line: the change of its test error from its shallowest to its deepest network, split in two."""
    rows = [["change", "test error", "= training error", "+ gap"]]
    for span in finding.spans:
        rows.append([span.test.name, *(words.spread(part) for part in (span.test, span.train, span.gap))])
    return rows if len(rows) > 1 else []


# -- layouts ----------------------------------------------------------------------------------------------------------


def _text(blocks: Sequence[Block]) -> str:
    parts: list[str] = []
    for block in blocks:
        if block.kind in ("title", "head", "table") and parts and parts[-1]:
            parts.append("")
        if block.kind == "table":
            parts += [_columns(block.rows), ""]
        elif block.kind == "title":
            parts += [block.text, "=" * len(block.text)]
        elif block.kind == "head":
            parts.append(_filled(block.text))
        else:
            mark = "  - " if block.kind == "item" else "  "
            parts.append(_filled(block.text, mark))
    return "\n".join(parts) + "\n"


def _filled(text: str, mark: str = "") -> str:
    """Broken into lines, but not within `p = 0.05`, `+1.00 ± 0.20` or `95 %`."""
    kept = re.sub(r" ([=<±]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
    kept = kept.replace(" %", "\N{NO-BREAK SPACE}%")
    indent = " " * len(mark)
    broken = textwrap.fill(kept, WIDTH, initial_indent=mark, subsequent_indent=indent, break_on_hyphens=False)
    return broken.replace("\N{NO-BREAK SPACE}", " ")


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  " + "  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _markdown(blocks: Sequence[Block]) -> str:
    marks = {"title": "## ", "head": "### ", "item": "- ", "text": ""}
    parts = []
    for before, block in zip([Block(""), *blocks], blocks, strict=False):
        if block.kind == "table":
            heads, *rows = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in block.rows)
            rule = "|" + " --- |" + " ---: |" * (len(block.rows[0]) - 1)
            parts.append("\n".join(["", heads, rule, *rows]))
        else:
            gap = "" if block.kind == before.kind == "item" else "\n"
            parts.append(gap + marks[block.kind] + block.text)
    return "\n".join(parts).lstrip("\n") + "\n"


LAYOUTS: dict[str, Callable[[Sequence[Block]], str]] = {"text": _text, "md": _markdown}
