"""The gradient that reaches each layer, from the first step on, plain beside residual: what R15 asserts and does not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.frames import in_order
from study.plotting.base.outside import nothing, outside
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import iteration_axis
from study.plotting.probes import frames as measured
from study.plotting.probes import lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.surfaces.frames import check_choice, is_finite
from study.stats.naming import network_name, network_title

MEASURES = {
    "norm": ("‖∂L/∂w‖\n(nats per unit of weight)", ""),
    "relative": ("‖∂L/∂w‖ / ‖w‖\n(nats per unit of weight²)", ", relative to the norm of the weights"),
}
"""Of the colour bar, and of the caption."""
COLUMNS = ["kind", *POINT, "column", "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]
DECADES = 8  # of the colour scale at most: where gradients have vanished, the others must still be told apart
NOTHING = "#d8d8d8"
COLOURS = "viridis"


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, measure: str = "norm") -> Plot:
    """Draw the figure: a row of panels for each depth.

    `measure`: `norm`, or `relative` to the norm of the weights.
    """
    check_choice("measure", measure, MEASURES)
    evidence = measured.measured(frame, runs, "gradients", [measure])
    data = prepare(evidence.rows)
    evidence = evidence.noting(*measured.not_finite(evidence.rows, evidence.runs), *_beyond(data))
    unit, relative = MEASURES[measure]
    text = (
        f"{_finding(data)}Norm of the gradient of the mean loss with respect to each layer's weights{relative}, by layer (the "
        "first on top) and iteration, the geometric mean over seeds; one column of cells for each iteration that was measured, "
        f"at equal distances. Left: that of the first convolution over that of the last. {lines.seeds_in_words(data)} BN in "
        "training mode, no augmentation, without weight decay."
    )
    return Plot(draw(data, evidence, unit), data, evidence.caption(text))


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Every cell and line of the figure: `kind` is cell, or seed or mean of the ratio of the first and last convolution.

    `column` is the title of the heat map that a point belongs to: its network, and what else tells it from others.
    """
    rows = rows.sort_values(["run_id", "iteration", "place", "layer"])  # sums depend on the order
    cells = measured.means(measured.averaged(rows), ["iteration", "place", "layer"], geometric=True)
    if cells.empty:
        raise StudyError("nothing to draw: no finished or running run has gradients")
    ratios = _ratios(rows)
    middle = measured.means(measured.averaged(ratios), ["iteration"], geometric=True)
    parts = [cells.assign(kind="cell"), ratios.assign(kind="seed"), middle.assign(kind="mean")]
    table = measured.table(parts, COLUMNS).astype({"iteration": int})
    table["column"] = [
        f"{network} {label.removeprefix(str(depth)).strip()}".strip()
        for network, depth, label in table[["network", "depth", "label"]].to_numpy()
    ]
    return table


def _finding(data: pd.DataFrame) -> str:
    """What the left panels show: the ratio of the deepest network of each kind before the first step."""
    first = data[(data["kind"] == "mean") & (data["iteration"] == data["iteration"].min()) & is_finite(data["value"])]
    deep = first[first["depth"] == first["depth"].max()]
    told = [f"{network_name(row.network, row.label)} {number(row.value)}" for row in deep.itertuples()]
    when = f"at iteration {data['iteration'].min():,}"
    return f"Gradient of the first convolution over that of the last, {when}: {', '.join(told)}. " if told else ""


def _ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """The first convolution's value over the last one's, a row per (run, iteration); shortcuts and head left out."""
    layers = rows["layer"].map(str)
    convs = rows[~layers.str.startswith("head") & ~layers.str.contains("shortcut", regex=False)]
    groups = convs.sort_values("place", kind="stable").groupby(["run_id", "iteration"])
    first, last = groups.head(1).set_index(["run_id", "iteration"]), groups.tail(1).set_index(["run_id", "iteration"])
    with np.errstate(divide="ignore", invalid="ignore"):
        value = first["value"] / last["value"].reindex(first.index)
    return first.assign(value=value).drop(columns=["place", "layer"]).reset_index()


def _beyond(data: pd.DataFrame) -> Iterator[str]:
    """Notes on what the colours and the axis of the ratio leave out."""
    names, cells = lines.names(data), data["kind"] == "cell"
    yield from outside(data.loc[cells, "value"], names[cells], _scale(data.loc[cells, "value"]), "", of="colours")
    yield from nothing(data.loc[~cells, "value"], names[~cells], "ratios")


