"""The verdict as a picture: each paired difference that it rests on, seed by seed, with its interval and test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from study.errors import StudyError
from study.plotting.base import canvas, style
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, named, tidy
from study.stats import answers as words
from study.stats.bca_interval import FEWEST, RESAMPLES, SEED
from study.stats.findings import Finding
from study.stats.pairs import Contrast
from study.stats.verdict import verdict
from study.text import counted

COLUMNS = [
    "kind", "group", "question", "contrast", "network", "row", "seed", "difference", "low", "high", "p", "smallest_p", "sides",
    "n", "undecided", "established", "answer",
]  # fmt: skip
WHOLE = ("row", "seed", "sides", "n", "undecided", "established")
FLOOR = "†"
ROW = 0.46  # inches: a line of words above, the marks below
RIGHT = 1.46  # inches of numbers beside the panel
SIZE = 6.3  # points
LETTERS = 48  # of a question beside its answer
ANSWERS = {
    "depth": {1: "rises with depth", -1: "falls with depth"},
    "relief": {1: "depth costs less", -1: "depth costs more"},
    "ends": {1: "plain is worse", -1: "residual is worse"},
    "gap": {1: "grows with depth", -1: "shrinks with depth"},
}
UNSURE = "cannot tell"


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """Draw the figure: a panel for each group of networks that may be compared.

    Parameters
    ----------
    curves, runs
        As `study.plotting.figure` takes them.
    training
        What stands for the training error, as for `study.verdict`.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, an unknown split, or no two networks to compare.
    """
    evidence = tidy(curves, runs)
    findings = verdict(curves, runs, training=training).findings
    data = prepare(findings)
    notes = list(_notes(findings, data, evidence))
    shows = (
        "Differences in error in points, paired by seed, at the last iteration. Small points are single seeds, large ones "
        f"their means, with BCa bootstrap 95 % intervals from {FEWEST} seeds on ({RESAMPLES:,} resamples, seed {SEED}); "
        "crosses at an edge are pairs in which a run diverged. Beside them mean and interval, p of the exact sign-flip test, "
        "and the number of pairs. A difference is called established where p is at most 0.05 and the interval excludes zero."
    )
    text = caption(shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=notes)
    return Plot(draw(data, evidence, notes), data, text)


def prepare(findings: tuple[Finding, ...]) -> pd.DataFrame:
    """Every mark of the figure, differences in points: `kind` is seed (infinite where a run diverged) or mean.

    `row` counts the comparisons of a group; a mean's row has the numbers beside it, and the answer in words.
    """
    rows: list[dict[str, Any]] = []
    for group, finding in zip(_titles(findings), findings, strict=True):
        shown = [entry for entry in _comparisons(finding) if entry[2].n]
        for number, (kind, question, found, network) in enumerate(shown):
            own = {"group": group, "question": question, "contrast": found.name, "network": network, "row": number}
            pairs = zip(found.seeds, found.differences, strict=True)
            rows += [own | {"kind": "seed", "seed": seed, "difference": d} for seed, d in pairs]
            rows.append(own | {"kind": "mean"} | _numbers(kind, found))
    if not rows:
        raise StudyError(
            "nothing to draw: no seed has results of two depths of one network, or of a plain and a residual network of one "
            "depth; put `depth: [20, 56]` into a sweep's grid"
        )
    return pd.DataFrame(rows).reindex(columns=COLUMNS).astype(dict.fromkeys(WHOLE, "Int64"))


def _titles(findings: tuple[Finding, ...]) -> list[str]:
    """The condition of each finding, and its lines where several share one."""
    counts = Counter(finding.group.condition for finding in findings)
    names = []
    for finding in findings:
        more = (
            f": {', '.join(line.title for line in finding.group.lines)}" if counts[finding.group.condition] > 1 else ""
        )
        names.append(finding.group.condition + more)
    return names


def _comparisons(finding: Finding) -> Iterator[tuple[str, str, Contrast, str]]:
    """The kind of each comparison, what it is in words, its numbers, and the network whose look its marks have."""
    for span in finding.spans:
        yield "depth", f"{span.train.name}, training error", span.train, span.line.network
    for mend in finding.mends:
        if mend.relief is not None:
            of = f" ({mend.line.label})" if mend.line.label else ""
            yield "relief", f"relief by the shortcut{of}, {mend.shallow} to {mend.deep} layers", mend.relief, ""
        yield "ends", f"{mend.ends.name}, training error", mend.ends, ""
    for span in finding.spans:
        yield "gap", f"{span.gap.name}, test − training error", span.gap, span.line.network


def _numbers(question: str, found: Contrast) -> dict[str, Any]:
    low, high, _ = found.interval
    return {
        "difference": found.mean, "low": low, "high": high, "p": found.p, "smallest_p": found.smallest_p,
        "sides": found.sides, "n": found.n,
        "undecided": found.undecided, "established": found.established,
        "answer": ANSWERS[question].get(found.established, UNSURE),
    }  # fmt: skip


def draw(data: pd.DataFrame, evidence: Tidy, notes: list[str]) -> Figure:
    """The picture of what `prepare` gives."""
    groups = list(dict.fromkeys(data["group"]))
    rows = data.groupby("group")["row"].max().max() + 1
    width = style.sheet_width(1)
    left = 0.12
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(data)))
    titles = groups if len(groups) > 1 else [""]
    aspect = float(rows) * ROW / (width - left - RIGHT)
    page = canvas.sheet(titles, 1, head, notes, gap=0, left=left, right=RIGHT, width=width, aspect=aspect)
    for (axes,), group in zip(page.panels, groups, strict=True):
        here = data[data["group"] == group]
        axes.set_ylim(int(here["row"].max()) + 0.55, -0.6)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_xlim(*_limits(here))
        canvas.few_ticks(axes.xaxis)
        axes.axvline(0, color=style.MUTED, linewidth=0.7, zorder=1, gid="zero")
        axes.set_xlabel("difference (points of error)")
        for number, row in here.groupby("row"):
            if number:
                axes.axhline(number - 0.5, color=style.FAINT, linewidth=0.4, zorder=0, gid="rule")
            _row(axes, row, (width - left - 0.06) / (width - left - RIGHT))
    return page.figure


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Of the x axis: all finite values and zero, and room at the edges for what has none."""
    values = data[["difference", "low", "high"]].astype(float).to_numpy().ravel()
    finite = [0.0, *values[[math.isfinite(value) for value in values]]]
    low, high = min(finite), max(finite)
    room = 0.1 * ((high - low) or 1.0)
    return low - room, high + room


