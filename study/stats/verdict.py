"""The verdict on a sweep: does depth raise the training error of the plain networks, and does the shortcut mend it?

`findings.py` compares and `answers.py` decides. Here a verdict becomes text, Markdown, HTML or JSON; what it says is in
`templates/verdict.j2`.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from study.errors import StudyError, nearest
from study.stats import answers
from study.stats.answers import UNKNOWN, probability, signed
from study.stats.bca_interval import FEWEST, Interval
from study.stats.findings import Finding, find, numbers
from study.stats.outcomes import groups
from study.stats.pairs import Contrast
from study.stats.rates import running
from study.text import counted

TEMPLATES = Path(__file__).parent / "templates"
FORMATS = ("text", "md", "html", "json")
WIDTH = 80
FLOOR = "†"
TRAINING = {
    "train_clean": "training error in evaluation mode, without augmentation",
    "train": "running training error, in training mode, on augmented images",
}
QUESTIONS = (
    "1. Does depth raise the training error of the plain networks?",
    "2. Does the shortcut mend it?",
    "3. Is the rest overfitting?",
    "4. Do deeper networks converge more slowly?",
    "5. How many seeds would it take?",
)


@dataclass(frozen=True)
class Verdict:
    """The findings, one per group. `print` it; a notebook shows it as Markdown."""

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
    lines = running(curves)
    return Verdict(tuple(find(group, lines, level) for group in groups(curves, runs, training)), training)


class Said(NamedTuple):
    """The answer to a question about one line (`about` is empty for the only one), and the finding behind it."""

    question: str
    about: str
    answer: str
    of: Any = None

    @property
    def short(self) -> str:
        """`plain: not shown`: the first clause of the answer."""
        clause = re.split(r"[:;] |, ", self.answer)[0]
        return f"{self.about[0].lower()}{self.about[1:]}: {clause.lower()}" if self.about else clause


def render(verdict: Verdict, fmt: str = "text") -> str:
    """Render the verdict as `text`, `md`, `html` or `json`, with a line break at its end."""
    if fmt not in FORMATS:
        raise StudyError(f"unknown verdict format '{fmt}'{nearest(fmt, FORMATS)}")
    if fmt == "json":
        return json.dumps(as_data(verdict), indent=1, ensure_ascii=False) + "\n"
    text = _template(fmt).render(
        verdict=verdict, layout=f"{fmt}.j2", training=TRAINING[verdict.training], floor=FLOOR, fewest=FEWEST
    )
    return re.sub(r"\n[ \n]*\n", "\n\n", text).strip("\n") + "\n"


@cache
def _template(fmt: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=fmt == "html", undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "bounds": bounds, "columns": _columns, "counted": counted, "headline": answers.headline, "infinite": math.isinf,
        "paragraphs": _paragraphs, "points": _points, "sections": sections, "signed": signed, "spread": spread,
        "tested": answers.tested, "wrap": _wrapped,
    }  # fmt: skip
    return made.get_template("verdict.j2")


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data: null for NaN, "inf" for infinity."""
    return {"training": verdict.training, "findings": [_plain(_data(finding)) for finding in verdict.findings]}


def _data(finding: Finding) -> dict[str, Any]:
    return {
        "condition": finding.group.condition,
        "networks": [line.name(depth) for line in finding.group.lines for depth in line.outcomes],
        "absences": finding.absences,
        "headline": answers.headline(finding),
        "answers": [
            {"question": one.question, "about": one.about, "answer": one.answer}
            for said, _ in sections(finding)
            for one in said
        ],
        "contrasts": [{"question": question, **numbers(found)} for question, found in finding.contrasts()],
        "convergence": _convergence(finding),
    }


def _convergence(finding: Finding) -> dict[str, Any] | None:
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
        return None if math.isnan(value) else str(value)
    return value