def draw(data: pd.DataFrame, evidence: Measured, unit: str) -> Figure:
    """The picture of what `prepare` gives; `unit` names the colours."""
    cells = data.loc[data["kind"] == "cell", "value"]
    colours, scale, limits = _colours(data), _scale(cells), _limits(data.loc[data["kind"] != "cell", "value"])
    rows = [
        (condition, depth)
        for condition in measured.conditions(evidence, data)
        for depth in sorted(data.loc[data["condition"] == condition, "depth"].unique())
    ]
    titles = [" · ".join(filter(None, [condition, f"depth {depth}"])) for condition, depth in rows]
    legend = list(_legend(data, colours, not is_finite(cells).all()))
    head = Head(evidence.title, evidence.subtitle, legend)
    made = page.page(titles, len(colours) + 1, head, evidence.notes, tall=1.3, share=False)
    for axes, (condition, depth) in zip(made.panels, rows, strict=True):
        here = data[(data["condition"] == condition) & (data["depth"] == depth)]
        _ratio(axes[0], here[here["kind"] != "cell"], colours, limits)
        for panel, name in zip(axes[1:], colours, strict=True):
            _heat(panel, name, here[(here["kind"] == "cell") & (here["column"] == name)], LogNorm(*scale))
        axes[1].set_ylabel("layer")
    under = "min" if (cells < scale[0]).any() else "neither"
    bar = page.colour_bar(made, ScalarMappable(LogNorm(*scale), COLOURS), unit, extend=under)
    lines.log_ticks(bar.yaxis)
    return made.figure


def _colours(data: pd.DataFrame) -> dict[str, str]:
    """The titles of the heat maps in their order, and the colour of each one's ratio: lighter for variants of a network."""
    pairs = data[["network", "column"]].drop_duplicates()
    found: dict[str, str] = {}
    for place, network in enumerate(in_order(pairs["network"])):
        names = sorted(pairs.loc[pairs["network"] == network, "column"])
        shades = sns.light_palette(style.network_colour(network, place), len(names) + 1, reverse=True)
        found |= dict(zip(names, shades.as_hex(), strict=False))  # all but the lightest
    return found


def _scale(values: pd.Series) -> tuple[float, float]:
    """The ends of the scale of colours, the same for all panels."""
    positive = values[is_finite(values) & (values > 0)]
    if positive.empty:
        return 0.1, 10.0
    low, high = max(positive.min(), positive.max() / 10**DECADES), positive.max()
    return low, high if high > low else 10 * low


def _limits(ratios: pd.Series) -> tuple[float, float]:
    """Of the ratio's axis, the same for all panels: at least a decade, with 1 in it."""
    positive = ratios[is_finite(ratios) & (ratios > 0)]
    low, high = min([0.5, *positive]), max([2.0, *positive])
    return low / 1.3, high * 1.3


def _ratio(axes: Axes, ratios: pd.DataFrame, colours: Mapping[str, str], limits: tuple[float, float]) -> None:
    unit = iteration_axis([axes], int(ratios["iteration"].max()))
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(*limits)
    lines.log_ticks(axes.yaxis)
    axes.axhline(1, color=style.MUTED, linewidth=0.5, zorder=1, gid="one")
    every = {name: {"color": colour, "marker": ""} for name, colour in colours.items()}
    lines.draw_lines(axes, ratios.assign(label=ratios["column"]), "iteration", every, unit=unit)
    axes.set_title("first ÷ last conv.")


def _heat(axes: Axes, name: str, cells: pd.DataFrame, norm: LogNorm) -> None:
    """One network's layers and iterations; grey where a value is not finite."""
    if cells.empty:
        page.absent(axes, f"{name}\nnot measured")
        return
    table = cells.pivot(index="place", columns="iteration", values="value")
    table = table.reindex(range(1, int(table.index.max()) + 1)).astype(float)
    table = table.where(np.isfinite).clip(lower=norm.vmin)
    axes.set_facecolor(NOTHING)
    ends = {"vmin": norm.vmin, "vmax": norm.vmax}  # else seaborn looks for them, and warns where no value is finite
    look: dict[str, Any] = {"norm": norm, "cmap": COLOURS, "cbar": False, "rasterized": True}
    sns.heatmap(table, xticklabels=False, yticklabels=False, ax=axes, **ends, **look)
    axes.spines[["left", "bottom"]].set_visible(True)
    axes.grid(visible=False)
    iterations = table.columns.to_numpy(int)
    unit = 10_000 if iterations[-1] >= 10_000 else 1
    columns, layers = _ticks(table.shape[1], 5), _ticks(table.shape[0] + 1, 6)[1:]
    axes.set_xticks([column + 0.5 for column in columns], [f"{iterations[column] / unit:g}" for column in columns])
    axes.set_yticks([layer - 0.5 for layer in layers], [str(layer) for layer in layers])
    axes.set(xlabel="iterations (×10⁴)" if unit > 1 else "iterations", ylabel="")
    axes.set_title(name.replace("residual", network_title("residual"), 1) + lines.counts(cells))


def _ticks(size: int, most: int) -> list[int]:
    """Round numbers from 0 to below `size`, in at most so many steps."""
    ticks = MaxNLocator(most, steps=[1, 2, 5, 10], integer=True).tick_values(0, size - 0.5)
    return [int(tick) for tick in ticks if tick < size]


def _legend(data: pd.DataFrame, colours: Mapping[str, str], lost: bool) -> Iterator[Artist]:
    for name, colour in colours.items():
        yield style.entry(name.replace("residual", network_title("residual"), 1), colour, linewidth=1.3)
    yield from lines.legend(data[data["kind"] == "seed"], {})
    if lost:
        yield Patch(facecolor=NOTHING, label="not finite")
