"""The page that every figure is drawn on: a header, one legend, panels and notes, at the width at which it is printed.

Panels are laid out by matplotlib's constrained layout between the header and the notes, whose heights follow from their
lines. A page is made for its printed size, so text keeps its size at any width.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, offset_copy

from study.plotting.base import style
from study.plotting.base.caption import called

SCREEN_DPI = 144
TITLE, TEXT, NOTE = 8.5, 7.0, 6.0  # points
EDGE = 0.04  # inches
AROUND = 0.52  # inches of ticks, labels and title above and below a panel
NARROWEST = 1.25  # inches of a panel with what belongs to it: a page that would have narrower ones breaks its rows


class Picture(Figure):
    """A figure that a notebook shows by itself, and that is saved in the style in which it was drawn."""

    look = style.PLAIN

    def _repr_png_(self) -> bytes:
        return saved(self, "png", dpi=SCREEN_DPI)


def saved(figure: Figure, extension: str, **options: Any) -> bytes:
    """The content of a file of this format, in the style in which a figure was drawn; of the user's own, in the plain one."""
    file, engine = BytesIO(), figure.get_layout_engine()
    with style.styled(*getattr(figure, "look", style.PLAIN)):
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
            for axes in figure.axes:  # the solver's last digits differ from one time to the next
                place = Bbox(axes.get_position(original=True).get_points().round(6))
                axes.set_position(place, which="original")
                axes.set_in_layout(True)
        figure.savefig(file, format=extension, **options)
        figure.set_layout_engine(engine)
    return file.getvalue()


class Plot(NamedTuple):
    """A picture, the tidy frame of exactly what it shows, and what to write under it (`study.plotting.base.caption`)."""

    figure: Figure
    data: pd.DataFrame
    caption: str


class Page(NamedTuple):
    """A figure and its panels by row and column."""

    figure: Picture
    panels: list[list[Axes]]
    across: int
    """Panels side by side."""

    @property
    def axes(self) -> list[Axes]:
        """All panels, row by row."""
        return [axes for row in self.panels for axes in row]

    def title(self, axes: Axes, *texts: str) -> None:
        """Write a panel's title, each text on lines of its own that fit the panel's share of the page."""
        room, size = 0.9 * self.figure.get_figwidth() / self.across, 7.5 * style.look().scale
        whole = [re.sub(r"\(n = .*?\)", lambda found: found[0].replace(" ", "\u00a0"), text) for text in texts]
        axes.set_title("\n".join(line for text in whole for line in wrapped(text, room, size)), linespacing=1.3)


class Head(NamedTuple):
    """What stands above the panels: a title, the protocol beside it, and one legend for all panels."""

    title: str
    subtitle: str
    handles: Sequence[Artist] = ()


