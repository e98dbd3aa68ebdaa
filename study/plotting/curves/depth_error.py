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
from study.plotting.base.frames import Tidy, conditions_of, final_values, in_order, tidy
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import BOOTSTRAP, MEASURED, Training, finding, values_legend
from study.stats.bca_interval import bca_interval
from study.stats.naming import distinguish, kinds, lost, network_title
from study.store.runs import LOST

MARK = ["condition", "network", "line", "split", "depth"]
COLUMNS = ["kind", *MARK, "run_id", "seed", "n", "error", "low", "high", "source"]
SOURCES = ("fig6", "i16_table1", "i16_table2", "i16_table3", "l18_fig5")  # of `papers.VALUES`: the single view's errors
SIDE = 0.07  # between the lines of two networks at one depth, in units of the distance of two depths
TALL = 1.9
HALO = [withStroke(linewidth=1.5, foreground="white")]  # a line may run below


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: Training = "train_clean") -> Plot:
    """Draw the figure from the runs that are done; arguments and errors as for `degradation.plot`."""
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
    return Plot(draw(data, evidence, training, notes), data, evidence.caption(shows, R15))


def prepare(evidence: Tidy, training: str) -> pd.DataFrame:
    """Every mark of the figure, errors in percent: `kind` is seed, mean (with n, low, high), the state of a lost run, or reported
    and digitised: what the papers have for networks and protocols that are here, with `source`."""
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
    gone = runs[runs["state"].isin(LOST)]
    frames = [seeds, pd.DataFrame(means).assign(kind="mean"), gone.assign(kind=gone["state"]), _of_papers(runs)]
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
            _panel(axes, marks, split, looks)
            count = f"n = {marks['n'].max()}" + (" unless given" if marks["n"].nunique() > 1 else "")
            made.title(axes, f"final {style.SPLIT_NAMES[split]} ({count})")
        row[0].set_ylabel("error (%)")
    return made.figure


def _looks(data: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Colour and marker of each line; the second and later lines of a network have open marks."""
    looks = {}
    for place, network in enumerate(in_order(data["network"])):
        markers, colour = style.MARKERS.get(network, "^"), style.network_colour(network, place)
        for number, name in enumerate(sorted(data.loc[data["network"] == network, "line"].unique())):
            looks[name] = {
                "color": colour, "marker": markers[number % len(markers)], "markersize": 4, "linewidth": 1.2,
                "markeredgewidth": 0.9, "markerfacecolor": "white" if number else colour,
            }  # fmt: skip
    return looks


def _legend(data: pd.DataFrame, looks: Mapping[str, dict[str, Any]]) -> Iterator[Artist]:
    networks = data.drop_duplicates("line").set_index("line")["network"]
    for name, look in looks.items():
        yield Line2D([], [], label=name.replace(networks[name], network_title(networks[name]), 1), **look)
    if (data["kind"] == "seed").sum() > (data["kind"] == "mean").sum():
        yield style.entry("single seeds", **style.SEED)
    if how := lost(data["kind"]):
        yield style.entry(how, **style.LOST)
    for paper, theirs in data.groupby("source"):
        yield from values_legend(theirs["kind"], str(paper))


def _panel(axes: Axes, data: pd.DataFrame, split: str, looks: Mapping[str, dict[str, Any]]) -> None:
    """Depths are spaced evenly: to scale, 18 and 20 would lie on each other beside 110."""
    depths, most = sorted(data["depth"].unique()), data["n"].max()
    lines = [name for name in looks if (data["line"] == name).any()]
    places = data["depth"].map(depths.index)
    for place, name in enumerate(lines):
        side = min(SIDE, 0.8 / len(lines)) * (place - (len(lines) - 1) / 2)
        line = data[data["line"] == name].assign(x=places + side)
        _line(axes, line, looks[name] | {"linestyle": style.line_of(split)}, 0.06 if side > 0 else -0.06, most)
    axes.set_xticks(range(len(depths)), depths)
    axes.set(xlabel="depth (layers)", ylabel="", xlim=(-0.5, len(depths) - 0.5))


def _line(axes: Axes, line: pd.DataFrame, look: dict[str, Any], out: float, most: int) -> None:
    """The means of a line and what stands beside them: intervals, seeds, the papers' values, and lost runs."""
    name, colour = line["line"].iloc[0], look["color"]
    mean, seed, gone = (line[line["kind"].isin(kinds)] for kinds in (["mean"], ["seed"], LOST))
    sns.pointplot(mean, x="x", y="error", native_scale=True, errorbar=None, ax=axes, zorder=3, **look)
    axes.vlines(mean["x"], mean["low"], mean["high"], colors=colour, linewidth=1, gid=name)
    if len(seed) > len(mean):  # of one seed each the means say it all
        axes.plot(seed["x"] + out, seed["error"], color=colour, gid=f"{name} seed", **style.SEED)
    for kind, mark in style.VALUE_MARKS.items():
        for value in line[line["kind"] == kind].to_dict("records"):
            axes.plot(value["x"] + 2 * out, value["error"], color=colour, gid=f"{name} {kind}", **mark)
    edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "gid": f"{name} lost"}
    for place in gone["x"] + out:
        axes.plot(place, 1, color=colour, **edge, **style.LOST)
    for row in mean[mean["n"] < most].to_dict("records"):
        axes.annotate(
            f"n={row['n']}", (row["x"], row["error"]), (0, 5), textcoords="offset points", ha="center", zorder=4,
            color=style.ink(colour), size=style.SMALLEST, path_effects=HALO,
        )  # fmt: skip
