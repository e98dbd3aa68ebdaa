"""What figures of planes share: their panels, filled contours and their colours, and what has no finite value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.patches import Patch

from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.outside import outside
from study.plotting.base.page import Head
from study.plotting.surfaces.frames import SPLITS, Shown, check_choice, is_finite, names, shown, without_value
from study.plotting.surfaces.lattice import Floats, Lattice

LOSSES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
ERRORS = [5.0, *np.arange(10.0, 100.0, 10.0)]
LEVELS = {"loss": "at 1, 2 and 5 of each decade up to 10 nats", "error": "5 %, and each 10 % up to 90 %"}
"""For a caption."""
UNITS = {"loss": "loss (nats)", "error": "error (%)"}
COLUMNS = [
    "kind", "row", "column", "network", "depth", "seed", "surface_id", "plane", "number", "bn", "split", "images",
    "i", "j", "alpha", "beta",
]  # fmt: skip
MANY = 4000  # cells or faces beyond which they are pixels in PDF and SVG, lest files have megabytes
HATCH: dict[str, Any] = {"facecolor": "#ececec", "edgecolor": "#8a8a8a", "hatch": "//////", "linewidth": 0}
MINIMUM: dict[str, Any] = {
    "marker": "*", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": style.INK, "markeredgewidth": 0.6,
    "linestyle": "none",
}  # fmt: skip


class Place(NamedTuple):
    """A panel, whether it is the first of its line, its row and its title, and the points to draw in it."""

    axes: Axes
    first: bool
    row: str
    title: str
    points: pd.DataFrame


class Shades(NamedTuple):
    """Levels of a quantity, round on a logarithmic scale for a loss; the colours between them, and of lines on them."""

    levels: list[float]
    colours: ListedColormap
    inks: list[str]
    norm: Normalize


def gathered(
    frame: pd.DataFrame, runs: pd.DataFrame | None, of: str, split: str, what: str = "a surface", **wanted: Any
) -> Shown:
    """The planes that a figure of a loss or an error shows; see `shown`."""
    check_choice("quantity", of, UNITS)
    check_choice("split", split, SPLITS)
    evidence = shown(frame, runs, 2, {split: f"{SPLITS[split]} {of} of {{}} images"}, what, **wanted)
    return evidence.noting(*without_value(evidence.points, of), *_beyond(evidence.points, of))


def _beyond(points: pd.DataFrame, of: str) -> Iterator[str]:
    """Notes on values beyond the levels, which have the colours of their ends."""
    levels = shades(points[of], of).levels
    finite = points[of].where(is_finite(points[of]))
    yield from outside(finite, names(points), (levels[0], levels[-1]), "nats" if of == "loss" else "%", of="colours")


def shades(values: pd.Series, of: str) -> Shades:
    """The levels that these values take, and colours that darken towards the minimum."""
    levels = ERRORS
    if of == "loss":
        below = [level for level in LOSSES if level <= values[is_finite(values)].min()]
        levels = LOSSES[min(max(len(below) - 1, 0), len(LOSSES) - 3) :]
    colours = sns.color_palette("viridis", len(levels) + 1)
    inks = ["white" if style.contrast(colour) > 3 else style.INK for colour in colours[1:]]
    return Shades(levels, ListedColormap(colours), inks, BoundaryNorm(levels, len(levels) + 1, extend="both"))


def lowest(points: pd.DataFrame, of: str) -> pd.DataFrame:
    """Of each panel the point with the smallest finite value."""
    finite = points[is_finite(points[of])]
    return finite.loc[finite.groupby(["row", "column"], sort=False)[of].idxmin()]


def with_lowest(points: pd.DataFrame, of: str, *further: str) -> pd.DataFrame:
    """The CSV: every point, and of each panel the lowest once more, as kind `minimum`."""
    parts = [points.assign(kind="point"), lowest(points, of).assign(kind="minimum")]
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, of, *further]]


def finding(points: pd.DataFrame, of: str) -> str:
    """What a figure of a plane shows: how far the loss ranges around each network, in the first row of panels."""
    first = points[(points["row_order"] == points["row_order"].min()) & is_finite(points[of])]
    ends = first.groupby("column", sort=False)[of].agg(["min", "max"])
    told = [f"{name} {number(low)} to {number(high)}" for name, low, high in ends.itertuples()]
    row = f" ({first['row'].iloc[0]})" if told and first["row"].iloc[0] else ""
    said = f"{UNITS[of].capitalize()} over the plane{row}: {', '.join(told)}"
    return f"{said}. One trained network each. " if told else ""


def laid_out(
    evidence: Shown, handles: Sequence[Artist], *, most: int = 4, **more: Any
) -> tuple[page.Page, list[Place]]:
    """A page with a panel for each surface, at most `most` side by side; by default half a page wide for two or fewer."""
    columns, points = list(evidence.surfaces["column"].unique()), evidence.points
    rows = list(evidence.surfaces.sort_values("row_order")["row"].unique())
    across = -(-len(columns) // -(-len(columns) // most))
    width = style.PAGES["column"] * (1.2 if across == 2 else 1) if across < 3 else None
    head = Head(evidence.title, evidence.subtitle, handles)
    look = {"aspect": aspect_of(evidence.surfaces), "width": width} | more
    made = page.page(rows, len(columns), head, evidence.notes, share=False, most=most, **look)
    places = []
    for panels, row in zip(made.panels, rows, strict=True):
        for place, (axes, column) in enumerate(zip(panels, columns, strict=True)):
            own = points[(points["row"] == row) & (points["column"] == column)]
            if own.empty:
                page.absent(axes, f"{column}\nnot measured")
            else:
                places.append(Place(axes, place % made.across == 0, row, column, own))
    return made, places


def aspect_of(planes: pd.DataFrame) -> float:
    """The height of a panel over its width, for the tallest of these planes."""
    a, b = (planes[f"range_{axis}_high"].astype(float) - planes[f"range_{axis}_low"].astype(float) for axis in "ab")
    return float(np.clip((b / a).max(), 0.4, 2))


def framed(place: Place, remark: str = "") -> None:
    """Title, ticks, labels and limits of a panel; the remark is a second line of the title."""
    axes, first = place.axes, place.points.iloc[0]
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_aspect("equal")
    axes.set(xlim=(first["range_a_low"], first["range_a_high"]), ylim=(first["range_b_low"], first["range_b_high"]))
    for axis in (axes.xaxis, axes.yaxis):
        page.few_ticks(axis, 4)
    axes.set_xlabel("α")
    axes.set_ylabel("β" if place.first else "")
    axes.tick_params(labelleft=place.first)
    axes.set_title(f"{place.title}\n{remark}".strip())


def bands(place: Place, of: str, shade: Shades) -> None:
    """Filled contours, with their levels written on them; hatched where a corner was measured and is not finite."""
    grid = Lattice(place.points)
    values = np.ma.masked_invalid(grid.values(of))
    hatch(place.axes, grid.alpha, grid.beta, grid.lost(of))
    if values.count() < 3:
        return
    at = grid.alpha, grid.beta, values.T
    fill: dict[str, Any] = {"levels": shade.levels, "extend": "both", "norm": shade.norm, "cmap": shade.colours}
    place.axes.contourf(*at, zorder=1, antialiased=False, **fill)
    drawn = place.axes.contour(*at, levels=shade.levels, colors=shade.inks, linewidths=0.5, zorder=2)
    room = 0.2 * (grid.alpha[-1] - grid.alpha[0])  # smaller rings have no room for a number
    paths = zip(drawn.levels, drawn.get_paths(), strict=True)
    wide = [level for level, path in paths if path.get_extents().width > room]
    if wide:
        size = style.SMALLEST * style.look().scale
        some = wide[:: 1 + len(wide) // 6]
        place.axes.clabel(drawn, some, fontsize=size, fmt=lambda level: f"{level:g}", inline_spacing=1)


def hatch(axes: Axes, alpha: Floats, beta: Floats, cells: np.ndarray, **look: Any) -> None:
    """Hatch cells of a lattice."""
    if cells.any():
        level = np.repeat(np.repeat(cells, 2, axis=0), 2, axis=1).astype(float)  # each cell keeps its edges
        x, y = (np.stack([ends[:-1], ends[1:]], axis=1).ravel() for ends in (alpha, beta))
        own = HATCH | look
        hatched = axes.contourf(
            x, y, level.T, levels=[0.5, 1.5], colors=[own["facecolor"]], hatches=[own["hatch"]], zorder=0
        )
        hatched.set(edgecolor=own["edgecolor"], linewidth=0, gid="no finite value")


def bar(made: page.Page, shade: Shades, of: str) -> None:
    """One colour bar for all panels, with every level on it."""
    drawn = page.colour_bar(
        made, ScalarMappable(shade.norm, shade.colours), UNITS[of], ticks=shade.levels, spacing="uniform"
    )
    drawn.yaxis.set_major_formatter("{x:g}")


def legend(values: pd.Series, of: str) -> list[Artist]:
    """What the marks mean."""
    return [style.entry(f"smallest measured {of}", **MINIMUM), *hatched(values, of)]


def hatched(values: pd.Series, of: str) -> list[Artist]:
    """The entry of a legend for cells without a finite value."""
    return [] if is_finite(values).all() else [Patch(label=f"no finite {of}", **HATCH)]