def page(
    rows: Sequence[str],
    columns: int,
    head: Head,
    notes: Sequence[str],
    *,
    tall: float | Sequence[float] = 1.6,
    width: float | None = None,
    aspect: float | None = None,
    share: bool = True,
    around: float = AROUND,
    most: int | None = None,
    projection: str | None = None,
) -> Page:
    """A page with an empty row of panels for each title in `rows`; a row of too many panels takes several lines.

    `tall`: inches of a panel's height, or of each row's; `aspect`: its height over its width instead. `width`: inches of the
    page, where `--width` says nothing; by default a column for one panel, else a page. `share`: whether panels of a row share
    their y axis. `around`: inches above and below a panel for its title, ticks and labels. `most`: panels on a line.
    """
    look = style.look()
    width = look.width or width or style.PAGES["column" if columns == 1 else "page"]
    across = max(1, min(most or columns, columns, int(width / NARROWEST)))
    lines = -(-columns // across)
    across = -(-columns // lines)  # so that the last line is as full as can be
    talls = [*tall] if isinstance(tall, Sequence) else [tall] * len(rows)
    if aspect:
        talls = [min(3.2, aspect * (width - 0.5) / across - 0.2)] * len(rows)
    figure = Picture(figsize=(width, 1))
    figure.look = look
    above, below = _head(figure, head), _notes(figure, [] if look.bare else notes)
    ratios = [
        height
        for title, own in zip(rows, talls, strict=True)
        for height in [*([0.14 * look.scale] if title else []), *[own] * lines]
    ]
    height = above + below + sum(ratios) + around * look.scale * lines * len(rows) + 0.04
    figure.set_size_inches(width, height)
    room = (0, below / height, 1, 1 - (above + below) / height)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.02, wspace=0.02, hspace=0.0, rect=room)
    grid = figure.add_gridspec(len(ratios), across, height_ratios=ratios)
    panels: list[list[Axes]] = []
    start = 0
    for title in rows:
        if title:
            _row_title(figure, grid[start, :], title)
            start += 1
        row: list[Axes] = []
        for column in range(columns):
            place = grid[start + column // across, column % across]
            first = row[0] if row and share else None
            row.append(figure.add_subplot(place, sharey=first, projection=projection))
            if first is not None:
                row[-1].tick_params(labelleft=column % across == 0)
        panels.append(row)
        start += lines
    return Page(figure, panels, across)


def _head(figure: Picture, head: Head) -> float:
    """Write title, protocol and legend; their height in inches."""
    width, scale, down = figure.get_figwidth(), figure.look.scale, EDGE
    if not figure.look.bare and (head.title or head.subtitle):
        size, small = TITLE * scale, TEXT * scale
        beside = _long(head.title, size, "bold") + 0.12
        lines = wrapped(head.subtitle, width - beside, small)
        _write(figure, 0, down, head.title, size=size, weight="bold")
        if len(lines) > 1:  # below the title
            beside, lines, down = 0.0, wrapped(head.subtitle, width, small), down + 1.25 * size / 72
        _write(figure, beside, down + (0.02 if beside else 0), "\n".join(lines), size=small, color=style.MUTED)
        down = max(down + 1.2 * small / 72 * len(lines), EDGE + 1.3 * size / 72)
    if head.handles:
        entries = [_long(str(handle.get_label()), 6.5 * scale) + 0.5 * scale for handle in head.handles]
        columns = _legend_columns(entries, width - 2 * EDGE)
        corner = offset_copy(figure.transFigure, figure, EDGE, -down - 0.03)
        legend = figure.legend(
            handles=list(head.handles), loc="upper left", ncols=columns, bbox_to_anchor=(0, 1), bbox_transform=corner
        )
        legend.set_in_layout(False)
        down += 0.03 + 1.5 * 6.5 * scale / 72 * -(-len(entries) // columns)
    return down + 0.05


def _legend_columns(entries: Sequence[float], room: float) -> int:
    """As many columns of a legend as there is room for; it fills them one after the other."""
    for columns in range(len(entries), 1, -1):
        if sum(part.max() for part in np.array_split(entries, columns)) <= room:
            return columns
    return 1


def _notes(figure: Picture, notes: Sequence[str]) -> float:
    """Write the notes at the bottom; their height in inches."""
    size = NOTE * figure.look.scale
    lines = [line for note in notes for line in wrapped(called(note), figure.get_figwidth(), size)]
    _write(figure, 0, -EDGE, "\n".join(lines), size=size, color=style.MUTED)
    return 1.3 * size / 72 * len(lines) + (2 * EDGE if lines else 0)


def _write(figure: Picture, right: float, down: float, text: str, **look: Any) -> None:
    """Text so many inches from the left and from the top, or, where negative, from the bottom."""
    if text:
        place, va = ((0, 1), "top") if down > 0 else ((0, 0), "bottom")
        inches = offset_copy(figure.transFigure, figure, EDGE + right, -down)
        figure.text(*place, text, transform=inches, va=va, in_layout=False, linespacing=1.2, **look)


def _row_title(figure: Picture, place: Any, title: str) -> None:
    axes = figure.add_subplot(place)
    axes.set_axis_off()
    axes.set_label("row title")
    axes.text(0, 0, title, weight="bold", size=TEXT * style.look().scale, va="bottom", in_layout=False, gid="row title")


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Lines that fit a width in inches."""
    letters = max(12, int((width - 2 * EDGE) * 72 / size / 0.5))
    while True:
        lines = textwrap.wrap(text, letters)
        if letters <= 12 or max((_long(line, size) for line in lines), default=0) <= 0.98 * (width - 2 * EDGE):
            return lines
        letters -= 1


def _long(text: str, size: float, weight: str = "normal") -> float:
    """Inches that a text is long."""
    found: float = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=size, weight=weight), ismath=False
    )[0]
    return found / 72


def absent(axes: Axes, text: str) -> None:
    """A panel that has nothing to show, and says so."""
    axes.set_axis_off()
    where: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
    Axes.text(
        axes, 0.5, 0.5, text, color=style.MUTED, gid="absent", **where
    )  # `axes.text` in 3-D takes a third coordinate


def few_ticks(axis: Axis, steps: int = 5) -> None:
    """At most so many round steps, written as short as can be."""
    axis.set_major_locator(MaxNLocator(steps, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))


def colour_bar(made: Page, shown: ScalarMappable, label: str, **more: Any) -> Axes:
    """One colour bar of the panels' full height, at their right."""
    aspect = 10 * made.figure.get_figheight()  # a tenth of an inch wide
    bar = made.figure.colorbar(shown, ax=made.axes, aspect=aspect, fraction=0.05, pad=0.01, **more)
    bar.outline.set_linewidth(0.5)
    bar.ax.set_label("colour bar")
    bar.ax.minorticks_off()
    bar.set_label(label)
    return bar.ax


def end_labels(axes: Axes, ends: Sequence[tuple[float, str, str]], tall: float) -> None:
    """Write names at the right of the panel, at the height of their lines: of each (y, text, colour); none overlap.

    A name whose line ends outside the panel stands at its edge. `tall` is the panel's height in inches.
    """
    scale = style.look().scale
    low, high = axes.get_ylim()
    gap = 1.15 * 6.5 * scale / 72 / tall
    places: list[float] = []
    ordered = sorted(ends)
    wanted = [min(max((y - low) / (high - low), 0.0), 1.0) for y, *_ in ordered]
    for place in wanted:  # upwards, each clear of the one below
        places.append(max(place, places[-1] + gap) if places else place)
    for number in range(len(places) - 1, -1, -1):  # and down again from the top
        most = 1.0 if number == len(places) - 1 else places[number + 1] - gap
        places[number] = min(places[number], most)
    for (_, text, colour), at, place in zip(ordered, wanted, places, strict=True):
        axes.annotate(
            text, (1, at), (1 + 0.02, place), "axes fraction", "axes fraction", size=6.5 * scale, color=style.ink(colour),
            va="center", annotation_clip=False, gid="end",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)},
        )  # fmt: skip
