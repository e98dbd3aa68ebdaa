"""The verdict as a picture: each paired difference that it rests on, seed by seed, with its interval and test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, called, named, tidy
from study.plotting.base.page import Head, Plot
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
ROW = 0.34  # inches of a comparison
NARROW = 5.0  # inches of a page on which names and numbers take more lines
BREAK = "\n"
APART = 10  # times the smallest effect: a larger one has an axis of its own
ANSWERS = {
    "depth": {1: "rises with depth", -1: "falls with depth"},
    "relief": {1: "depth costs less", -1: "depth costs more"},
    "ends": {1: "plain is worse", -1: "residual is worse"},
    "gap": {1: "grows with depth", -1: "shrinks with depth"},
}
UNSURE = "cannot tell"


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """Draw the figure: a panel for each group of networks that may be compared.

    `training`: what stands for the training error, as for `study.verdict`.
    """
    evidence = tidy(curves, runs)
    findings = verdict(curves, runs, training=training).findings
    data = prepare(findings)
    notes = list(_notes(findings, data, evidence))
    answers = [f"{words.degradation(finding)}" for finding in findings]
    single = (data["n"].dropna() <= 1).all()
    shows = (
        f"Does depth raise the training error of plain networks? {'; '.join(answers)}. Differences in error in points, paired by "
        "seed, at the last iteration"
    )
    shows += (
        "; one seed each, so that no difference is established."
        if single
        else f": small points are single seeds, large ones their means, with BCa bootstrap 95 % intervals from {FEWEST} seeds on "
        f"({RESAMPLES:,} resamples, seed {SEED}); crosses at an edge are pairs in which a run diverged. Beside them mean and "
        "interval, p of the exact sign-flip test, and the number of pairs. A difference is established where p is at most 0.05 "
        "and the interval excludes zero."
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
    """The picture of what `prepare` gives: names left, numbers right, and large and small effects on axes of their own."""
    means = data[data["kind"] == "mean"]
    if (means["n"] <= 1).all():
        return _table(means, evidence, notes)
    parts = [(group, rows) for group in dict.fromkeys(data["group"]) for rows in _sizes(means[means["group"] == group])]
    titles = [group if number == 0 or parts[number - 1][0] != group else "" for number, (group, _) in enumerate(parts)]
    titles = titles if means["group"].nunique() > 1 else [""] * len(parts)
    narrow = (style.look().width or style.PAGES["page"]) < NARROW * style.look().scale
    talls = [(0.62 if narrow else ROW) * style.look().scale * len(rows) for _, rows in parts]
    head = Head(evidence.title, evidence.subtitle, list(_legend(data)))
    made = page.page(titles, 1, head, notes, tall=talls, width=style.PAGES["page"], around=0.38)
    for axes, (group, rows) in zip(made.axes, parts, strict=True):
        here = data[(data["group"] == group) & data["row"].isin(rows["row"])]
        _panel(axes, here, rows, narrow)
    made.axes[-1].set_xlabel("difference (points of error)")
    return made.figure


def _sizes(means: pd.DataFrame) -> list[pd.DataFrame]:
    """The comparisons of a group, large effects apart from small ones where one scale would hide the small ones."""
    sizes = means["difference"].astype(float).abs().fillna(0.0)
    ordered = sizes[sizes > 0].sort_values(ascending=False)
    if ordered.empty or ordered.iloc[0] < APART * ordered.iloc[-1]:
        return [means]
    steps = ordered.to_numpy()
    widest = int((steps[:-1] / steps[1:]).argmax())
    large = sizes > (steps[widest] * steps[widest + 1]) ** 0.5
    return [means[large], means[~large]]


def _panel(axes: Axes, data: pd.DataFrame, means: pd.DataFrame, narrow: bool) -> None:
    places = {row: place for place, row in enumerate(means["row"])}
    axes.set_ylim(len(places) - 0.45, -0.55)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=style.MUTED, linewidth=0.7, zorder=1, gid="zero")
    for place in range(1, len(places)):
        axes.axhline(place - 0.5, color=style.FAINT, linewidth=0.4, zorder=0, gid="rule")
    axes.set_xlim(*_limits(data))
    page.few_ticks(axes.xaxis)
    for row, place in places.items():
        _row(axes, data[data["row"] == row], place)
    size, room = 6.5 * style.look().scale, 1.15 if narrow else 4.0
    names = ["\n".join([*page.wrapped(called(str(m.question)), room, size), str(m.answer)]) for m in means.itertuples()]
    axes.set_yticks(range(len(places)), names)
    numbers = axes.secondary_yaxis("right")
    numbers.set_yticks(range(len(places)), [_numbers_of(mean, narrow) for mean in means.to_dict("records")])
    numbers.tick_params(length=0)
    numbers.spines["right"].set_visible(False)
    for label, mean in zip(axes.get_yticklabels(), means.itertuples(), strict=True):
        label.set_color(style.MUTED if mean.answer == UNSURE else style.INK)
        label.set_linespacing(1.25)
    for label in numbers.get_yticklabels():
        label.set_linespacing(1.25)


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Of the x axis: all finite values and zero, and room at the edges for what has none."""
    values = data[["difference", "low", "high"]].astype(float).to_numpy().ravel()
    finite = [0.0, *values[[math.isfinite(value) for value in values]]]
    room = 0.06 * ((max(finite) - min(finite)) or 1.0)
    return min(finite) - room, max(finite) + room


