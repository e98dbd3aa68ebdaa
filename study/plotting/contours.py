"""Contours of the loss over planes through the weights, network beside network: L18 figures 1 and 5."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.tri import Triangulation

from study.errors import StudyError, nearest
from study.plotting import canvas, style, surfaces
from study.plotting.canvas import Plot
from study.plotting.lattice import Floats, Ints, lattice, refined, triangles
from study.plotting.surfaces import SPLITS, Shown, is_finite, shown

LEVELS: dict[str, list[float]] = {
    "loss": [0.1 + 0.5 * step for step in range(20)],  # as in L18, figure 5
    "error": [5, *range(10, 100, 10)],
}
TICKS = {"loss": [0.1, 1.1, 2.1, 3.1, 4.1, 5.1, 6.1, 7.1, 8.1, 9.1], "error": LEVELS["error"]}
UNITS = {"loss": "loss (nats)", "error": "error (%)"}
COLUMNS = [
    "kind", "row", "column", "network", "depth", "seed", "surface_id", "plane", "number", "bn", "split", "images",
    "level", "i", "j", "alpha", "beta",
]  # fmt: skip
SOFT = 0.5  # how much of the fill is white, so that lines and marks stand out
HATCH: dict[str, Any] = {"facecolor": "#ececec", "edgecolor": "#8a8a8a", "hatch": "//////", "linewidth": 0}
BAR = 0.6  # inches at the right for the colour bar,
LEAST = 1.4  # and how long it should be


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    of: str = "loss",
    split: str = "train",
    plane: str | None = None,
    number: int | None = None,
    seed: int | None = None,
) -> Plot:
    """Draw the figure: a column for each network, a row for each kind of BN statistics.

    Parameters
    ----------
    frame
        Surfaces, as `study.read_surfaces` gives them; those of two dimensions are drawn.
    runs
        As `study.plotting.figure` takes it.
    of
        `loss` (nats) or `error` (percent).
    split
        `train` or `test`.
    plane, number, seed
        Which of several surfaces of a network; by default the first.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, an unknown option's value, or no surface that fits.
    """
    for value, known, name in ((of, UNITS, "quantity"), (split, SPLITS, "split")):
        if value not in known:
            raise StudyError(f"unknown {name} '{value}'{nearest(str(value), known)}")
    says = {split: f"{SPLITS[split]} {of} of {{}} images"}
    evidence = shown(frame, runs, 2, says, plane=plane, number=number, seed=seed)
    data = prepare(evidence, of)
    shows = (
        f"{SPLITS[split].capitalize()} {UNITS[of]} over planes through the weights of each network, which stands at (0, 0). "
        f"Contour levels: {_levels(of)}. Star: the smallest value that was measured. Hatched: no finite value."
    )
    return Plot(draw(data, evidence, of), data, surfaces.caption_of(shows, evidence))


def _levels(of: str) -> str:
    return "0.1 to 9.6 in steps of 0.5" if of == "loss" else ", ".join(f"{level}" for level in LEVELS[of]) + " %"


def prepare(evidence: Shown, of: str) -> pd.DataFrame:
    """Every point that is drawn, one row each, and for each panel the lowest once more, as kind `minimum`."""
    points = evidence.points.assign(kind="point")
    finite = points[is_finite(points[of])]
    lowest = finite.loc[finite.groupby(["row", "column"], sort=False)[of].idxmin()].assign(kind="minimum")
    return pd.concat([points, lowest], ignore_index=True)[[*COLUMNS, of]]


def draw(data: pd.DataFrame, evidence: Shown, of: str) -> Figure:
    """The picture of what `prepare` gives."""
    lost = not is_finite(data[of]).all()
    notes = [note for value in dict.fromkeys([of, "loss"]) for note in surfaces.without_value(evidence.points, value)]
    notes += evidence.notes
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(of, lost)))
    across = columns_of(len(evidence.columns))
    lines = -(-len(evidence.columns) // across)
    rows = [title if line == 0 else "" for title in evidence.rows for line in range(lines)]
    page = canvas.sheet(
        rows, across, head, notes, gap=0.14, right=BAR + 0.08, share=False,
        width=style.sheet_width(across), aspect=_aspect(evidence.surfaces),
    )  # fmt: skip
    filled = None
    for row, title in enumerate(evidence.rows):
        panels = [axes for line in page.panels[row * lines : (row + 1) * lines] for axes in line]
        here = data[data["row"] == title]
        for name, axes, (first, _) in zip(evidence.columns, panels, ends(evidence.columns, here, across), strict=False):
            filled = _panel(axes, name, here[here["column"] == name], evidence, of) or filled
            axes.tick_params(labelleft=first)
            axes.set_ylabel("β" if first else "", rotation=0, va="center", labelpad=4)
        for axes in panels[len(evidence.columns) :]:
            axes.set_axis_off()
    if filled is not None:
        _bar(page, filled, of)
    return page.figure


def columns_of(networks: int, most: int = 4) -> int:
    """Panels side by side, so that a last row is as full as can be."""
    rows = -(-networks // most)
    return -(-networks // rows)


def ends(names: list[str], row: pd.DataFrame, across: int) -> list[tuple[bool, bool]]:
    """For each panel whether it is the first and the last of its line of those that show something."""
    there = [place for place, name in enumerate(names) if (row["column"] == name).any()]
    lines = [[place for place in there if place // across == line] for line in range(-(-len(names) // across))]
    return [(place in lines[place // across][:1], place in lines[place // across][-1:]) for place in range(len(names))]


def _aspect(planes: pd.DataFrame) -> float:
    a, b = (planes[f"range_{axis}_high"].astype(float) - planes[f"range_{axis}_low"].astype(float) for axis in "ab")
    return float(np.clip((b / a).max(), 0.4, 2))


def _panel(axes: Axes, name: str, marks: pd.DataFrame, evidence: Shown, of: str) -> ContourSet | None:
    axes.grid(False)
    if marks.empty:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"{name}\nnot measured", ha="center", va="center", color=style.MUTED, size=7)
        return None
    points = evidence.points[evidence.points["surface_id"] == marks["surface_id"].iloc[0]].reset_index(drop=True)
    filled = _surface(axes, points, of)
    for axis in (axes.xaxis, axes.yaxis):
        canvas.few_ticks(axis)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_aspect("equal")
    first = points.iloc[0]
    axes.set_xlim(first["range_a_low"], first["range_a_high"])
    axes.set_ylim(first["range_b_low"], first["range_b_high"])
    axes.set_xlabel("α", labelpad=1)
    axes.set_title(name, loc="left", pad=4)
    for low in marks[marks["kind"] == "minimum"].to_dict("records"):
        axes.plot(low["alpha"], low["beta"], zorder=5, gid="minimum", clip_on=False, **MINIMUM)
        axes.set_title(f"min {low[of]:.2g}", loc="right", pad=4, size=6.3, color=style.MUTED)
    return filled


MINIMUM: dict[str, Any] = {
    "marker": "*", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": style.INK, "markeredgewidth": 0.6,
    "linestyle": "none",
}  # fmt: skip


def _surface(axes: Axes, points: pd.DataFrame, of: str) -> ContourSet | None:
    """Fill and lines where every corner is finite; hatching where one was measured and is not."""
    finite = is_finite(points[of]).to_numpy()
    fill: dict[str, Any] = {
        "levels": LEVELS[of],
        "colors": colours(of),
        "extend": "both",
        "zorder": 1,
        "antialiased": False,
    }
    line: dict[str, Any] = {
        "levels": LEVELS[of],
        "colors": colours(of, lines=True)[1:],
        "linewidths": 0.45,
        "zorder": 2,
    }
    if refined(points):
        corners = triangles(points)
        whole = finite[corners].all(axis=1)
        _hatch(axes, points, corners[~whole])
        if not whole.any():
            return None
        mesh = Triangulation(points["alpha"], points["beta"], corners[whole])
        values = np.where(finite, points[of].to_numpy(float), 0.0)
        axes.tricontour(mesh, values, **line)
        return axes.tricontourf(mesh, values, **fill)
    grid = lattice(points)
    values = grid.values(points, of)
    _hatch(axes, points, _lost_cells(grid.place, finite))
    if not _drawable(values):
        return None
    masked = np.ma.masked_invalid(values.T)
    axes.contour(grid.alpha, grid.beta, masked, **line)
    return axes.contourf(grid.alpha, grid.beta, masked, **fill)


def _drawable(values: Floats) -> bool:
    """Whether three corners of any cell are finite: such a triangle is what is filled."""
    there = np.isfinite(values).astype(int)
    return bool((there[:-1, :-1] + there[1:, :-1] + there[1:, 1:] + there[:-1, 1:] >= 3).any())


def _lost_cells(place: Ints, finite: np.ndarray) -> Ints:
    """(N, 4): the corners of each cell of a lattice that has all of them, and at one of them no finite value."""
    corners = (place[:-1, :-1], place[1:, :-1], place[1:, 1:], place[:-1, 1:])
    cells = np.stack([corner.ravel() for corner in corners], axis=1)
    cells = cells[(cells >= 0).all(axis=1)]
    return cells[~finite[cells].all(axis=1)]


def _hatch(axes: Axes, points: pd.DataFrame, polygons: Ints) -> None:
    """One path for all polygons, since each of many would begin its own hatching."""
    if not len(polygons):
        return
    corners = points[["alpha", "beta"]].to_numpy(float)[polygons]
    closed = np.concatenate([corners, corners[:, :1]], axis=1)
    codes = [Path.MOVETO, *[Path.LINETO] * (polygons.shape[1] - 1), Path.CLOSEPOLY] * len(polygons)
    axes.add_patch(PathPatch(Path(closed.reshape(-1, 2), codes), zorder=0, gid="no finite value", **HATCH))


def colours(of: str, lines: bool = False) -> list[tuple[float, float, float]]:
    """One for each band of values, from below the first level to above the last, by the logarithm of a loss."""
    levels = LEVELS[of]
    heights = [math.log(level) if of == "loss" else level for level in levels]
    middles = [(low + high) / 2 for low, high in pairwise(heights)]
    shares = [(middle - heights[0]) / (heights[-1] - heights[0]) for middle in middles]
    places = [0.0, *(0.06 + 0.88 * share for share in shares), 1.0]
    found = [to_rgb(matplotlib.colormaps["viridis"](place)) for place in places]
    if lines:
        return [(0.72 * r, 0.72 * g, 0.72 * b) for r, g, b in found]
    return [(SOFT + (1 - SOFT) * r, SOFT + (1 - SOFT) * g, SOFT + (1 - SOFT) * b) for r, g, b in found]


def _bar(page: canvas.Sheet, filled: ContourSet, of: str) -> None:
    """The colour bar, beside the first row of panels, or beside more where that is low."""
    figure, box = page.figure, page.panels[0][-1].get_position()
    width, height = figure.get_size_inches()
    low = max(page.panels[-1][-1].get_position().y0, min(box.y0, box.y1 - LEAST / height))
    place = figure.add_axes((box.x1 + 0.12 / width, low, 0.1 / width, box.y1 - low), label="colour bar")
    bar = figure.colorbar(filled, cax=place, ticks=TICKS[of], extendfrac=0.06)
    bar.outline.set_linewidth(0.5)
    place.tick_params(labelsize=6.3, pad=1.5, length=2, width=0.5)
    place.set_ylabel(UNITS[of], size=7, labelpad=2)


def _legend(of: str, lost: bool) -> Iterator[Artist]:
    yield Line2D([], [], label=f"smallest {of} that was measured", **MINIMUM)
    if lost:
        yield Patch(label=f"no finite {of}", **HATCH)
