"""The gradient that reaches each layer, from the first step on, plain beside residual: what R15 asserts and does not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import caption, number
from study.plotting.base.frames import in_order, named, network_title
from study.plotting.base.outside import nothing, outside
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import iteration_axis
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.surfaces.frames import is_finite

MEASURES = {
    "norm": (
        "‖∂L/∂w‖\n(nats per unit of weight)",
        "Norm of the gradient of the mean loss with respect to each layer's weights",
    ),
    "relative": (
        "‖∂L/∂w‖ / ‖w‖\n(nats per unit of weight²)",
        "Norm of the gradient of the mean loss with respect to each layer's weights, relative to the norm of the weights",
    ),
}
"""Of the colour bar, and of the caption."""
COLUMNS = ["kind", *POINT, "column", "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]
DECADES = 8  # of the colour scale at most: where gradients have vanished, the others must still be told apart
NOTHING = "#d8d8d8"
COLOURS = "viridis"
FEW = 5  # ticks


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, measure: str = "norm") -> Plot:
    """Draw the figure: a row of panels for each depth.

    `measure`: `norm`, or `relative` to the norm of the weights.
    """
    measured.chosen("measure", measure, list(MEASURES))
    evidence = measured.measured(frame, runs, "gradients", [measure])
    data = prepare(evidence)
    notes = [*evidence.notes, *measured.not_finite(evidence.rows, evidence.runs), *_beyond(data)]
    shows = (
        f"{_finding(data)}{MEASURES[measure][1]}, by layer (the first on top) and iteration, the geometric mean over seeds; one "
        "column of cells for each iteration that was measured, at equal distances. Left: that of the first convolution over that "
        f"of the last. {probe_lines.seeds_in_words(data)} BN in training mode, no augmentation, without weight decay."
    )
    text = caption(shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=notes)
    return Plot(draw(data, evidence._replace(notes=notes), MEASURES[measure][0]), data, text)


def prepare(evidence: Measured) -> pd.DataFrame:
    """Every cell and line of the figure: `kind` is cell, or seed or mean of the ratio of the first and last convolution.

    `column` is the title of the heat map that a point belongs to: its network, and what else tells it from others.
    """
    rows = evidence.rows.sort_values(["run_id", "iteration", "place", "layer"])  # sums depend on the order
    cells = measured.means(measured.averaged(rows), ["iteration", "place", "layer"], geometric=True)
    if cells.empty:
        raise StudyError("nothing to draw: no finished or running run has gradients")
    ratios = _ratios(rows)
    middle = measured.means(measured.averaged(ratios), ["iteration"], geometric=True)
    tables = [cells.assign(kind="cell"), ratios.assign(kind="seed"), middle.assign(kind="mean")]
    table = pd.concat([table.reindex(columns=COLUMNS).astype(object) for table in tables], ignore_index=True)
    table["column"] = [
        f"{network} {label.removeprefix(str(depth)).strip()}".strip()
        for network, depth, label in table[["network", "depth", "label"]].to_numpy()
    ]
    return table.astype({"depth": int, "iteration": int, "value": float})


def _finding(data: pd.DataFrame) -> str:
    """What the left panels show: the ratio of the deepest network of each kind before the first step."""
    first = data[(data["kind"] == "mean") & (data["iteration"] == data["iteration"].min()) & is_finite(data["value"])]
    deep = first[first["depth"] == first["depth"].max()]
    told = [f"{network_title(row.network)}-{row.label} {number(row.value)}" for row in deep.itertuples()]
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
    names = data["network"].map(network_title) + "-" + data["label"].map(str)
    names += data["condition"].map(lambda text: f" ({text})" if text else "")
    cells = data["kind"] == "cell"
    yield from outside(data.loc[cells, "value"], names[cells], _scale(data.loc[cells, "value"]), "", of="colours")
    yield from nothing(data.loc[~cells, "value"], names[~cells], "ratios")


def draw(data: pd.DataFrame, evidence: Measured, unit: str) -> Figure:
    """The picture of what `prepare` gives; `unit` names the colours."""
    cells = data[data["kind"] == "cell"]
    columns, rows = _columns(data), _rows(data, measured.conditions(evidence, data))
    scale, colours = _scale(cells["value"]), _colours(columns)
    head = Head(
        evidence.title, evidence.subtitle, list(_legend(data, columns, colours, not is_finite(cells["value"]).all()))
    )
    titles = [" · ".join([*([condition] if condition else []), f"depth {depth}"]) for condition, depth in rows]
    made = page.page(titles, len(columns) + 1, head, evidence.notes, tall=1.3, share=False)
    limits = _limits(data.loc[data["kind"] != "cell", "value"])
    for axes, (condition, depth) in zip(made.panels, rows, strict=True):
        here = data[(data["condition"] == condition) & (data["depth"] == depth)]
        _ratio(axes[0], here[here["kind"] != "cell"], colours, limits)
        for place, name in enumerate(columns, 1):
            _heat(axes[place], name, here[(here["kind"] == "cell") & (here["column"] == name)], scale)
        axes[1].set_ylabel("layer")
    under = bool((cells["value"] < scale[0]).any())
    heats = [axes for row in made.panels for axes in row[1:]]
    bar = page.colour_bar(
        made, ScalarMappable(LogNorm(*scale), COLOURS), unit, heats, extend="min" if under else "neither"
    )
    probe_lines.log_ticks(bar.yaxis)
    return made.figure


def _columns(data: pd.DataFrame) -> dict[str, str]:
    """The titles of the heat maps in their order, and the network of each."""
    pairs = data[["network", "column"]].drop_duplicates()
    return {name: n for n in in_order(pairs["network"]) for name in sorted(pairs.loc[pairs["network"] == n, "column"])}


def _rows(data: pd.DataFrame, conditions: list[str]) -> list[tuple[str, int]]:
    """The condition and the depth of each row of panels."""
    return [(c, int(d)) for c in conditions for d in sorted(data.loc[data["condition"] == c, "depth"].unique())]


def _colours(columns: Mapping[str, str]) -> dict[str, str]:
    """The colour of each network's ratio; further ones of a network are lighter."""
    numbers: Counter[str] = Counter()
    found = {}
    for name, network in columns.items():
        colour = style.NETWORK_COLOURS.get(network, style.MUTED)
        found[name] = sns.light_palette(colour, 4)[max(3 - numbers[network], 1)]
        numbers[network] += 1
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


