"""The page that every figure is drawn on: a header, one legend, panels and notes, at the width at which it is printed.

Panels are laid out by matplotlib's constrained layout between the header and the notes, whose heights follow from their
lines. A page is made for its printed size, so text keeps its size at any width.
"""

from __future__ import annotations

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
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from study.plotting.base import style
from study.plotting.base.frames import called

SCREEN_DPI = 144
TITLE, TEXT, NOTE = 8.5, 7.0, 6.0  # points
EDGE = 0.04  # inches
AROUND = 0.52  # inches of ticks, labels and title above and below a panel
NARROWEST = 1.25  # inches of a panel with what belongs to it: a page that would have narrower ones breaks its rows


class Picture(Figure):
    """A figure that a notebook shows by itself."""

    style = "paper"

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        with style.styled(self.style):
            self.savefig(file, format="png", dpi=SCREEN_DPI)
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

    @property
    def axes(self) -> list[Axes]:
        """All panels, row by row."""
        return [axes for row in self.panels for axes in row]


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
    share: bool | str = "row",
    around: float = AROUND,
    projection: str | None = None,
) -> Page:
    """A page with an empty row of panels for each title in `rows`.

    Parameters
    ----------
    tall
        Inches of a panel's height, or of each row's.
    width
        Inches of the page, where `--width` says nothing; by default a column for one panel, else a page.
    aspect
        A panel's height over its width, instead of `tall`.
    share
        Which panels share their y axis: those of a `row`, or none (False).
    around
        Inches above and below a panel for its title, ticks and labels.
    """
    look = style.look()
    width = look.width or width or style.PAGES["column" if columns == 1 else "page"]
    across = max(1, min(columns, int(width / NARROWEST)))
    lines = -(-columns // across)  # a row of panels may take several
    talls = [*tall] if isinstance(tall, Sequence) else [tall] * len(rows)
    if aspect:
        talls = [min(3.2, aspect * (width - 0.5) / across - 0.2)] * len(rows)
    figure = Picture(figsize=(width, 1))
    above, below = _head(figure, head, width, look), _notes(figure, [] if look.bare else notes, width, look)
    ratios = [
        height
        for title, own in zip(rows, talls, strict=True)
        for height in [*([0.14 * look.scale] if title else []), *[own] * lines]
    ]
    height = above + below + sum(ratios) + around * look.scale * lines * len(rows) + 0.04
    _place(figure, width, height, above, below)
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
    return Page(figure, panels)


def _head(figure: Picture, head: Head, width: float, look: style.Look) -> float:
    """Write title, protocol and legend; their height in inches. Their places are set once the page's height is known."""
    down = EDGE
    if not look.bare and (head.title or head.subtitle):
        size = TITLE * look.scale
        beside = _long(head.title, size, "bold") + 0.12
        lines = wrapped(head.subtitle, width - beside, TEXT * look.scale)
        if len(lines) > 1:
            beside, lines = 0.0, wrapped(head.subtitle, width, TEXT * look.scale)
        _write(figure, 0, down, head.title, size=size, weight="bold", kind="title")
        down += 1.25 * size / 72 if beside == 0 else 0.0
        for line in lines:
            _write(
                figure,
                beside,
                down + (0.02 if beside else 0),
                line,
                size=TEXT * look.scale,
                color=style.MUTED,
                kind="subtitle",
            )
            down += 1.2 * TEXT * look.scale / 72
        down = max(down, EDGE + 1.3 * size / 72)
    if head.handles:
        entries = [_long(str(handle.get_label()), 6.5 * look.scale) + 0.5 * look.scale for handle in head.handles]
        columns = _legend_columns(entries, width - 2 * EDGE)
        legend = figure.legend(handles=list(head.handles), loc="upper left", ncols=columns)
        legend.set_gid(f"{down + 0.03}")
        down += 0.03 + 1.5 * 6.5 * look.scale / 72 * -(-len(entries) // columns)
    return down + 0.05


def _legend_columns(entries: Sequence[float], room: float) -> int:
    """As many columns of a legend as there is room for; it fills them one after the other."""
    for columns in range(len(entries), 1, -1):
        if sum(part.max() for part in np.array_split(entries, columns)) <= room:
            return columns
    return 1


def _notes(figure: Picture, notes: Sequence[str], width: float, look: style.Look) -> float:
    """Write the notes, from the bottom up; their height in inches."""
    size = NOTE * look.scale
    lines = [line for note in notes for line in wrapped(called(note), width, size)]
    step = 1.3 * size / 72
    for number, line in enumerate(lines, 1):
        _write(
            figure,
            0,
            -EDGE - step * (len(lines) - number),
            line,
            size=size,
            color=style.MUTED,
            va="bottom",
            kind="note",
        )
    return step * len(lines) + (2 * EDGE if lines else 0)


def _write(figure: Picture, right: float, down: float, text: str, *, kind: str, va: str = "top", **look: Any) -> None:
    """Text so many inches from the left and from the top, or, where negative, from the bottom."""
    if text:
        figure.text(EDGE + right, down, text, va=va, in_layout=False, gid=kind, **look)


def _place(figure: Picture, width: float, height: float, above: float, below: float) -> None:
    """Give the page its height, and put in place what was written in inches."""
    figure.set_size_inches(width, height)
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position((x / width, 1 - y / height if y > 0 else -y / height))
    for legend in figure.legends:
        legend.set_bbox_to_anchor((EDGE / width, 1 - float(legend.get_gid() or 0) / height))
        legend.set_in_layout(False)
    engine = ConstrainedLayoutEngine(
        w_pad=0.03, h_pad=0.02, wspace=0.02, hspace=0.0, rect=(0, below / height, 1, 1 - (above + below) / height)
    )
    figure.set_layout_engine(engine)


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
    look: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "color": style.MUTED,
        "transform": axes.transAxes,
        "gid": "absent",
    }
    Axes.text(axes, 0.5, 0.5, text, **look)  # `axes.text` of a panel in 3-D takes a third coordinate


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