def _row(axes: Axes, data: pd.DataFrame, at: int) -> None:
    """One comparison: its seeds above, mean and interval below; at the edges the pairs of which a run diverged."""
    mean, seeds = data[data["kind"] == "mean"].iloc[0], data[data["kind"] == "seed"]
    colour, marker = (
        style.NETWORK_COLOURS.get(mean["network"], style.INK),
        style.MARKERS.get(mean["network"], ("D",))[0],
    )
    name = str(mean["question"])
    own: dict[str, Any] = {"color": colour, "clip_on": False, "linestyle": "none"}
    values = seeds["difference"].astype(float)
    finite = values[values.abs() < math.inf]
    axes.plot(finite, [at - 0.18] * len(finite), ".", ms=4.5, mew=0, alpha=0.55, gid=f"{name} seed", **own)
    for sign, side in ((math.inf, 1), (-math.inf, 0)):
        for number in range(int((values == sign).sum())):
            place = abs(side - 0.02 * (number + 1))
            axes.plot(place, at - 0.18, "x", ms=4, transform=axes.get_yaxis_transform(), gid=f"{name} diverged", **own)
    axes.hlines(at + 0.14, mean["low"], mean["high"], colors=colour, linewidth=1.2, gid=name)
    if math.isfinite(mean["difference"]):
        axes.plot(mean["difference"], at + 0.14, marker, ms=4.5, zorder=3, gid=f"{name} mean", **own)


def _numbers_of(mean: Mapping[Any, Any], narrow: bool) -> str:
    """Mean and interval, and below them the test: `+81.6 [+78.1, +84.3]`, `p = 0.031, the least possible; n = 5`."""
    low, high = (words.signed(mean[end]) for end in ("low", "high"))
    value = words.signed(mean["difference"]) + (f"{BREAK if narrow else '  '}[{low}, {high}]" if low != "–" else "")
    test = _test(mean)
    return f"{value}\n{test.replace(', ', BREAK).replace('; ', BREAK) if narrow else test}"


def _test(mean: Mapping[Any, Any]) -> str:
    if math.isnan(mean["p"]):
        return f"n = {mean['n']}"
    sides = "two-sided " if mean["sides"] == 2 else ""
    floor = ", the least possible" if mean["p"] <= mean["smallest_p"] < 1 else ""
    return f"{sides}p {words.probability(mean['p'])}{floor}; n = {mean['n']}"


def _table(means: pd.DataFrame, evidence: Tidy, notes: list[str]) -> Figure:
    """With one seed there is no spread to draw: the numbers alone."""
    groups = list(dict.fromkeys(means["group"]))
    titles = groups if len(groups) > 1 else [""]
    counts = [int((means["group"] == group).sum()) for group in groups]
    head = Head(evidence.title, evidence.subtitle)
    said = ["One seed each: differences without a spread, an interval or a test.", *notes]
    made = page.page(
        titles, 1, head, said, tall=[0.19 * (count + 1) for count in counts], width=style.PAGES["page"], around=0.06
    )
    for axes, group in zip(made.axes, groups, strict=True):
        axes.set_axis_off()
        rows = [
            [called(str(mean.question)), words.signed(mean.difference)]
            for mean in means[means["group"] == group].itertuples()
        ]
        table = axes.table(
            rows, colLabels=["comparison", "difference (points of error)"], colWidths=[0.7, 0.3], cellLoc="left",
            edges="horizontal", bbox=Bbox.unit(),
        )  # fmt: skip
        table.auto_set_font_size(False)
        for (line, _), cell in table.get_celld().items():
            cell.set_linewidth(0.4)
            cell.set_fontsize(7 * style.look().scale)
            cell.set_text_props(weight="bold" if line == 0 else "normal")
    return made.figure


def _notes(findings: tuple[Finding, ...], data: pd.DataFrame, evidence: Tidy) -> Iterator[str]:
    for group, finding in zip(_titles(findings), findings, strict=True):
        where = f"{group}: " if len(findings) > 1 else ""
        yield f"{where}Does depth raise the training error of plain networks? {words.degradation(finding)}."
        for mend in finding.mends:
            yield f"{where}Does the shortcut mend it ({mend.line.title})? {words.mending(finding, mend)}."
    lost = data[data["kind"] == "mean"]
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
