"""The verdict as a picture: each paired difference that it rests on, seed by seed, with its interval and test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import called
from study.plotting.base.frames import tidy
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import BOOTSTRAP, Training
from study.stats import answers as words
from study.stats.findings import Finding, numbers
from study.stats.naming import lost
from study.stats.pairs import Contrast
from study.stats.verdict import verdict
from study.text import counted

COLUMNS = [
    "kind", "group", "question", "contrast", "network", "row", "seed", "difference", "low", "high", "p", "smallest_p", "sides",
    "n", "undecided", "established", "answer",
]  # fmt: skip
WHOLE = ("row", "seed", "sides", "n", "undecided", "established")
NARROW = 5.5  # inches of a page on which names and numbers take more lines
APART = 10  # times the smallest effect: a larger one has an axis of its own
MOST = 30  # comparisons: of more, those alone that the answers are about
ANSWERS = {
    "depth": {1: "rises with depth", -1: "falls with depth"},
    "relief": {1: "depth costs less", -1: "depth costs more"},
    "ends": {1: "plain is worse", -1: "residual is worse"},
    "gap": {1: "grows with depth", -1: "shrinks with depth"},
}
UNSURE = "cannot tell"


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: Training = "train_clean") -> Plot:
    """Draw the figure: a panel for each group of networks that may be compared.

    `training`: what stands for the training error, as for `study.verdict`.
    """
    evidence = tidy(curves, runs)
    findings = verdict(curves, runs, training=training).findings
    data, (_, left) = prepare(findings), _drawn(findings)
    answers = [f"left out: {left} further comparisons, which study verdict lists"] if left else list(_answers(findings))
    notes = [*_unpaired(findings, data), *evidence.notes]
    single = (data["n"].dropna() <= 1).all()
    text = f"{' '.join(answers)} Differences in error in points, paired by seed, at the last iteration" + (
        "; one seed each, so that no difference is established."
        if single
        else f": small points are single seeds, large ones their means, with {BOOTSTRAP}; "
        "crosses at an edge are pairs in which a run has no final error. Beside them mean and "
        "interval, p of the exact sign-flip test, and the number of pairs. A difference is established where p is at most 0.05 "
        "and the interval excludes zero."
    )
    head = Head(evidence.title, evidence.subtitle, [] if single else list(_legend(data, lost(evidence.runs["state"]))))
    spread = ["Differences in points of error. One seed each: no spread, interval or test."] if single else []
    figure = draw(data, head, [*spread, *answers, *notes])
    return Plot(figure, data, evidence._replace(notes=notes).caption(text))


def prepare(findings: tuple[Finding, ...]) -> pd.DataFrame:
    """Every mark of the figure, differences in points: `kind` is seed (infinite where a run is lost) or mean.

    `row` counts the comparisons of a group; a mean's row has the numbers beside it, and the answer in words.
    """
    rows: list[dict[str, Any]] = []
    count: Counter[str] = Counter()
    for group, (kind, question, found, network) in _drawn(findings)[0]:
        own = {"group": group, "question": question, "contrast": found.name, "network": network, "row": count[group]}
        pairs = zip(found.seeds, found.differences, strict=True)
        rows += [own | {"kind": "seed", "seed": seed, "difference": d} for seed, d in pairs]
        answer = ANSWERS[kind].get(found.established, UNSURE)
        rows.append(own | numbers(found) | {"kind": "mean", "seed": None, "difference": found.mean, "answer": answer})
        count[group] += 1
    if not rows:
        raise StudyError(
            "nothing to draw: no seed has results of two depths of one network, or of a plain and a residual network of one "
            "depth; put `depth: [20, 56]` into a sweep's grid"
        )
    return pd.DataFrame(rows).reindex(columns=COLUMNS).astype(dict.fromkeys(WHOLE, "Int64"))


def _titles(findings: tuple[Finding, ...]) -> list[str]:
    """The condition of each finding, and its lines where several share one."""
    counts = Counter(finding.group.condition for finding in findings)
    return [
        group.condition + (f": {', '.join(line.title for line in group.lines)}" if counts[group.condition] > 1 else "")
        for group in (finding.group for finding in findings)
    ]


def _drawn(findings: tuple[Finding, ...]) -> tuple[list[tuple[str, tuple[str, str, Contrast, str]]], int]:
    """The comparisons that are drawn, each with the title of its panel, and how many are left out."""
    every = [(place, one) for place, finding in enumerate(findings) for one in _comparisons(finding) if one[2].n]
    asked = [(place, one) for place, one in every if one[0] == "relief" or (one[0] == "depth" and one[3] == "plain")]
    if len(every) > MOST and asked:
        return [(findings[place].group.condition, one) for place, one in asked], len(every) - len(asked)
    titles = _titles(findings)
    return [(titles[place], one) for place, one in every], 0


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


def _answers(findings: tuple[Finding, ...]) -> Iterator[str]:
    for group, finding in zip(_titles(findings), findings, strict=True):
        where = f"{group}: " if len(findings) > 1 else ""
        yield f"{where}Does depth raise the training error of plain networks? {words.degradation(finding)}."
        for mend in finding.mends:
            yield f"{where}Does the shortcut mend it ({called(mend.line.title)})? {words.mending(finding, mend)}."


def _unpaired(findings: tuple[Finding, ...], data: pd.DataFrame) -> Iterator[str]:
    if (undecided := int(data["undecided"].sum())) > 0:
        yield f"left undecided by runs without a final error, counted in n and not drawn: {counted(undecided, 'pair')}"
    unpaired = dict.fromkeys(text for f in findings for _, _, found, _ in _comparisons(f) for text in found.absent)
    if unpaired:
        yield f"unpaired: {'; '.join(unpaired)}"


# -- the picture ------------------------------------------------------------------------------------------------------


def draw(data: pd.DataFrame, head: Head, notes: list[str]) -> Figure:
    """The picture of what `prepare` gives: names left, numbers right, and large and small effects on axes of their own.

    With one seed there is no spread to draw: the numbers alone.
    """
    means, scale = data[data["kind"] == "mean"], style.look().scale
    single = (means["n"] <= 1).all()
    narrow = (style.look().width or style.PAGES["page"]) < NARROW * scale
    parts = [part for _, group in means.groupby("group", sort=False) for part in ([group] if single else _sizes(group))]
    groups = [part["group"].iloc[0] for part in parts]
    several = len(set(groups)) > 1
    titles = [group if several and group not in groups[:place] else "" for place, group in enumerate(groups)]
    row = 0.19 if single else 0.62 if narrow else 0.34  # inches
    talls = [row * scale * len(part) for part in parts]
    made = page.page(titles, 1, head, notes, tall=talls, width=style.PAGES["page"], around=0.06 if single else 0.38)
    for axes, part, group in zip(made.axes, parts, groups, strict=True):
        if single:
            _table(axes, part)
        else:
            _panel(axes, data[(data["group"] == group) & data["row"].isin(part["row"])], narrow)
    if not single:
        made.axes[-1].set_xlabel("difference (points of error)")
    return made.figure


def _sizes(means: pd.DataFrame) -> list[pd.DataFrame]:
    """The comparisons of a group, large effects apart from small ones where one scale would hide the small ones."""
    sizes = means["difference"].astype(float).abs().fillna(0.0)
    steps = sizes[sizes > 0].sort_values(ascending=False).to_numpy()
    if not len(steps) or steps[0] < APART * steps[-1]:
        return [means]
    widest = int((steps[:-1] / steps[1:]).argmax())
    large = sizes >= steps[widest]
    return [means[large], means[~large]]


def _table(axes: Axes, means: pd.DataFrame) -> None:
    axes.set_axis_off()
    axes.set_ylim(len(means) - 0.5, -0.5)
    for place, mean in enumerate(means.to_dict("records")):
        axes.axhline(place + 0.5, color=style.FAINT, linewidth=0.4)
        left = axes.text(0, place, called(mean["question"]), va="center", transform=axes.get_yaxis_transform())
        left.set_in_layout(False)
        axes.text(
            1, place, words.signed(mean["difference"]), ha="right", va="center", transform=axes.get_yaxis_transform()
        )


def _panel(axes: Axes, data: pd.DataFrame, narrow: bool) -> None:
    means = data[data["kind"] == "mean"]
    axes.set_ylim(len(means) - 0.45, -0.55)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=style.MUTED, linewidth=0.7, zorder=1, gid="zero")
    for place, mean in enumerate(means.to_dict("records")):
        if place:
            axes.axhline(place - 0.5, color=style.FAINT, linewidth=0.4, zorder=0, gid="rule")
        _row(axes, mean, data.loc[(data["row"] == mean["row"]) & (data["kind"] == "seed"), "difference"], place)
    values = data[["difference", "low", "high"]].astype(float).to_numpy().ravel()
    finite = [0.0, *values[np.isfinite(values)]]
    room = 0.06 * ((max(finite) - min(finite)) or 1.0)  # for what has none
    axes.set_xlim(min(finite) - room, max(finite) + room)
    page.few_ticks(axes.xaxis)
    size, wide = 6.5 * style.look().scale, 1.15 * style.look().scale if narrow else 2.7
    names = [
        "\n".join([*page.wrapped(called(m["question"]), wide, size), m["answer"]]) for m in means.to_dict("records")
    ]
    right = axes.secondary_yaxis("right")
    right.spines["right"].set_visible(False)
    for side, texts in ((axes, names), (right, [_numbers(mean, narrow) for mean in means.to_dict("records")])):
        side.set_yticks(range(len(means)), texts, linespacing=1.25)
        side.tick_params(axis="y", length=0)
    for label, answer in zip(axes.get_yticklabels(), means["answer"], strict=True):
        label.set_color(style.MUTED if answer == UNSURE else style.INK)


def _row(axes: Axes, mean: Mapping[Any, Any], seeds: pd.Series, at: int) -> None:
    """One comparison: its seeds above, mean and interval below; at the edges the pairs of which a run is lost."""
    name, colour = mean["question"], style.NETWORK_COLOURS.get(mean["network"], style.INK)
    marker = style.MARKERS.get(mean["network"], "D")[0]
    for value in seeds[seeds.abs() < math.inf]:
        axes.plot(value, at - 0.18, color=colour, gid=f"{name} seed", **style.SEED)
    edge: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "gid": f"{name} lost"}
    for sign, side in ((math.inf, 1), (-math.inf, 0)):
        for number in range(1, int((seeds == sign).sum()) + 1):
            axes.plot(abs(side - 0.02 * number), at - 0.18, color=colour, **edge, **style.LOST)
    axes.hlines(at + 0.14, mean["low"], mean["high"], colors=colour, linewidth=1.2, gid=name)
    if math.isfinite(mean["difference"]):
        axes.plot(
            mean["difference"], at + 0.14, marker, color=colour, ms=4.5, zorder=3, clip_on=False, gid=f"{name} mean"
        )


def _numbers(mean: Mapping[Any, Any], narrow: bool) -> str:
    """Mean and interval, and below them the test: `+81.6 [+78.1, +84.3]`, `p = 0.031, the smallest possible, n = 5`."""
    low, high = words.signed(mean["low"]), words.signed(mean["high"])
    value = [words.signed(mean["difference"]), *([f"[{low}, {high}]"] if low != "–" else [])]
    test = [f"n = {mean['n']}"]
    if not math.isnan(mean["p"]):
        floor = ["the smallest possible"] if mean["p"] <= mean["smallest_p"] < 1 else []
        test = [f"{'two-sided ' if mean['sides'] == 2 else ''}p {words.probability(mean['p'])}", *floor, *test]
    return "\n".join([*value, *test]) if narrow else f"{'  '.join(value)}\n{', '.join(test)}"


def _legend(data: pd.DataFrame, how: str) -> Iterator[Artist]:
    yield style.entry("single seeds", **style.SEED)
    mean = "mean, 95 % interval" if data["low"].notna().any() else "mean"
    yield style.entry(mean, marker="D", ms=4.5, linewidth=1.2)
    if (data["difference"].abs() == math.inf).any():
        yield style.entry(how, **style.LOST)
