"""What figures of planes share: their panels, filled contours and their colours, and what has no finite value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.errors import StudyError, nearest
from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.outside import outside
from study.plotting.base.page import Head
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, named
from study.plotting.surfaces.lattice import Floats, lattice

LEAST, MOST = 0.01, 10.0  # nats: the outermost levels of a loss
ERRORS = [5.0, *np.arange(10.0, 100.0, 10.0)]
UNITS = {"loss": "loss (nats)", "error": "error (%)"}
COLUMNS = [
    "kind", "row", "column", "network", "depth", "seed", "surface_id", "plane", "number", "bn", "split", "images",
    "level", "i", "j", "alpha", "beta",
]  # fmt: skip
HATCH: dict[str, Any] = {"facecolor": "#ececec", "edgecolor": "#8a8a8a", "hatch": "//////", "linewidth": 0}
MINIMUM: dict[str, Any] = {
    "marker": "*", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": style.INK, "markeredgewidth": 0.6,
    "linestyle": "none",
}  # fmt: skip


class Place(NamedTuple):
    """A panel in which a surface is drawn; whether it is the first of its line."""

    axes: Axes
    row: str
    column: str
    first: bool


class Shades(NamedTuple):
    """Levels of a quantity, round on a logarithmic scale for a loss, and their colours."""

    levels: list[float]
    colours: ListedColormap
    norm: Normalize


def check(of: str, split: str) -> None:
    """Raise StudyError for an unknown quantity or split."""
    for value, known, name in ((of, UNITS, "quantity"), (split, SPLITS, "split")):
        if value not in known:
            raise StudyError(f"unknown {name} '{value}'{nearest(str(value), known)}")


def shades(values: pd.Series, of: str) -> Shades:
    """The levels that these values take, and colours that darken towards the minimum."""
    levels = ERRORS
    if of == "loss":
        finite = values[is_finite(values)].astype(float)
        decades = range(round(math.log10(LEAST)), round(math.log10(MOST)))
        every = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)] + [MOST]
        low = finite.min() if len(finite) else LEAST
        start = max((place for place, level in enumerate(every) if level <= low), default=0)
        levels = every[min(start, len(every) - 3) :]
    colours = ListedColormap(sns.color_palette("viridis", len(levels) + 1).as_hex())
    return Shades(levels, colours, BoundaryNorm(levels, len(levels) + 1, extend="both"))


def levels_in_words(of: str) -> str:
    """The levels, for a caption."""
    return "at 1, 2 and 5 of each decade up to 10 nats" if of == "loss" else "5 %, and each 10 % up to 90 %"


def beyond(points: pd.DataFrame, of: str) -> Iterator[str]:
    """Notes on values beyond the levels, which have the colours of their ends."""
    names = pd.Series("", index=points.index, dtype=object)
    for _, group in points.groupby(["row", "column"], sort=False):
        names[group.index] = named(group)
    levels = shades(points[of], of).levels
    finite = points[of].where(is_finite(points[of]))
    yield from outside(finite, names, (levels[0], levels[-1]), "nats" if of == "loss" else "%", of="colours")


def lowest(points: pd.DataFrame, of: str) -> pd.DataFrame:
    """Of each panel the point with the smallest finite value, as kind `minimum`."""
    finite = points[is_finite(points[of])]
    return finite.loc[finite.groupby(["row", "column"], sort=False)[of].idxmin()].assign(kind="minimum")


def finding(points: pd.DataFrame, of: str) -> str:
    """What a figure of a plane shows: how far the loss ranges around each network."""
    told = []
    first = points[points["row"] == points.sort_values("row_order")["row"].iloc[0]]
    for name, group in first.groupby("column", sort=False):
        finite = group.loc[is_finite(group[of]), of].astype(float)
        if len(finite):
            told.append(f"{name} {number(finite.min())} to {number(finite.max())}")
    unit, row = UNITS[of], first["row"].iloc[0]
    where = f" ({row})" if row else ""
    said = f"{unit[:1].upper()}{unit[1:]} over the plane{where}: {', '.join(told)}"
    return f"{said}. One trained network each. " if told else ""


def laid_out(
    evidence: Shown, head: Head, notes: Sequence[str], *, most: int = 4, aspect: float | None = None, **more: Any
) -> tuple[page.Page, list[Place]]:
    """A page with a panel for each surface, at `most` so many side by side."""
    names = evidence.columns
    across = -(-len(names) // -(-len(names) // most))  # so that the last line is as full as can be
    lines = -(-len(names) // across)
    rows = [title if line == 0 else "" for title in evidence.rows for line in range(lines)]
    more = {"width": style.PAGES["column"] * (1.2 if across == 2 else 1) if across < 3 else None} | more
    made = page.page(rows, across, head, notes, aspect=aspect or aspect_of(evidence.surfaces), share=False, **more)
    places = []
    for start, title in enumerate(evidence.rows):
        panels = [axes for line in made.panels[start * lines : (start + 1) * lines] for axes in line]
        here = evidence.surfaces[evidence.surfaces["row"] == title]
        for place, axes in enumerate(panels):
            if place >= len(names):
                axes.set_axis_off()
            elif (here["column"] == names[place]).any():
                places.append(Place(axes, title, names[place], place % across == 0))
            else:
                page.absent(axes, f"{names[place]}\nnot measured")
    return made, places


def aspect_of(planes: pd.DataFrame) -> float:
    """The height of a panel over its width, for the tallest of these planes."""
    a, b = (planes[f"range_{axis}_high"].astype(float) - planes[f"range_{axis}_low"].astype(float) for axis in "ab")
    return float(np.clip((b / a).max(), 0.4, 2))


def framed(place: Place, points: pd.DataFrame, remark: str = "") -> None:
    """Title, ticks and labels of a panel, and the limits of the plane that `points` are of."""
    axes, first = place.axes, points.iloc[0]
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_aspect("equal")
    axes.set(xlim=(first["range_a_low"], first["range_a_high"]), ylim=(first["range_b_low"], first["range_b_high"]))
    for axis in (axes.xaxis, axes.yaxis):
        page.few_ticks(axis, 4)
    axes.set_xlabel("α")
    axes.set_ylabel("β" if place.first else "")
    axes.tick_params(labelleft=place.first)
    axes.set_title(f"{place.column}{f':  {remark}' if remark else ''}")


def bands(axes: Axes, points: pd.DataFrame, of: str, shade: Shades) -> None:
    """Filled contours, with their levels written on them; hatched where a corner was measured and is not finite."""
    grid = lattice(points)
    values = np.ma.masked_invalid(grid.values(points, of))
    hatch(axes, grid.alpha, grid.beta, grid.lost(values.filled(np.nan)))
    if min(values.shape) < 2 or values.count() < 3:
        return
    fill: dict[str, Any] = {"levels": shade.levels, "extend": "both", "norm": shade.norm, "cmap": shade.colours}
    axes.contourf(grid.alpha, grid.beta, values.T, zorder=1, antialiased=False, **fill)
    shown = sns.color_palette("viridis", len(shade.levels) + 1)[1:]
    inks = ["white" if style.contrast(colour) > 3 else style.INK for colour in shown]
    lines = axes.contour(grid.alpha, grid.beta, values.T, levels=shade.levels, colors=inks, linewidths=0.5, zorder=2)
    room = 0.2 * (grid.alpha[-1] - grid.alpha[0])  # smaller rings have no room for a number
    paths = zip(lines.levels, lines.get_paths(), strict=True)
    wide = [level for level, path in paths if path.get_extents().width > room]
    if wide:
        size = style.SMALLEST * style.look().scale
        axes.clabel(lines, wide[:: 1 + len(wide) // 6], fontsize=size, fmt=lambda level: f"{level:g}", inline_spacing=1)


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


def legend(of: str, lost: bool) -> list[Line2D | Patch]:
    """What the marks mean."""
    handles: list[Line2D | Patch] = [Line2D([], [], label=f"smallest measured {of}", **MINIMUM)]
    return handles + ([Patch(label=f"no finite {of}", **HATCH)] if lost else [])
