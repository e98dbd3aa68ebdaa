"""Lines of what probes measured: pale seeds, bold means, legends and axes. Colours tell depths; networks have panels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.frames import in_order, network_title
from study.plotting.base.outside import nothing
from study.plotting.base.page import Head
from study.plotting.curves.lines import iteration_axis
from study.plotting.probes import frames as measured
from study.plotting.probes.frames import POINT, Measured
from study.plotting.surfaces.frames import is_finite

MARKS = ("", "o", "s", "^", "D")  # of the labels of one depth, on some of the line's points
SCALES = ("auto", "linear", "log")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SPREAD = 10  # a value this many times the median would leave the others at the foot of a linear axis


def looks(data: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The colour of each label's depth, and a marker for the second and later labels of one depth."""
    labels = data[["depth", "label"]].drop_duplicates("label").sort_values(["depth", "label"])
    numbers = labels.groupby("depth").cumcount() % len(MARKS)
    return {
        label: {
            "color": style.depth_colour(depth),
            "marker": MARKS[number],
            "markerfacecolor": "white",
            "markersize": 3.5,
        }
        for label, depth, number in zip(labels["label"], labels["depth"], numbers, strict=True)
    }


def draw(
    data: pd.DataFrame, evidence: Measured, by: str, panels: Mapping[str, tuple[str, str, str]], unit: str, scale: str
) -> Figure:
    """A column for each network, a row for each of `panels`: its title, its x column (place or iteration) and x label.

    `by`: the column that names the panel of a point. `unit`: the label of the y axis.
    """
    networks, every = in_order(data["network"]), looks(data)
    rows = [(condition, panel) for condition in measured.conditions(evidence, data) for panel in panels]
    titles = [condition if panel == next(iter(panels)) else "" for condition, panel in rows]
    head = Head(evidence.title, evidence.subtitle, legend(data, every))
    made = page.page(titles, len(networks), head, evidence.notes, tall=1.3)
    for row, (condition, panel) in zip(made.panels, rows, strict=True):
        own = data[data["condition"] == condition]
        here, (title, x, label) = own[own[by] == panel], panels[panel]
        value_axis(row[0], own["value"], scale)
        last = int(here[x].max())
        steps = iteration_axis(row, last) if x == "iteration" else 1
        for axes, network in zip(row, networks, strict=True):
            lines = here[here["network"] == network]
            draw_lines(axes, lines, x, every, unit=steps)
            if x == "place":
                place_axis(axes, last, label)
            axes.set_title(f"{network_title(network)}, {title}{counts(lines)}")
        row[0].set_ylabel(unit)
    return made.figure