def sections(finding: Finding) -> Iterator[tuple[list[Said], list[list[str]]]]:
    """For each question its answers, which may be one for each line, and the rows of a table."""
    one, two, three, four, five = QUESTIONS
    mends, spans = finding.mends, finding.spans
    timed = [times for times in finding.rates.times if len(times.reached) > 1] if finding.rates else []
    yield [Said(one, "", answers.degradation(finding), finding)], _steps(finding, "plain")
    found = [
        Said(two, mend.line.title if len(mends) > 1 else "", answers.mending(finding, mend), mend) for mend in mends
    ]
    yield found or [Said(two, "", answers.unmatched(finding))], _steps(finding, "residual")
    found = [Said(three, span.line.title, answers.overfitting(span), span) for span in spans]
    yield found or [Said(three, "", f"{UNKNOWN}: no network has results at two depths")], _parts(finding)
    found = [Said(four, times.line.title, answers.convergence(times), times) for times in timed]
    yield found or [Said(four, "", f"{UNKNOWN}: no network has a falling training loss at two depths")], []
    found = [Said(five, name, answers.more_seeds(contrast), contrast) for name, contrast in answers.compared(finding)]
    yield found or [Said(five, "", "No estimate: nothing is compared here")], []


# -- tables -----------------------------------------------------------------------------------------------------------


def _points(finding: Finding) -> list[list[str]]:
    """A row per network: how many runs, and mean ± std and median of its final errors."""
    rows = [["network", "done", "training error", "median", "test error", "median", "gap"]]
    for line in finding.group.lines:
        for depth, seeds in line.outcomes.items():
            columns = [[o.value(m) for o in seeds.values() if o.state == "done"] for m in ("train", "test", "gap")]
            train, test, gap = (pd.Series(column, dtype=float) for column in columns)
            cells = [_mean(train), _cell(train.median()), _mean(test), _cell(test.median()), signed(gap.mean())]
            rows.append([line.name(depth), f"{len(train)}/{len(seeds)}", *cells])
    return rows


def _mean(values: pd.Series) -> str:
    return _cell(values.mean()) + ("" if len(values) < 2 else f" ± {values.std():.2f}")


def _cell(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _steps(finding: Finding, network: str) -> list[list[str]]:
    """A row per step between neighbours in depth: the change of the training error."""
    reading = {1: "rises", -1: "falls", 0: "unclear"}
    rows = [["training error", "mean ± std", "95 % interval", "p", "seeds", ""]]
    for found in (step.train for step in finding.steps if step.line.network == network):
        p = probability(found.p).removeprefix("= ") + FLOOR * found.at_floor
        rows.append([found.name, spread(found), bounds(found.interval), p, str(found.n), reading[found.established]])
    return rows if len(rows) > 1 else []


def _parts(finding: Finding) -> list[list[str]]:
    """A row per line: the change of its test error, split into training error and gap."""
    rows = [[span.test.name, *map(spread, (span.test, span.train, span.gap))] for span in finding.spans]
    return [["change", "test error", "= training error", "+ gap"], *rows] if rows else []


def spread(found: Contrast) -> str:
    """`+1.20 ± 0.30`, or the one value; `+∞` if no pair has a number."""
    if not found.numbers:
        return signed(found.median)
    return signed(found.mean) + ("" if math.isnan(found.std) else f" ± {found.std:.2f}")


def bounds(interval: Interval) -> str:
    """`+0.90 to +1.40`, or a dash."""
    return "–" if interval.why else f"{signed(interval.low)} to {signed(interval.high)}"


# -- layout -----------------------------------------------------------------------------------------------------------


def _paragraphs(text: str) -> list[str]:
    """The paragraphs, each in one line; markup stays markup."""
    return [type(text)(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]


def _wrapped(text: str, mark: str) -> str:
    """Break into lines, but not within `p = 0.05`, `+1.00 ± 0.20` or `95 %`."""
    kept = re.sub(r" ([=<±]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", " ".join(text.split()))
    kept = kept.replace(" %", "\N{NO-BREAK SPACE}%")
    return "\n".join(_lines(kept, WIDTH, mark)).replace("\N{NO-BREAK SPACE}", " ")


def _lines(text: str, width: int, mark: str = "") -> list[str]:
    """Lines of whole words; a longer word stands alone."""
    return textwrap.wrap(
        text, width, initial_indent=mark, subsequent_indent=" " * len(mark), break_on_hyphens=False, break_long_words=False
    )  # fmt: skip


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first takes several lines where the others leave it no room."""
    first, *others = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in others]
    room = WIDTH - 2 - sum(width + 2 for width in widths)
    names = [_lines(name, max(room - 2, 12)) for name in first]
    broad = max(len(line) for name in names for line in name)
    lines = []
    for name, row in zip(names, rows, strict=True):
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True)]
        lines += ["  " + "  ".join([name[0].ljust(broad), *cells]), *(f"    {line}" for line in name[1:])]
    return "\n".join(line.rstrip() for line in lines)
