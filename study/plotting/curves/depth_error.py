"""Final training and test error against depth: does depth hurt training itself, and do shortcuts mend it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from study.errors import StudyError
from study.papers.values import R15, VALUES, match
from study.plotting.base import page, style
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, conditions_of, final_values, in_order, named, network_title, tidy
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import MEASURED, check_training, finding
from study.stats.bca_interval import FEWEST, RESAMPLES, SEED, bca_interval
from study.stats.naming import distinguish, kinds

MARK = ["condition", "network", "line", "split", "depth"]
COLUMNS = ["kind", *MARK, "run_id", "seed", "n", "error", "low", "high", "source"]
SOURCES = ("fig6", "i16_table1", "i16_table2", "i16_table3", "l18_fig5")  # of `papers.VALUES`: the single view's errors
SIDE = 0.07  # between the lines of two networks at one depth, in units of the distance of two depths
TALL = 1.9
HALO = [withStroke(linewidth=1.5, foreground="white")]  # a line may run below
BOOTSTRAP = f"BCa bootstrap 95 % intervals from {FEWEST} seeds on ({RESAMPLES:,} resamples, seed {SEED})"


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """Draw the figure from the runs that are done; arguments and errors as for `degradation.plot`."""
    check_training(training)
    evidence = tidy(curves, runs)
    data = prepare(evidence, training)
    means = data[data["kind"] == "mean"]
    several = (means["n"] > 1).any()
    bars = f"Bars: {BOOTSTRAP}." if means["low"].notna().any() else ""
    notes = [*evidence.notes, *([bars] if bars else [])]
    finals = means.assign(label=means["depth"].map(str), iteration=0)
    shows = f"{finding(finals, training)}Final error against depth; left: {MEASURED[training]}. " + (
        f"Lines: means over seeds. Small points: single seeds. {bars}"
        if several
        else "One seed each: no spread is known."
    )
    protocol = (evidence.title, evidence.subtitle)
    text = caption(shows, named(evidence.runs), protocol=protocol, notes=evidence.notes, paper=R15)
    return Plot(draw(data, evidence, training, notes), data, text)


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


def draw(data: pd.DataFrame, evidence: Tidy, training: str, notes: list[str]) -> Figure:
    """The picture of what `prepare` gives."""
    splits = [split for split in (training, "test") if split in set(data["split"].dropna())]
    conditions = conditions_of(evidence, data.loc[data["kind"] == "mean", "condition"])
    looks = _looks(data)
    head = Head(evidence.title, evidence.subtitle, list(_legend(data, looks)))
    made = page.page(conditions, len(splits), head, notes, tall=TALL)
    for row, condition in zip(made.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        row[0].set_ylim(0, max(0.5, 1.1 * float(here[["error", "high"]].max().max())))
        page.few_ticks(row[0].yaxis)
        for axes, split in zip(row, splits, strict=True):
            marks = here[(here["split"] == split) | here["split"].isna()]
            _panel(axes, marks, [str(depth) for depth in sorted(here["depth"].unique())], looks)
            most = marks["n"].max()
            count = f"n = {most}" + (" unless given" if marks["n"].nunique() > 1 else "")
            axes.set_title(f"final {style.SPLIT_NAMES[split]}  ({count})")
        row[0].set_ylabel("error (%)")
    return made.figure


def _looks(data: pd.DataFrame) -> dict[str, Line2D]:
    """Colour and marker of each line; the second and later lines of a network have open marks."""
    looks = {}
    for network in in_order(data["network"]):
        markers = style.MARKERS.get(network, ("^",))
        for number, name in enumerate(sorted(data.loc[data["network"] == network, "line"].unique())):
            colour = style.NETWORK_COLOURS.get(network, style.MUTED)
            looks[name] = Line2D(
                [], [], color=colour, marker=markers[number % len(markers)], markersize=4, linewidth=1.2, markeredgewidth=0.9,
                markerfacecolor="white" if number else colour, label=name.replace(network, network_title(network), 1),
            )  # fmt: skip
    return looks


def _legend(data: pd.DataFrame, looks: Mapping[str, Line2D]) -> Iterator[Artist]:
    yield from looks.values()
    if (data["kind"] == "seed").sum() > (data["kind"] == "mean").sum():
        yield Line2D(
            [], [], color=style.INK, marker=".", markersize=4, mew=0, alpha=0.5, linestyle="none", label="single seeds"
        )
    if (data["kind"] == "diverged").any():
        yield Line2D([], [], color=style.INK, marker="x", markersize=4, linestyle="none", label="diverged")
    papers = data[data["kind"].isin(style.VALUE_MARKS)].drop_duplicates(["kind", "source"])
    for kind, source in sorted(zip(papers["kind"], papers["source"], strict=True), reverse=True):
        name = f"{source} (digitised, ±0.2)" if kind == "digitised" else source
        yield Line2D([], [], color=style.INK, label=name, **style.VALUE_MARKS[kind])


def _panel(axes: Axes, data: pd.DataFrame, depths: list[str], looks: Mapping[str, Line2D]) -> None:
    """Depths are spaced evenly: to scale, 18 and 20 would lie on each other beside 110."""
    shown = data.assign(x=data["depth"].map(str), error=data["error"].astype(float))
    means = shown[shown["kind"] == "mean"]
    dash = style.DASHES[means["split"].iloc[0]] if len(means) else ""
    order = [name for name in looks if (data["line"] == name).any()]
    colours = {name: looks[name].get_color() for name in order}
    side = {name: SIDE * (place - (len(order) - 1) / 2) for place, name in enumerate(order)}
    sns.pointplot(
        means, x="x", y="error", hue="line", order=depths, hue_order=order, palette=colours, dodge=SIDE * (len(order) - 1),
        errorbar=None, markers=[looks[name].get_marker() for name in order], linestyles=(0, dash) if dash else "-", markersize=4,
        linewidth=1.2, legend=False, ax=axes, zorder=3,
    )  # fmt: skip
    for name in order:
        line = shown[shown["line"] == name]
        places = line["x"].map(depths.index) + side[name]
        out = places + (0.06 if side[name] > 0 else -0.06)
        _marks(axes, line, places, out, looks[name])
        fewer = line["kind"].eq("mean") & (line["n"] < data["n"].max())
        for at, error, n in zip(places[fewer], line["error"][fewer], line["n"][fewer], strict=True):
            own: dict[str, Any] = {"color": style.ink(colours[name]), "size": style.SMALLEST, "path_effects": HALO}
            axes.annotate(f"n={n}", (at, error), (0, 5), textcoords="offset points", ha="center", zorder=4, **own)
    axes.set(xlabel="depth (layers)", ylabel="", xlim=(-0.5, len(depths) - 0.5))


def _marks(axes: Axes, line: pd.DataFrame, places: pd.Series, out: pd.Series, look: Line2D) -> None:
    """What stands beside the means of a line: intervals, seeds, the papers' values, and runs that diverged."""
    kinds = {kind: line["kind"] == kind for kind in ("mean", "seed", "diverged", *style.VALUE_MARKS)}
    own: dict[str, Any] = {"color": look.get_color(), "linestyle": "none", "clip_on": False, "markersize": 4}
    name = line["line"].iloc[0]
    mean = kinds["mean"]
    axes.vlines(places[mean], line["low"][mean], line["high"][mean], colors=look.get_color(), linewidth=1, gid=name)
    if (seeds := kinds["seed"]).sum() > mean.sum():  # of one seed each the means say it all
        axes.plot(out[seeds], line["error"][seeds], marker=".", mew=0, alpha=0.5, gid=f"{name} seed", **own)
    for kind, mark in style.VALUE_MARKS.items():
        if (theirs := kinds[kind]).any():
            beside = 2 * out[theirs] - places[theirs]
            axes.plot(beside, line["error"][theirs], color=look.get_color(), gid=f"{name} {kind}", **mark)
    if (lost := kinds["diverged"]).any():
        top = axes.get_xaxis_transform()
        axes.plot(out[lost], [1.0] * int(lost.sum()), marker="x", transform=top, gid=f"{name} diverged", **own)
