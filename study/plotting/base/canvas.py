"""The sheet a figure is drawn on: sizes in inches, a header, rows of panels, notes below.

Sizes are fixed rather than fitted to drawn text: text has room of its own, and a picture is quick to lay out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import east_asian_width

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from study.plotting.base.page import Head, Picture, Plot
from study.plotting.base.style import FAINT, MUTED, sheet_width

__all__ = ["Head", "Plot"]

LEAST_PANEL = 1.1  # inches: a sheet that would have narrower ones grows
EDGE = 0.06
LEFT = 0.5
HEADER = 0.66  # title, legend, panel titles
ROW_TITLE = 0.17
PANEL = 2.05
ROW_GAP = 0.7  # ticks and label of the x axis above, panel titles below
BELOW = 0.42  # ticks and the label of the x axis
HEAD_LINE = 0.15
TITLE_SIZE, SUBTITLE_SIZE, ROW_TITLE_SIZE, NOTE_SIZE = 9, 7.5, 7.5, 6.3  # points
NOTE_LINE = 0.118
NOTE_WIDTH = 0.95  # of the sheet: many notes are lists of numbers, and digits are wider than letters


class Sheet(NamedTuple):
    """A figure and its panels by row and column; `width` in inches."""

    figure: Picture
    panels: list[list[Axes]]


def sheet(
    rows: Sequence[str],
    columns: int,
    head: Head,
    notes: Sequence[str],
    *,
    gap: float,
    right: float,
    left: float = LEFT,
    width: float | None = None,
    aspect: float | None = None,
    share: bool = True,
) -> Sheet:
    """A sheet with its header and notes, and an empty row of panels for each title in `rows`.

    `gap` (between panels), `left` (of the first), `right` (of the last) and `width` (of the sheet) are in inches, `aspect`
    is a panel's height over its width; by default panels are of one height. The panels of a row `share` their y axis.
    """
    around = left + right + gap * (columns - 1)
    width = width or max(sheet_width(columns), around + LEAST_PANEL * columns)
    panel = (width - around) / columns
    tall = panel * aspect if aspect else PANEL
    lines = [line for note in notes for line in _wrapped(note, NOTE_WIDTH * width, NOTE_SIZE)]
    foot = NOTE_LINE * len(lines) + (0.06 if lines else 0)
    above, legend_columns = _head_size(head, width)
    titles = [_wrapped(title, width - left + EDGE, ROW_TITLE_SIZE, "bold") for title in rows]
    titled = ROW_TITLE + HEAD_LINE * (max(1, *map(len, titles)) - 1) if any(rows) else 0.0
    height = above + len(rows) * (tall + titled) + (len(rows) - 1) * ROW_GAP + BELOW + foot
    figure = Picture(figsize=(width, height), facecolor="white")
    panels: list[list[Axes]] = []
    for row, title in enumerate(titles):
        bottom = height - above - tall - titled - row * (tall + titled + ROW_GAP)
        axes: list[Axes] = []
        for column in range(columns):
            box = (left + column * (panel + gap), bottom, panel, tall)
            relative = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
            axes.append(figure.add_axes(relative, sharey=axes[0] if axes and share else None))
            _plain_panel(axes[-1])
        axes[0].annotate(
            "\n".join(title), (0, 1), (0, 18), "axes fraction", "offset points", size=ROW_TITLE_SIZE, weight="bold"
        )
        panels.append(axes)
    for number, line in enumerate(lines):
        y = (foot - 0.03 - NOTE_LINE * number) / height
        figure.text(EDGE / width, y, line, size=NOTE_SIZE, color=MUTED, va="top")
    _write_head(figure, head, legend_columns)
    return Sheet(figure, panels)


def few(low: float, high: float, steps: int = 4) -> list[float]:
    """Round numbers between two, at most so many steps apart."""
    return [float(x) for x in MaxNLocator(steps, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= x <= high]


def few_ticks(axis: Axis) -> None:
    """At most five ticks, written as short as can be, lest those of neighbouring panels meet."""
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))


def _plain_panel(axes: Axes) -> None:
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))


def _wrapped(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Lines that fit a width in inches: a letter is about half as wide as the font's size in points, seldom more."""
    room, font = (width - 2 * EDGE) * 72, FontProperties(size=size, weight=weight)
    letters = int(room / size / 0.53)
    while True:
        lines = textwrap.wrap(text, letters)
        wide = (text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] for line in lines)
        if letters < 12 or max(wide, default=0.0) <= room:
            return lines
        letters -= 1


def _title_width(title: str) -> float:
    letters = sum(1.6 if east_asian_width(letter) in "FW" else 1 for letter in title)
    return 0.083 * letters + (0.12 if title else 0)


def _subtitle_lines(head: Head, width: float) -> tuple[bool, list[str]]:
    """Whether the subtitle has room beside the title, and its lines."""
    lines = _wrapped(head.subtitle, width - _title_width(head.title), SUBTITLE_SIZE)
    if len(lines) < 2:
        return True, lines
    return False, _wrapped(head.subtitle, width, SUBTITLE_SIZE)


def _head_size(head: Head, width: float) -> tuple[float, int]:
    """The height above the panels, in inches, and the columns of a legend that fits the width."""
    beside, lines = _subtitle_lines(head, width)
    entries = [0.53 + 0.048 * len(str(handle.get_label())) for handle in head.handles]
    fits = EDGE + sum(entries) < width
    columns = len(entries) if fits else max(1, int((width - EDGE) / max(entries)))
    legend_rows = -(-len(head.handles) // columns)
    return HEADER + HEAD_LINE * (legend_rows - 1 + (0 if beside else len(lines))), columns


def _write_head(figure: Figure, head: Head, legend_columns: int) -> None:
    width, height = figure.get_size_inches()
    beside, lines = _subtitle_lines(head, width)
    figure.text(EDGE / width, 1 - 0.07 / height, head.title, size=TITLE_SIZE, weight="bold", va="top")
    left = EDGE + (_title_width(head.title) if beside else 0)
    down = 0.09 if beside else 0.09 + HEAD_LINE + 0.02
    for number, line in enumerate(lines):
        y = 1 - (down + HEAD_LINE * number) / height
        figure.text(left / width, y, line, size=SUBTITLE_SIZE, color=MUTED, va="top")
    down = 0.26 + (0 if beside else HEAD_LINE * len(lines))
    corner = (EDGE / width, 1 - down / height)
    figure.legend(handles=list(head.handles), loc="upper left", bbox_to_anchor=corner, ncols=legend_columns)
