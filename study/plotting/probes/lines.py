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
from matplotlib.ticker import LogLocator, NullLocator

from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.frames import in_order
from study.plotting.base.outside import nothing
from study.plotting.base.page import Head
from study.plotting.curves.lines import iteration_axis
from study.plotting.probes import frames as measured
from study.plotting.probes.frames import GONE, POINT, Measured
from study.plotting.surfaces.frames import is_finite, strokes
from study.stats.naming import lost, network_name, network_title
from study.store.runs import LOST

MARKS = ("", "o", "s", "^", "D")  # of the labels of one depth, on some of the line's points
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markersize": 3.5, "markeredgewidth": 1}
SCALES = ("auto", "linear", "log")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SPREAD = 10  # a value this many times the median would leave the others at the foot of a linear axis

THIN: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.35, "zorder": 2}
BOLD: dict[str, Any] = {"linewidth": 1.3, "zorder": 3}
LINE = ["kind", "label", "run_id"]  # the fields that tell the lines of a panel apart


def looks(data: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The colour of each label's depth, and a marker for the second and later labels of one depth."""
    labels = data[["depth", "label"]].drop_duplicates("label").sort_values(["depth", "label"])
    marks = (labels.groupby("depth").cumcount() % len(MARKS)).map(MARKS.__getitem__)
    colours = labels["depth"].map(style.depth_colour)
    return {
        label: {"color": colour, "marker": mark, "markeredgecolor": colour} | HOLLOW
        for label, colour, mark in zip(labels["label"], colours, marks, strict=True)
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
                axes.set_xlim(min(0.5, 1 - 0.02 * last), max(last + 0.5, 1.02 * last))
                axes.set_xlabel(label)
                page.few_ticks(axes.xaxis, 4)
            made.title(axes, f"{network_title(network)}, {title}{counts(lines)}")
        row[0].set_ylabel(unit)
    return made.figure


def draw_lines(
    axes: Axes, data: pd.DataFrame, x: str, every: Mapping[str, dict[str, Any]], *, unit: float = 1, at: str = ""
) -> None:
    """Seeds and means (by `kind`) of `data` over the column `x`, in units of `unit`; drawn at the column `at`, if not at `x`.

    No line spans a place that is missing or a value that is not finite. A line that ends because its run is lost ends in a
    cross. `every` has the looks of the labels.
    """
    order = data["place"] if x == "place" else data.sort_values(x).groupby(LINE, dropna=False).cumcount()
    data = strokes(data.assign(x=data[at or x].astype(float) / unit, step=order), LINE, "step", "value")
    seeds, means = data[data["kind"] == "seed"], data[data["kind"] == "mean"]
    alone = seeds.groupby(POINT)["run_id"].transform("nunique") == 1
    thin = seeds[~alone | seeds["state"].isin(GONE) | ~seeds["label"].isin(means["label"])]
    labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    same: dict[str, Any] = {"x": "x", "y": "value", "legend": False, "ax": axes}
    for part, look, size in ((thin, THIN, 6), (means, BOLD, 12)):
        for label, line in part.groupby("label"):
            colour = {"color": every[str(label)]["color"]}
            marked = every[str(label)] | {"markevery": max(1, len(line) // 10)} if part is means else colour
            sns.lineplot(line, units="stroke", estimator=None, errorbar=None, **same, **look, **marked)
            single = line[line.groupby("stroke")["x"].transform("size") == 1]
            sns.scatterplot(single, s=size, **same, **look | colour | {"linewidth": 0})
    axes.set(**labels)  # seaborn writes the names of columns
    if x == "iteration":
        ends = seeds[seeds["state"].isin(LOST)].sort_values(x).groupby("run_id").tail(1)
        for label, end in ends.groupby("label"):
            axes.plot(end["x"], end["value"], color=every[str(label)]["color"], zorder=4, gid="lost", **style.LOST)


def legend(data: pd.DataFrame, every: Mapping[str, dict[str, Any]]) -> list[Artist]:
    """An entry for each depth, and those for seeds."""
    handles: list[Artist] = [
        style.entry(f"depth {label}", look["color"], linewidth=1.3, **{k: v for k, v in look.items() if k != "color"})
        for label, look in every.items()
    ]
    seeds = data[data["kind"] == "seed"]
    if (seeds.groupby(POINT)["run_id"].nunique() > 1).any():
        handles.append(style.entry("single seeds", linewidth=0.6, alpha=0.5))
    if "state" in seeds and (how := lost(seeds["state"])):
        handles.append(style.entry(how, **style.LOST))
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
    count = f"(n = {low})" if low == high else f"(n = {low} to {high})"
    return "  " + count.replace(" ", "\N{NO-BREAK SPACE}")


def uneven(data: pd.DataFrame) -> Iterator[str]:
    """A note on the number of seeds of each point, where the points of a panel may differ in it."""
    points = data[data["kind"] == "mean"].drop_duplicates(POINT)
    differ = points.groupby("condition")["n"].transform("nunique") > 1
    if differ.any():
        yield f"n: {each_point(points[differ], 'n', 'd')}"


def names(data: pd.DataFrame) -> pd.Series:
    """`plain-56 (condition)`: the network of each row."""
    conditions = data["condition"].map(lambda text: f" ({text})" if text else "")
    return pd.Series([*map(network_name, data["network"], data["label"])], data.index, dtype=object) + conditions


def each_point(points: pd.DataFrame, column: str, form: str) -> str:
    """`plain-20 5, plain-56 4`: the value of each point, in this format."""
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(names(points), points[column], strict=True))


def finding(data: pd.DataFrame, what: str, form: str = ".2g") -> str:
    """What a figure shows: the range of the means over places, of the deepest network of each kind."""
    means = data[(data["kind"] == "mean") & is_finite(data["value"])]
    told = []
    for network, mine in means.groupby("network"):
        deep = mine[mine["depth"] == mine["depth"].max()]
        ends = dict.fromkeys(number(float(deep["value"].agg(end)), form) for end in ("min", "max"))
        told.append(f"{network_name(str(network), deep['label'].iloc[0])} {' to '.join(ends)}")
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