def _ratio(axes: Axes, lines: pd.DataFrame, colours: Mapping[str, str], limits: tuple[float, float]) -> None:
    unit = iteration_axis([axes], int(lines["iteration"].max()))
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(*limits)
    probe_lines.log_ticks(axes.yaxis)
    axes.axhline(1, color=style.MUTED, linewidth=0.5, zorder=1, gid="one")
    every = {name: {"color": colour, "marker": ""} for name, colour in colours.items()}
    probe_lines.draw_lines(axes, lines.assign(label=lines["column"]), "iteration", unit, every)
    axes.set_title("first ÷ last conv.")


def _heat(axes: Axes, name: str, cells: pd.DataFrame, scale: tuple[float, float]) -> None:
    """One network's layers and iterations; grey where a value is not finite."""
    if cells.empty:
        page.absent(axes, f"{name}\nnot measured")
        return
    table = cells.pivot(index="place", columns="iteration", values="value")
    table = table.reindex(range(1, int(table.index.max()) + 1)).astype(float)
    lost = ~np.isfinite(table.to_numpy())
    axes.set_facecolor(NOTHING)
    sns.heatmap(
        table.clip(lower=scale[0]), mask=lost, norm=LogNorm(*scale), cmap=COLOURS, cbar=False, ax=axes, rasterized=True,
        xticklabels=False, yticklabels=False,
    )  # fmt: skip
    iterations, layers = [int(str(iteration)) for iteration in table.columns], _layers(len(table))
    unit = 10_000 if iterations[-1] >= 10_000 else 1
    places = _ticks(iterations)
    axes.set_xticks([place + 0.5 for place in places], [f"{iterations[place] / unit:g}" for place in places])
    axes.set_yticks([layer - 0.5 for layer in layers], [str(layer) for layer in layers])
    axes.set(xlabel="iterations (×10⁴)" if unit > 1 else "iterations", ylabel="")
    axes.set_title(name.replace("residual", "ResNet", 1) + probe_lines.counts(cells))


def _ticks(iterations: list[int]) -> list[int]:
    """Which of these to write below their columns: all of a few, else round ones, else the first, the middle and the last."""
    if len(iterations) <= FEW:
        return list(range(len(iterations)))
    wanted = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(iterations[0], iterations[-1])
    round_ones = [iterations.index(int(value)) for value in wanted if value in iterations]
    return round_ones if len(round_ones) > 2 else [0, (len(iterations) - 1) // 2, len(iterations) - 1]


def _layers(count: int) -> list[int]:
    """The first layer, and round ones below it."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if count / step <= FEW + 1)
    return [1, *range(step, count + 1, step)] if step > 1 else list(range(1, count + 1))


def _legend(data: pd.DataFrame, columns: Mapping[str, str], colours: Mapping[str, str], lost: bool) -> Iterator[Artist]:
    for name, network in columns.items():
        yield Line2D([], [], color=colours[name], linewidth=1.3, label=name.replace(network, network_title(network), 1))
    yield from probe_lines.legend(data[data["kind"] == "seed"], {})
    if lost:
        yield Patch(facecolor=NOTHING, label="not finite")
