"""The gradient that reaches each layer, from the first step on, plain beside residual: what R15 asserts and does not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from study.errors import StudyError
from study.plotting.base import canvas, style
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order, named
from study.plotting.base.outside import nothing, outside
from study.plotting.curves.lines import iteration_unit
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.probes.lines import Looks
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
GAP, RIGHT, TALL = 0.4, 0.74, 1.3  # inches: between panels, right of the last, a panel's height
LETTER = 0.066  # inches, of a title
FEW = 5  # ticks


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, measure: str = "norm") -> Plot:
    """Draw the figure: a row of panels for each depth.

    Parameters
    ----------
    frame
        Probes, as `study.read_probes` gives them; those of the probe `gradients` are drawn.
    runs
        As `study.plotting.figure` takes it.
    measure
        `norm`, or `relative` to the norm of the weights.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, or an unknown measure.
    """
    measured.chosen("measure", measure, list(MEASURES))
    evidence = measured.measured(frame, runs, "gradients", [measure])
    data = prepare(evidence)
    notes = [*evidence.notes, *measured.not_finite(evidence.rows, evidence.runs), *_beyond(data)]
    shows = (
        f"{MEASURES[measure][1]}, by layer (the first on top) and iteration, geometric mean over seeds; one column per measured "
        "iteration, equally spaced. Left: the ratio of the first to the last convolution, pale for single seeds, bold for their "
        "geometric mean. BN in training mode, no augmentation, without weight decay."
    )
    text = caption(shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=notes)
    return Plot(draw(data, evidence._replace(notes=notes), MEASURES[measure][0]), data, text)


def prepare(evidence: Measured) -> pd.DataFrame:
    """Every cell and line of the figure: `kind` is cell, or seed or mean of the ratio of the first and last convolution.

    `column` is the title of the heat map that a point belongs to: its network, and what else tells it from others.
    """
    rows = evidence.rows
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
    names = data["network"].map(str) + "-" + data["label"].map(str)
    names += data["condition"].map(lambda text: f" ({text})" if text else "")
    cells = data["kind"] == "cell"
    yield from outside(data.loc[cells, "value"], names[cells], _scale(data.loc[cells, "value"]), "", of="colours")
    yield from nothing(data.loc[~cells, "value"], names[~cells], "ratios")


def draw(data: pd.DataFrame, evidence: Measured, unit: str) -> Figure:
    """The picture of what `prepare` gives; `unit` names the colours."""
    cells = data[data["kind"] == "cell"]
    columns, rows = _columns(data), _rows(data, measured.conditions(evidence, data))
    looks, scale = _looks(columns), _scale(cells["value"])
    head = canvas.Head(
        evidence.title, evidence.subtitle, list(_legend(looks, lost=not is_finite(cells["value"]).all()))
    )
    titles = [" · ".join([*([condition] if condition else []), f"depth {depth}"]) for condition, depth in rows]
    around = canvas.LEFT + RIGHT + GAP * len(columns)
    least = max(canvas.LEAST_PANEL, LETTER * (max(map(len, columns)) + len("  (n = 5)")) - GAP)
    width = max(style.sheet_width(2), around + least * (len(columns) + 1))
    panel = (width - around) / (len(columns) + 1)
    page = canvas.sheet(
        titles, len(columns) + 1, head, evidence.notes, gap=GAP, right=RIGHT, width=width, aspect=TALL / panel, share=False,
    )  # fmt: skip
    limits = _limits(data.loc[data["kind"] != "cell", "value"])
    for axes, (condition, depth) in zip(page.panels, rows, strict=True):
        here = data[(data["condition"] == condition) & (data["depth"] == depth)]
        _ratio(axes[0], here[here["kind"] != "cell"], looks, limits)
        for place, name in enumerate(columns, 1):
            _heat(axes[place], name, here[(here["kind"] == "cell") & (here["column"] == name)], scale)
        axes[1].set_ylabel("layer", labelpad=2)
    _bar(page, scale, unit, under=bool((cells["value"] < scale[0]).any()))
    return page.figure


def _columns(data: pd.DataFrame) -> dict[str, str]:
    """The titles of the heat maps in their order, and the network of each."""
    pairs = data[["network", "column"]].drop_duplicates()
    return {name: n for n in in_order(pairs["network"]) for name in sorted(pairs.loc[pairs["network"] == n, "column"])}


def _rows(data: pd.DataFrame, conditions: list[str]) -> list[tuple[str, int]]:
    """The condition and the depth of each row of panels."""
    return [(c, int(d)) for c in conditions for d in sorted(data.loc[data["condition"] == c, "depth"].unique())]


def _looks(columns: dict[str, str]) -> Looks:
    """How the ratio's line of each (network, column) looks; the second and later ones of a network have marks."""
    numbers: Counter[str] = Counter()
    looks = {}
    for name, network in columns.items():
        look = {
            "color": style.NETWORK_COLOURS.get(network, style.MUTED),
            "linestyle": style.NETWORK_LINES.get(network, ":"),
        }
        looks[network, name] = look | probe_lines.mark(numbers[network])
        numbers[network] += 1
    return looks


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


