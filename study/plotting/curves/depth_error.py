"""Final training and test error against depth: does depth hurt training itself, and do shortcuts mend it?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from study.errors import StudyError
from study.papers.values import R15, VALUES, match
from study.plotting.base import canvas, style
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, conditions_of, final_values, in_order, named, tidy
from study.plotting.curves.lines import MEASURED, check_training
from study.stats.bca_interval import FEWEST, RESAMPLES, SEED, bca_interval
from study.stats.naming import distinguish, kinds

MARK = ["condition", "network", "line", "split", "depth"]
COLUMNS = ["kind", *MARK, "run_id", "seed", "n", "error", "low", "high", "source"]
SOURCES = ("fig6", "i16_table1", "i16_table2", "i16_table3", "l18_fig5")  # of `papers.VALUES`: the single view's errors
SIDE = {"plain": -0.012, "residual": 0.012}  # of the panel's width, lest the networks hide each other,
SEEDS = 2.8  # and the seeds stand this much further out, lest their mean hide them
BOOTSTRAP = f"BCa bootstrap 95 % intervals from {FEWEST} seeds on ({RESAMPLES:,} resamples, seed {SEED})"
PAPERS = 4.4  # as SEEDS, for the papers' values
SINGLE = "Pale points: single seeds. "


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """Draw the figure from the runs that are done; arguments and errors as for `degradation.plot`."""
    check_training(training)
    evidence = tidy(curves, runs)
    data = prepare(evidence, training)
    shows = (
        f"Final error in percent against depth, at the last iteration; left {MEASURED[training]}. Small points are single "
        f"seeds, large ones their means with {BOOTSTRAP}."
    )
    protocol = (evidence.title, evidence.subtitle)
    text = caption(shows, named(evidence.runs), protocol=protocol, notes=evidence.notes, paper=R15)
    return Plot(draw(data, evidence, training), data, text)


def prepare(evidence: Tidy, training: str) -> pd.DataFrame:
    """Every mark of the figure, errors in percent: `kind` is seed, mean (with n, low, high), diverged, or reported and
    digitised: what the papers have for networks and protocols that are here, with `source`."""
    finals = final_values(evidence)
    finals = finals[finals["split"].isin([training, "test"])]
    if finals.empty:
        raise StudyError(f"nothing to draw: none of the {len(evidence.runs)} runs is done")
    runs = evidence.runs.assign(line=_lines(evidence.runs))
    seeds = finals.merge(runs[["run_id", "line"]], on="run_id").assign(kind="seed")
    means = []
    for _, group in seeds.groupby(MARK):
        low, high, _ = bca_interval(group["error"])
        summary = {"n": len(group), "error": group["error"].mean(), "low": low, "high": high}
        means.append(group[MARK].iloc[0].to_dict() | summary)
    diverged = runs[runs["state"] == "diverged"].assign(kind="diverged")
    frames = [seeds, pd.DataFrame(means).assign(kind="mean"), diverged, _of_papers(runs)]
    table = pd.concat([frame.reindex(columns=COLUMNS).astype(object) for frame in frames], ignore_index=True)
    return table.astype({"depth": int, "error": float, "low": float, "high": float})


def _of_papers(runs: pd.DataFrame) -> pd.DataFrame:
    """The papers' test errors of the networks that were trained by their protocols."""
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for value in (value for table in SOURCES for value in VALUES[table] if value.error is not None):
        for run in runs[match(runs, value)].drop_duplicates(["condition", "line"]).to_dict("records"):
            same = {name: run[name] for name in ("condition", "network", "line", "depth")}
            kind = "digitised" if value.digitised else "reported"
            row = {"kind": kind, **same, "split": "test", "error": value.error, "source": value.protocol.paper}
            rows.setdefault(tuple(row.values()), row)  # a network stands in several tables
    return pd.DataFrame(list(rows.values()), columns=COLUMNS)


def _lines(runs: pd.DataFrame) -> pd.Series:
    """The name of the line that a run belongs to: its network, and what tells its kind from that network's others.

    Depths of different families or blocks are no one line: from one to the other is not only a step in depth.
    """
    groups = runs.assign(kind=kinds(runs)).groupby("network")
    more = pd.concat([distinguish(group, "kind") for _, group in groups]).reindex(runs.index)
    names = [f"{n} ({text})" if text else n for n, text in zip(runs["network"], more, strict=True)]
    return pd.Series(names, index=runs.index, dtype=object)


