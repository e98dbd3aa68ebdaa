"""What figures of planes share: their panels, the bands of the loss and their colours, and what has no finite value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.tri import Triangulation

from study.errors import StudyError, nearest
from study.plotting.base import canvas, style
from study.plotting.base.outside import outside
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, named
from study.plotting.surfaces.lattice import Floats, Ints, lattice, refined, triangles

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
MINIMUM: dict[str, Any] = {
    "marker": "*", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": style.INK, "markeredgewidth": 0.6,
    "linestyle": "none",
}  # fmt: skip
GAP, RIGHT = 0.14, 0.68  # inches between panels, and at the right for the colour bar,
LEAST = 1.4  # and how long that should be


class Place(NamedTuple):
    """A panel in which a surface is to be drawn; whether it is the first and the last of its line."""

    axes: Axes
    row: str
    column: str
    first: bool
    last: bool


def check(of: str, split: str) -> None:
    """Raise StudyError for an unknown quantity or split."""
    for value, known, name in ((of, UNITS, "quantity"), (split, SPLITS, "split")):
        if value not in known:
            raise StudyError(f"unknown {name} '{value}'{nearest(str(value), known)}")


def levels_in_words(of: str) -> str:
    """`LEVELS`, for a caption."""
    return "0.1 to 9.6 in steps of 0.5" if of == "loss" else ", ".join(f"{level}" for level in LEVELS[of]) + " %"


def beyond(points: pd.DataFrame, of: str) -> Iterator[str]:
    """Notes on values beyond the levels, which have the colours of their ends."""
    names = pd.Series("", index=points.index, dtype=object)
    for _, group in points.groupby(["row", "column"], sort=False):
        names[group.index] = named(group)
    finite = points[of].where(is_finite(points[of]))
    unit = UNITS[of].partition("(")[2].rstrip(")")
    yield from outside(finite, names, (LEVELS[of][0], LEVELS[of][-1]), unit, of="colours")


def lowest(points: pd.DataFrame, of: str) -> pd.DataFrame:
    """Of each panel the point with the smallest finite value, as kind `minimum`."""
    finite = points[is_finite(points[of])]
    return finite.loc[finite.groupby(["row", "column"], sort=False)[of].idxmin()].assign(kind="minimum")


def laid_out(
    evidence: Shown,
    head: canvas.Head,
    notes: Sequence[str],
    *,
    most: int = 4,
    gap: float = GAP,
    right: float = RIGHT,
    aspect: float | None = None,
) -> tuple[canvas.Sheet, list[Place]]:
    """A sheet with a panel for each surface, at `most` so many side by side; sizes as `canvas.sheet` takes them."""
    across = columns_of(len(evidence.columns), most)
    lines = -(-len(evidence.columns) // across)
    rows = [title if line == 0 else "" for title in evidence.rows for line in range(lines)]
    page = canvas.sheet(
        rows, across, head, notes, gap=gap, right=right, share=False,
        width=style.sheet_width(across), aspect=aspect or aspect_of(evidence.surfaces),
    )  # fmt: skip
    places = []
    for row, title in enumerate(evidence.rows):
        panels = [axes for line in page.panels[row * lines : (row + 1) * lines] for axes in line]
        here = evidence.surfaces[evidence.surfaces["row"] == title]
        for name, axes, edges in zip(evidence.columns, panels, ends(evidence.columns, here, across), strict=False):
            axes.grid(False)
            if (here["column"] == name).any():
                places.append(Place(axes, title, name, *edges))
            else:
                axes.set_axis_off()
                axes.text(0.5, 0.5, f"{name}\nnot measured", ha="center", va="center", color=style.MUTED, size=7)
        for axes in panels[len(evidence.columns) :]:
            axes.set_axis_off()
    return page, places


def panel_width(networks: int) -> float:
    """Inches of a panel as `laid_out` has them where nothing else is asked for."""
    across = columns_of(networks)
    return (style.sheet_width(across) - canvas.LEFT - RIGHT - GAP * (across - 1)) / across


def columns_of(networks: int, most: int = 4) -> int:
    """Panels side by side, so that a last row is as full as can be."""
    rows = -(-networks // most)
    return -(-networks // rows)


def ends(names: list[str], row: pd.DataFrame, across: int) -> list[tuple[bool, bool]]:
    """For each panel whether it is the first and the last of its line of those that show something."""
    there = [place for place, name in enumerate(names) if (row["column"] == name).any()]
    lines = [[place for place in there if place // across == line] for line in range(-(-len(names) // across))]
    return [(place in lines[place // across][:1], place in lines[place // across][-1:]) for place in range(len(names))]


def aspect_of(planes: pd.DataFrame) -> float:
    """The height of a panel over its width, for the tallest of these planes."""
    a, b = (planes[f"range_{axis}_high"].astype(float) - planes[f"range_{axis}_low"].astype(float) for axis in "ab")
    return float(np.clip((b / a).max(), 0.4, 2))


def framed(place: Place, points: pd.DataFrame) -> None:
    """Title, ticks and labels of a panel, and the limits of the plane that `points` are of."""
    axes, first = place.axes, points.iloc[0]
    for axis in (axes.xaxis, axes.yaxis):
        canvas.few_ticks(axis)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_aspect("equal")
    axes.set_xlim(first["range_a_low"], first["range_a_high"])
    axes.set_ylim(first["range_b_low"], first["range_b_high"])
    axes.set_xlabel("α", labelpad=1)
    axes.set_title(place.column, loc="left", pad=4)
    axes.tick_params(labelleft=place.first)
    axes.set_ylabel("β" if place.first else "", rotation=0, va="center", labelpad=4)


def remark(place: Place, name: str, value: str) -> None:
    """A value at the right of a panel's title, as far as there is room."""
    room = place.axes.get_position().width * place.axes.figure.get_figure(root=True).get_figwidth()
    room -= 0.077 * len(place.column)
    text = next((text for text in (f"{name} {value}".strip(), value) if 0.055 * len(text) < room), "")
    place.axes.set_title(text, loc="right", pad=4, size=6.3, color=style.MUTED)