def _ratio(axes: Axes, lines: pd.DataFrame, looks: Looks, limits: tuple[float, float]) -> None:
    unit = probe_lines.iteration_axis(axes, lines["iteration"].max())
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(*limits)
    probe_lines.log_ticks(axes.yaxis)
    axes.axhline(1, color=style.MUTED, linewidth=0.5, zorder=1, gid="one")
    probe_lines.draw_lines(axes, lines.assign(label=lines["column"]), "iteration", looks, unit)
    axes.set_title("first ÷ last conv.", loc="left", pad=5)


def _heat(axes: Axes, name: str, cells: pd.DataFrame, scale: tuple[float, float]) -> None:
    """One network's layers and iterations; grey where a value is not finite."""
    axes.grid(False)
    if cells.empty:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"{name}\nnot measured", ha="center", va="center", color=style.MUTED, size=7)
        return
    table = cells.pivot(index="place", columns="iteration", values="value")
    table = table.reindex(range(1, int(table.index.max()) + 1))
    values = np.ma.masked_invalid(table.to_numpy(float))
    axes.set_facecolor(NOTHING)
    axes.imshow(
        values.clip(scale[0]), norm=LogNorm(*scale), cmap=COLOURS, aspect="auto", interpolation="nearest", gid=name,
        extent=(-0.5, values.shape[1] - 0.5, len(values) + 0.5, 0.5),
    )  # fmt: skip
    axes.set_title(name + probe_lines.counts(cells), loc="left", pad=5)
    iterations = [int(str(iteration)) for iteration in table.columns]
    unit, text = iteration_unit(iterations[-1])
    places = _ticks(iterations)
    axes.set_xticks(places, [f"{iterations[place] / unit:g}" for place in places])
    axes.set_xlabel(text)
    axes.set_yticks(_layers(len(table)))


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


def _bar(page: canvas.Sheet, scale: tuple[float, float], unit: str, under: bool) -> None:
    """The colour bar, beside the first row of panels."""
    figure, box = page.figure, page.panels[0][-1].get_position()
    width = figure.get_size_inches()[0]
    place = figure.add_axes((box.x1 + 0.1 / width, box.y0, 0.1 / width, box.height), label="colour bar")
    bar = figure.colorbar(
        ScalarMappable(LogNorm(*scale), COLOURS), cax=place, extend="min" if under else "neither", extendfrac=0.06
    )
    bar.outline.set_linewidth(0.5)
    probe_lines.log_ticks(place.yaxis)
    place.tick_params(labelsize=6.3, pad=1.5, length=2, width=0.5)
    place.set_ylabel(unit, size=6.5, labelpad=2)


def _legend(looks: Looks, lost: bool) -> Iterator[Artist]:
    yield from probe_lines.by_column(looks)
    yield probe_lines.singles()
    if lost:
        yield Patch(facecolor=NOTHING, label="not finite")