def draw(data: pd.DataFrame, evidence: Tidy, training: str) -> Figure:
    """The picture of what `prepare` gives."""
    splits = [split for split in (training, "test") if split in set(data["split"].dropna())]
    finished = data.loc[data["kind"] == "mean", "condition"]
    conditions = conditions_of(evidence, finished)
    several = "Lines: means over seeds" + f" with {BOOTSTRAP}" * bool(data["low"].notna().any()) + ". "
    caption = (several if (data["n"].dropna() > 1).any() else "") + SINGLE + f"Left: {MEASURED[training]}."
    looks = _looks(data)
    head = canvas.Head(evidence.title, evidence.subtitle, [*looks.values(), *_papers_legend(data)])
    page = canvas.sheet(conditions, len(splits), head, [*evidence.notes, caption], gap=0.3, right=0.2)
    for row, condition in zip(page.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        row[0].set_ylabel("error (%)")
        row[0].set_ylim(0, max(0.5, 1.1 * float(here[["error", "high"]].max().max())))
        for axes, split in zip(row, splits, strict=True):
            marks = here[(here["split"] == split) | here["split"].isna()]
            _panel(axes, marks, sorted(here["depth"].unique()), looks)
            most = marks["n"].max()
            count = f"n = {most}" + (" unless given" if marks["n"].nunique() > 1 else "")
            axes.set_title(f"final {style.SPLIT_NAMES[split]}  ({count})", loc="left", pad=5)
            axes.tick_params(labelleft=axes is row[0])
    return page.figure


def _looks(data: pd.DataFrame) -> dict[str, Line2D]:
    """Colour and marker of each line; the second and later lines of a network have open marks."""
    looks = {}
    for network in in_order(data["network"]):
        markers = style.MARKERS.get(network, "^")
        for number, name in enumerate(sorted(data.loc[data["network"] == network, "line"].unique())):
            colour = style.NETWORK_COLOURS.get(network, style.MUTED)
            looks[name] = Line2D(
                [], [], color=colour, marker=markers[number % len(markers)], markersize=4.5, linewidth=1.3,
                markeredgewidth=1, markerfacecolor="white" if number else colour, label=name,
            )  # fmt: skip
    return looks


def _papers_legend(data: pd.DataFrame) -> Iterator[Line2D]:
    papers = data[data["kind"].isin(style.VALUE_MARKS)].drop_duplicates(["kind", "source"])
    for kind, source in sorted(zip(papers["kind"], papers["source"], strict=True), reverse=True):
        name = f"{source} (digitised, ±0.2)" if kind == "digitised" else source
        yield Line2D([], [], color=style.INK, label=name, **style.VALUE_MARKS[kind])


def _panel(axes: Axes, data: pd.DataFrame, depths: list[int], looks: dict[str, Line2D]) -> None:
    """Depths are spaced evenly: to scale, 18 and 20 would lie on each other beside 110."""
    place = {depth: x for x, depth in enumerate(depths)}
    for name, look in looks.items():
        line = data[data["line"] == name]
        if not line.empty:
            side = SIDE.get(line["network"].iloc[0], 0) * len(depths)
            _line(axes, name, line, line["depth"].map(place) + side, side, look)
            _counts(axes, line[line["n"] < data["n"].max()], place, SEEDS * side, look)
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_xlim(-0.5, len(depths) - 0.5)
    axes.set_xlabel("depth (layers)")


def _line(axes: Axes, name: str, line: pd.DataFrame, at: pd.Series, side: float, look: Line2D) -> None:
    mean, seed, lost = (line["kind"] == kind for kind in ("mean", "seed", "diverged"))
    names = ("color", "marker", "markersize", "linewidth", "markeredgewidth", "markerfacecolor")
    same: dict[str, Any] = {name: getattr(look, f"get_{name}")() for name in names}
    point: dict[str, Any] = {"color": look.get_color(), "markersize": 4, "linestyle": "none", "clip_on": False}
    out = at[seed] + (SEEDS - 1) * side
    axes.plot(out, line["error"][seed], marker=".", mew=0, alpha=0.5, gid=f"{name} seed", **point)
    axes.vlines(at[mean], line["low"][mean], line["high"][mean], colors=look.get_color(), linewidth=1, gid=name)
    dash = style.SPLIT_LINES[line["split"][mean].iloc[0]] if mean.any() else "-"
    axes.plot(at[mean], line["error"][mean], dash, zorder=3, gid=f"{name} mean", clip_on=False, **same)
    for kind, look_of in style.VALUE_MARKS.items():
        theirs = line["kind"] == kind
        beside = at[theirs] + (PAPERS - 1) * side
        axes.plot(beside, line["error"][theirs], color=look.get_color(), gid=f"{name} {kind}", **look_of)
    top = [1.0] * int(lost.sum())
    axes.plot(at[lost], top, marker="x", gid=f"{name} diverged", transform=axes.get_xaxis_transform(), **point)


def _counts(axes: Axes, means: pd.DataFrame, place: dict[int, int], side: float, look: Line2D) -> None:
    """Write n beside the seeds of the points that have fewer than the others."""
    where: dict[str, Any] = {"ha": "right" if side < 0 else "left", "va": "center", "textcoords": "offset points"}
    for mean in means.to_dict("records"):
        at, aside = (place[mean["depth"]] + side, mean["error"]), (-4 if side < 0 else 4, 0)
        text = axes.annotate(f"n={mean['n']}", at, aside, size=6, color=look.get_color(), zorder=4, **where)
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])  # a line may run below it