def draw_lines(
    axes: Axes,
    data: pd.DataFrame,
    x: str,
    every: Mapping[str, dict[str, Any]],
    *,
    unit: float = 1,
    at: str | None = None,
) -> None:
    """Seeds and means (by `kind`) of `data` over the column `x`, in units of `unit`; drawn at the column `at`, if not at `x`.

    No line spans a place that is missing or a value that is not finite. A line that ends because its run diverged ends in a
    cross. `every` has the looks of the labels.
    """
    if data.empty:
        return
    palette = {label: look["color"] for label, look in every.items()}
    said = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    shown = _segments(data.assign(x=data[at or x] / unit), x)
    seeds, means = shown[shown["kind"] == "seed"], shown[shown["kind"] == "mean"]
    several = seeds.groupby(POINT)["run_id"].transform("nunique") > 1
    lost = seeds["state"].isin(("diverged", "failed"))
    same: dict[str, Any] = {"x": "x", "y": "value", "hue": "label", "palette": palette, "legend": False, "ax": axes}
    for part, look in (
        (seeds[several | lost | ~seeds["label"].isin(means["label"])], {"linewidth": 0.6, "alpha": 0.35, "zorder": 2}),
        (means, {"linewidth": 1.3, "zorder": 3}),
    ):
        if not part.empty:
            sns.lineplot(part, units="segment", estimator=None, errorbar=None, **same, **look)
            alone = part[part.groupby("segment")["x"].transform("size") == 1]
            if len(alone):
                sns.scatterplot(alone, s=12 if part is means else 5, linewidth=0, zorder=look["zorder"], **same)
    for label, mark in every.items():
        own = means[means["label"] == label]
        if mark["marker"] and len(own):
            some = own.iloc[:: max(1, len(own) // 6)]
            axes.plot(some["x"], some["value"], gid=f"mark {label}", **dict(mark, linestyle="none", zorder=4))
    if x == "iteration":
        for end in seeds[lost & (seeds["state"] == "diverged")].groupby("run_id").tail(1).to_dict("records"):
            colour = palette[end["label"]]
            axes.plot(end["x"], end["value"], "x", color=colour, ms=4, zorder=4, clip_on=False, gid="diverged")
    axes.set(**said)  # seaborn writes the columns' names


def _segments(data: pd.DataFrame, x: str) -> pd.DataFrame:
    """The finite values in order, with `segment`: points that a line may join."""
    keys = ["kind", *POINT, "run_id"]
    ordered = data.sort_values([*keys, x], kind="stable")
    groups = ordered.groupby(keys, dropna=False, sort=False)
    ordered = ordered.assign(own=groups.ngroup(), rank=ordered["place"] if x == "place" else groups.cumcount())
    shown = ordered[is_finite(ordered["value"])].astype({"value": float, "rank": float})
    return shown.assign(segment=((shown["own"].diff() != 0) | (shown["rank"].diff() != 1)).cumsum())


def legend(data: pd.DataFrame, every: Mapping[str, dict[str, Any]]) -> list[Artist]:
    """An entry for each depth, and those for seeds."""
    handles: list[Artist] = [
        Line2D([], [], linewidth=1.3, label=f"depth {label}", **look) for label, look in every.items()
    ]
    seeds = data[data["kind"] == "seed"]
    if (seeds.groupby(POINT)["run_id"].nunique() > 1).any():
        handles.append(Line2D([], [], color=style.INK, linewidth=0.6, alpha=0.5, label="single seeds"))
    if "state" in seeds and (seeds["state"] == "diverged").any():
        handles.append(Line2D([], [], color=style.INK, marker="x", ms=4, linestyle="none", label="diverged"))
    return handles


def seeds_in_words(data: pd.DataFrame) -> str:
    """What a caption says of the seeds."""
    several = (data["n"].dropna() > 1).any()
    return "Pale lines are single seeds, bold ones their mean." if several else "One seed each: no spread is known."


def counts(data: pd.DataFrame) -> str:
    """`  (n = 3)` for a title, where all means of `data` are over as many seeds; else the smallest and the largest."""
    numbers = data["n"].dropna().astype(int)
    if numbers.empty:
        return ""
    low, high = numbers.min(), numbers.max()
    return f"  (n = {low})" if low == high else f"  (n = {low} to {high})"


def uneven(data: pd.DataFrame) -> Iterator[str]:
    """A note on the number of seeds of each point, where the points of a panel may differ in it."""
    points = data[data["kind"] == "mean"].drop_duplicates(POINT)
    differ = points.groupby("condition")["n"].transform("nunique") > 1
    if differ.any():
        yield f"n: {each_point(points[differ], 'n', 'd')}"


def each_point(points: pd.DataFrame, column: str, form: str) -> str:
    """`plain-20 5, plain-56 4`: the value of each point, in this format, by condition where there are several."""
    parts = []
    for condition, group in points.groupby("condition", sort=False):
        values = group[["network", "label", column]].to_numpy()
        text = ", ".join(f"{network_title(network)}-{label} {format(value, form)}" for network, label, value in values)
        parts.append(": ".join(part for part in (str(condition), text) if part))
    return "; ".join(parts)


def finding(data: pd.DataFrame, what: str, form: str = ".2g") -> str:
    """What a figure shows: the range of the means over places, of the deepest network of each kind."""
    means = data[(data["kind"] == "mean") & is_finite(data["value"])]
    told = []
    for network, mine in means.groupby("network"):
        deep = mine[mine["depth"] == mine["depth"].max()]
        low, high = (number(float(deep["value"].agg(end)), form) for end in ("min", "max"))
        told.append(f"{network_title(str(network))}-{deep['label'].iloc[0]} {low} to {high}")
    return f"{what}: {', '.join(told)}. " if told else ""


def is_log(values: pd.Series, scale: str) -> bool:
    """Whether the y axis for these values is logarithmic; `auto` takes that where the largest would hide the rest."""
    positive = values[is_finite(values) & (values > 0)].astype(float)
    return scale == "log" or (scale == "auto" and len(positive) > 0 and positive.max() > SPREAD * positive.median())


def notes(data: pd.DataFrame, scale: str) -> Iterator[str]:
    """On unequal numbers of seeds, and on values that have no place on a logarithmic axis."""
    yield from uneven(data)
    for _, here in data.groupby("condition", sort=False):
        if is_log(here["value"], scale):
            yield from nothing(here["value"], names(here), "values")


def names(data: pd.DataFrame) -> pd.Series:
    """`plain-56 (condition)`: the network of each row."""
    conditions = data["condition"].map(lambda text: f" ({text})" if text else "")
    return data["network"].map(network_title) + "-" + data["label"].map(str) + conditions


def value_axis(axes: Axes, values: pd.Series, scale: str) -> None:
    """The y axis for these values: linear from 0 or the least, or logarithmic (`is_log`)."""
    finite = values[is_finite(values)].astype(float)
    positive = finite[finite > 0]
    if is_log(values, scale):
        axes.set_yscale("log", nonpositive="clip")
        if len(positive):
            axes.set_ylim(positive.min() / 1.25, positive.max() * 1.25)
        log_ticks(axes.yaxis)
    else:
        axes.set_ylim(1.05 * min([0.0, *finite]), 1.05 * finite.max() if len(positive) else 1)
        page.few_ticks(axes.yaxis)


def log_ticks(axis: Axis) -> None:
    """At 1, 2 and 5 of each decade where there are few decades, written out where that is short."""
    low, high = axis.get_view_interval()
    few = high / low < 200
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axis.set_major_formatter(lambda value, _: f"{value:g}" if few else _power_of_ten(value))
    axis.set_minor_locator(NullLocator())


def _power_of_ten(value: float) -> str:
    """`10⁻²`, in letters: setting it as a formula takes as long as half a figure."""
    return "10" + f"{round(math.log10(value))}".translate(SUPERSCRIPTS)


def place_axis(axes: Axes, last: int, name: str) -> None:
    """The x axis over places 1 to `last`."""
    axes.set_xlim(min(0.5, 1 - 0.02 * last), max(last + 0.5, 1.02 * last))
    page.few_ticks(axes.xaxis, 4)
    axes.set_xlabel(name)