def bands(axes: Axes, points: pd.DataFrame, of: str, **place: Any) -> ContourSet | None:
    """Fill and lines where every corner is finite; hatching where one was measured and is not.

    `place` may have the `transform` of a plane that is not the axes' own.
    """
    finite = is_finite(points[of]).to_numpy()
    fill: dict[str, Any] = {
        "levels": LEVELS[of],
        "colors": colours(of),
        "extend": "both",
        "zorder": 1,
        "antialiased": False,
        **place,
    }
    line: dict[str, Any] = {
        "levels": LEVELS[of],
        "colors": colours(of, lines=True)[1:],
        "linewidths": 0.45,
        "zorder": 2,
        **place,
    }
    if refined(points):
        corners = triangles(points)
        whole = finite[corners].all(axis=1)
        hatch(axes, points, corners[~whole], **place)
        if not whole.any():
            return None
        mesh = Triangulation(points["alpha"], points["beta"], corners[whole])
        values = np.where(finite, points[of].to_numpy(float), 0.0)
        axes.tricontour(mesh, values, **line)
        return axes.tricontourf(mesh, values, **fill)
    grid = lattice(points)
    values = grid.values(points, of)
    hatch(axes, points, _lost_cells(grid.place, finite), **place)
    if not drawable(values):
        return None
    masked = np.ma.masked_invalid(values.T)
    axes.contour(grid.alpha, grid.beta, masked, **line)
    return axes.contourf(grid.alpha, grid.beta, masked, **fill)


def drawable(values: Floats) -> bool:
    """Whether three corners of any cell are finite: such a triangle is what is filled."""
    there = np.isfinite(values).astype(int)
    return bool((there[:-1, :-1] + there[1:, :-1] + there[1:, 1:] + there[:-1, 1:] >= 3).any())


def _lost_cells(place: Ints, finite: np.ndarray) -> Ints:
    """(N, 4): the corners of each cell of a lattice that has all of them, and at one of them no finite value."""
    cells = whole_cells(place)
    return cells[~finite[cells].all(axis=1)]


def whole_cells(place: Ints) -> Ints:
    """(N, 4): the corners of each cell of a lattice that has all of them, in turn."""
    corners = (place[:-1, :-1], place[1:, :-1], place[1:, 1:], place[:-1, 1:])
    cells = np.stack([corner.ravel() for corner in corners], axis=1)
    return cells[(cells >= 0).all(axis=1)]


def hatch(axes: Axes, points: pd.DataFrame, polygons: Ints, **place: Any) -> None:
    """Hatch polygons between points: one path for all, since each of many would begin its own hatching."""
    if not len(polygons):
        return
    corners = points[["alpha", "beta"]].to_numpy(float)[polygons]
    axes.add_patch(PathPatch(closed(corners), zorder=0, gid="no finite value", **HATCH, **place))


def closed(corners: Floats) -> Path:
    """One path of N polygons of K corners, (N, K, 2)."""
    around = np.concatenate([corners, corners[:, :1]], axis=1)
    codes = [Path.MOVETO, *[Path.LINETO] * (corners.shape[1] - 1), Path.CLOSEPOLY] * len(corners)
    return Path(around.reshape(-1, 2), codes)


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


def bar(page: canvas.Sheet, filled: ScalarMappable, ticks: Sequence[float], label: str, **more: Any) -> None:
    """The colour bar, beside the first row of panels, or beside more where that is low."""
    figure, box = page.figure, page.panels[0][-1].get_position()
    width, height = figure.get_size_inches()
    low = max(page.panels[-1][-1].get_position().y0, min(box.y0, box.y1 - LEAST / height))
    place = figure.add_axes((box.x1 + 0.12 / width, low, 0.1 / width, box.y1 - low), label="colour bar")
    drawn = figure.colorbar(filled, cax=place, ticks=ticks, extendfrac=0.06, **more)
    drawn.outline.set_linewidth(0.5)
    drawn.ax.minorticks_off()
    drawn.ax.yaxis.set_major_formatter("{x:g}")
    place.tick_params(labelsize=6.3, pad=1.5, length=2, width=0.5)
    place.set_ylabel(label, size=7, labelpad=2)