def _row(axes: Axes, data: pd.DataFrame, edge: float) -> None:
    """One comparison; `edge` is where the sheet ends, in widths of the panel."""
    mean, seeds = data[data["kind"] == "mean"].iloc[0], data[data["kind"] == "seed"]
    at, colour = int(mean["row"]), style.NETWORK_COLOURS.get(mean["network"], style.INK)
    marker = style.MARKERS.get(mean["network"], ("D",))[0]
    name, finite = str(mean["question"]), seeds[seeds["difference"].abs() < math.inf]
    axes.plot(
        finite["difference"], [at + 0.02] * len(finite), ".", color=colour, ms=4.5, mew=0, alpha=0.55, gid=f"{name} seed",
        clip_on=False,
    )  # fmt: skip
    for sign, side in ((math.inf, 1), (-math.inf, 0)):
        lost = int((seeds["difference"] == sign).sum())
        for number in range(lost):
            place = side - (2 * side - 1) * 0.028 * number
            axes.plot(
                place, at + 0.02, "x", color=colour, ms=4, transform=axes.get_yaxis_transform(), clip_on=False,
                gid=f"{name} diverged",
            )  # fmt: skip
    axes.hlines(at + 0.22, mean["low"], mean["high"], colors=colour, linewidth=1.2, gid=name)
    axes.plot(mean["difference"], at + 0.22, marker, color=colour, ms=4.5, zorder=3, gid=f"{name} mean")
    _words(axes, at, mean, edge)


def _words(axes: Axes, at: int, mean: pd.Series, edge: float) -> None:
    """The comparison and the answer above the marks, the numbers beside them."""
    where: dict[str, Any] = {
        "textcoords": "offset points",
        "annotation_clip": False,
        "xycoords": ("axes fraction", "data"),
    }
    where |= {"va": "center", "size": SIZE}
    halo = [withStroke(linewidth=1.5, foreground="white")]  # the line at zero runs below
    question = str(mean["question"])
    question = f"{question[: LETTERS - 1]}…" if len(question) > LETTERS else question
    axes.annotate(question, (0, at - 0.3), (0, 0), path_effects=halo, gid="question", **where)
    look: dict[str, Any] = {"weight": "bold"} if mean["answer"] != UNSURE else {"color": style.MUTED}
    axes.annotate(mean["answer"], (edge, at - 0.3), (0, 0), ha="right", gid="answer", **where, **look)
    value, (low, high) = words.signed(mean["difference"]), map(words.signed, mean[["low", "high"]])
    axes.annotate(value + (f" [{low}, {high}]" if low != "–" else ""), (1, at), (8, 0), gid="value", **where)
    sides = "two-sided " if mean["sides"] == 2 else ""
    floor = FLOOR if mean["p"] <= mean["smallest_p"] < 1 else ""
    test = "" if math.isnan(mean["p"]) else f"{sides}p {words.probability(mean['p'])}{floor}, "
    axes.annotate(f"{test}n = {mean['n']:.0f}", (1, at + 0.27), (8, 0), gid="test", **where)


def _notes(findings: tuple[Finding, ...], data: pd.DataFrame, evidence: Tidy) -> Iterator[str]:
    for group, finding in zip(_titles(findings), findings, strict=True):
        where = f"{group}: " if len(findings) > 1 else ""
        yield f"{where}Does depth raise the training error of plain networks? {words.degradation(finding)}."
        for mend in finding.mends:
            yield f"{where}Does the shortcut mend it ({mend.line.title})? {words.mending(finding, mend)}."
    lost = data[data["kind"] == "mean"]
    if ((lost["p"] <= lost["smallest_p"]) & (lost["smallest_p"] < 1)).any():
        yield f"{FLOOR} the smallest p possible with this number of pairs"
    if (undecided := int(lost["undecided"].sum())) > 0:
        yield f"left undecided by diverged runs, counted in n and not drawn: {counted(undecided, 'pair')}"
    unpaired = dict.fromkeys(text for f in findings for _, _, found, _ in _comparisons(f) for text in found.absent)
    if unpaired:
        yield f"unpaired: {'; '.join(unpaired)}"
    yield from evidence.notes


def _legend(data: pd.DataFrame) -> Iterator[Artist]:
    yield Line2D([], [], color=style.INK, marker=".", ms=4.5, mew=0, alpha=0.55, linestyle="none", label="single seeds")
    mean = "mean, 95 % interval" if data["low"].notna().any() else "mean"
    yield Line2D([], [], color=style.INK, marker="D", ms=4.5, linewidth=1.2, label=mean)
    if (data["difference"].abs() == math.inf).any():
        yield Line2D([], [], color=style.INK, marker="x", ms=4, linestyle="none", label="diverged")
