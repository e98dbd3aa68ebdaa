"""Lines of what probes measured: pale seeds, bold means, their looks, legends and axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from study.plotting.base import canvas, style
from study.plotting.base.frames import in_order
from study.plotting.base.outside import nothing
from study.plotting.curves.lines import iteration_unit
from study.plotting.probes.frames import POINT
from study.plotting.surfaces.frames import is_finite

MARKS = ("o", "s", "^", "D")
"""Of the second and later labels of one depth, on some of the line's points."""
MEAN: dict[str, Any] = {"linewidth": 1.3, "zorder": 3}
SEED: dict[str, Any] = {"linewidth": 0.6, "zorder": 2, "alpha": 0.35}
SCALES = ("auto", "linear", "log")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SPREAD = 10  # a value this many times the median would leave the others at the foot of a linear axis
Look = dict[str, Any]
Looks = dict[tuple[str, str], Look]


def looks(data: pd.DataFrame) -> Looks:
    """How the lines of each (network, label) look: colours tell depths, dashes networks, marks what else differs."""
    points = data[["network", "depth", "label"]].drop_duplicates().sort_values(["depth", "label"])
    labels = points.drop_duplicates("label")
    numbers = dict(zip(labels["label"], labels.groupby("depth").cumcount(), strict=True))
    found = {}
    for network in in_order(points["network"]):
        for _, depth, label in points[points["network"] == network].to_numpy():
            dashes = style.NETWORK_LINES.get(network, ":")
            found[network, label] = {"color": style.depth_colour(depth), "linestyle": dashes} | mark(numbers[label])
    return found


def mark(number: int) -> Look:
    """What tells the point of this number from others that would look the same; nothing for the first."""
    return {"marker": MARKS[(number - 1) % len(MARKS)], "markersize": 3.5, "markerfacecolor": "white"} if number else {}


def draw_lines(axes: Axes, data: pd.DataFrame, x: str, every: Looks, unit: float = 1) -> None:
    """Seeds and means (by `kind`) of `data` over the column `x`, in units of `unit`.

    Over places, no line spans one that is missing. A line that ends because its run diverged ends in a cross.
    """
    for (network, label), look in every.items():
        point = data[(data["network"] == network) & (data["label"] == label)]
        for _, run in point[point["kind"] == "seed"].groupby("run_id"):
            _line(axes, run, x, unit, look | {"marker": "none"} | SEED, f"{network}-{label} seed")
            if x == "iteration" and run["state"].iloc[0] == "diverged":
                _cross(axes, run, unit, look["color"], f"{network}-{label} diverged")
        if not (mean := point[point["kind"] == "mean"]).empty:
            _line(axes, mean, x, unit, look | MEAN, f"{network}-{label} mean")


def _line(axes: Axes, points: pd.DataFrame, x: str, unit: float, look: Look, gid: str) -> None:
    values = points.set_index(x)["value"].astype(float).sort_index()
    if x == "place":
        values = values.reindex(range(int(values.index.min()), int(values.index.max()) + 1))
    y = values.where(is_finite(values)).to_numpy()
    at = values.index.to_numpy(float) / unit
    if look.get("marker", "none") != "none":
        axes.plot(at, y, gid=gid, markevery=max(1, len(y) // 6), **look)
    else:  # points to which no line goes
        there = np.isfinite(y)
        before, after = np.append(False, there[:-1]), np.append(there[1:], False)
        alone = np.flatnonzero(there & ~before & ~after).tolist()
        axes.plot(at, y, gid=gid, markevery=alone, **(look | {"marker": ".", "markersize": 4}))


def _cross(axes: Axes, run: pd.DataFrame, unit: float, colour: str, gid: str) -> None:
    there = run[is_finite(run["value"])].sort_values("iteration")
    if not there.empty:
        end = there.iloc[-1]
        axes.plot(end["iteration"] / unit, end["value"], "x", color=colour, ms=4, zorder=4, clip_on=False, gid=gid)


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
        text = ", ".join(f"{network}-{label} {format(value, form)}" for network, label, value in values)
        parts.append(": ".join(part for part in (str(condition), text) if part))
    return "; ".join(parts)


def by_point(every: Looks) -> list[Line2D]:
    """Legend entries for each network of each depth."""
    return [_entry(f"{network}-{label}", look | MEAN) for (network, label), look in every.items()]


def by_depth(every: Looks) -> list[Line2D]:
    """Legend entries for depths, whatever the network."""
    labels = {label: look for (_, label), look in every.items()}
    order = sorted(labels, key=lambda label: (int(label.split()[0]), label))
    return [_entry(f"depth {label}", labels[label] | {"linestyle": "-"} | MEAN) for label in order]


def by_network(every: Looks) -> list[Line2D]:
    """Legend entries for what dashes mean."""
    lines = {network: {"linestyle": look["linestyle"], "color": style.INK} for (network, _), look in every.items()}
    return [_entry(network, look | MEAN) for network, look in lines.items()]


def by_column(every: Looks) -> list[Line2D]:
    """Legend entries for lines whose second key is all of their name."""
    return [_entry(name, look | MEAN) for (_, name), look in every.items()]


def dashes(networks: Iterable[str]) -> str:
    """For a caption, what dashes mean: `Dashed: plain; solid: residual.`"""
    words = {"--": "dashed", "-": "solid", ":": "dotted"}
    text = "; ".join(f"{words[style.NETWORK_LINES.get(name, ':')]}: {name}" for name in in_order(networks))
    return f"{text[:1].upper()}{text[1:]}."


def singles() -> Line2D:
    """The legend entry for the seeds."""
    return _entry("single seeds", {"color": style.INK} | SEED | {"alpha": 0.5})


def _entry(label: str, look: Look) -> Line2D:
    return Line2D([], [], label=label, **look)


def is_log(values: pd.Series, scale: str) -> bool:
    """Whether the y axis for these values is logarithmic; `auto` takes that where the largest would hide the rest."""
    positive = values[is_finite(values) & (values > 0)].astype(float)
    return scale == "log" or (scale == "auto" and len(positive) > 0 and positive.max() > SPREAD * positive.median())


def zeros(data: pd.DataFrame, by: Sequence[str], scale: str) -> Iterator[str]:
    """Notes on values for which the logarithmic axes have no place; an axis is of the points that share what is in `by`."""
    for _, here in data.groupby(list(by), sort=False):
        if is_log(here["value"], scale):
            names = here["network"].map(str) + "-" + here["label"].map(str)
            names += here["condition"].map(lambda text: f" ({text})" if text else "")
            yield from nothing(here["value"], names, "values")


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
    canvas.few_ticks(axes.xaxis)
    axes.set_xlabel(name)


def iteration_axis(axes: Axes, last: int) -> int:
    """The x axis over iterations 0 to `last`; the unit that it counts in."""
    unit, name = iteration_unit(last)
    room = 0.02 * (last or 1)  # for marks at the ends
    axes.set_xlim(-room / unit, (last + room) / unit)
    canvas.few_ticks(axes.xaxis)
    axes.set_xlabel(name)
    return unit
