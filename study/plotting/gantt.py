"""The picture of attempts over time: rows that get thinner and labels that get fewer the more runs there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from study.plotting import canvas, style, timescale
from study.plotting.timescale import Scale

if TYPE_CHECKING:
    from study.plotting.timeline import Tries

LETTERED = 54  # rows: with more of them, seeds, causes and places are not written beside bars
LOOKS = {
    "done": ("#5b87b5", "done"),
    "interrupted": ("#cfcfcf", "interrupted"),
    "diverged": ("#f0b429", "diverged (×)"),
    "failed": ("#8c1c13", "failed"),
    "running": ("#a9d3ee", "running (▸)"),
    "unknown": ("#c3a5d6", "no recorded end"),
}
ROW = 8.5  # points of a row, while there are few
TALL = 4.4  # inches of all rows at most
SIZE = 5.6  # points of seeds, causes and places
NAME = 6.5  # points of a group's name
STRIP, STRIP_GAP, RIGHT = 0.3, 0.08, 0.16  # inches


def draw(tries: Tries, by: str) -> Figure:
    """The picture of what `study.plotting.timeline.prepare` gives."""
    data = tries.data
    conditions = list(dict.fromkeys(data["condition"]))
    bars = data[data["kind"] != "at_once"]
    most = int(bars["row"].max()) + 1
    height = min(ROW, TALL * 72 / most)
    seeds = most <= LETTERED
    left = 0.16 + 0.56 * NAME / 72 * bars["group"].map(len).max() + (0.22 if seeds else 0.0)
    width = max(style.sheet_width(1), left + 2.0)
    panel = width - left - RIGHT
    tall = STRIP + STRIP_GAP + max(most * height / 72, 0.3)
    head = canvas.Head(tries.title, tries.subtitle, list(_legend(bars)))
    page = canvas.sheet(
        conditions, 1, head, tries.notes, gap=0, right=RIGHT, left=left, width=width, aspect=tall / panel
    )
    last = float(bars[["begin", "finish", "until"]].max().max())
    done = bars[bars["kind"] != "missing"]
    times = timescale.scale(done["begin"].tolist(), done["finish"].tolist(), last)
    end = float(times.place([last])[0])
    for (axes,), condition in zip(page.panels, conditions, strict=True):
        here = bars[bars["condition"] == condition]
        strip = _strip(axes, tall, condition, width - 2 * canvas.EDGE, left - canvas.EDGE)
        _rows(axes, here, times, height, seeds, by)
        steps = data[(data["kind"] == "at_once") & (data["condition"] == condition)]
        _count(strip, steps, times)
        for part in (axes, strip):
            timescale.mark(part, times, says=part is strip)
            part.set_xlim(0, end * 1.02 or 1)
        axes.set_xlabel(f"time since the first start ({times.name})")
    return page.figure


def _strip(axes: Axes, tall: float, title: str, room: float, left: float) -> Axes:
    """A low panel cut off the top of one that is so many inches high.

    The row's title moves to it, and as far to the left as the sheet goes, since it may be long; `room` and `left`, what there
    is for it in all and left of the panel, are in inches.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    box = axes.get_position()
    share = box.height / tall
    axes.set_position((box.x0, box.y0, box.width, box.height - (STRIP + STRIP_GAP) * share))
    strip = figure.add_axes((box.x0, box.y1 - STRIP * share, box.width, STRIP * share))
    axes.texts[0].remove()
    size = min(7.5, 72 * room / max(1, 0.62 * len(title)))
    strip.annotate(title, (0, 1), (-72 * left, 18), "axes fraction", "offset points", weight="bold", size=size)
    return strip


def _count(strip: Axes, steps: pd.DataFrame, times: Scale) -> None:
    most = int(steps["at_once"].max())
    x, y = times.place([*steps["begin"], times.last]), steps["at_once"].to_numpy(float)
    strip.fill_between(x, [*y, y[-1]], step="post", color="#b9c9d9", linewidth=0.4, gid="at_once")
    strip.set_ylim(0, most * 1.08 or 1)
    strip.set_yticks([])
    strip.tick_params(labelbottom=False, length=2)
    strip.set_title(f"in training at once (at most {most:,})", loc="left", pad=3, size=7)


def _rows(axes: Axes, bars: pd.DataFrame, times: Scale, height: float, seeds: bool, by: str) -> None:
    rows = int(bars["row"].max()) + 1
    axes.set_ylim(rows - 0.5, -0.5)
    axes.grid(visible=False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.4)
    thick = 0.76 if height > 3 else 1.0
    for outcome, (colour, _) in LOOKS.items():
        here = bars[bars["outcome"] == outcome]
        if not here.empty:
            _bars(axes, here, outcome, colour, times, thick)
    _names(axes, bars, height, seeds, by)
    if seeds:
        _marks(axes, bars, times, by)


def _bars(axes: Axes, bars: pd.DataFrame, outcome: str, colour: str, times: Scale, thick: float) -> None:
    row = bars["row"].to_numpy(float)
    x0, x1, y0, y1 = times.place(bars["begin"]), times.place(bars["finish"]), row - thick / 2, row + thick / 2
    corners = list(np.stack([np.stack([x0, x1, x1, x0]), np.stack([y0, y0, y1, y1])]).T)
    # An edge of their own keeps bars in sight that are shorter or lower than a dot.
    wide = 0.5 if outcome in ("failed", "diverged", "unknown") else 0.2
    shapes = PolyCollection(corners, facecolors=colour, edgecolors=colour, linewidths=wide, zorder=2, gid=outcome)
    shapes.set_zorder(3 if outcome in ("failed", "diverged") else 2)
    axes.add_collection(shapes, autolim=False)
    until = times.place(bars["until"])
    tails = [((a, y), (b, y)) for a, b, y in zip(x1, until, row, strict=True) if b > a]
    if tails:
        dots = LineCollection(tails, colors=style.MUTED, linewidths=0.7, linestyles=[(0, (1, 1.5))], gid="until")
        axes.add_collection(dots, autolim=False)


def _names(axes: Axes, bars: pd.DataFrame, height: float, seeds: bool, by: str) -> None:
    """The groups' names, as many as have room; a fine line between groups; the seeds, where rows are high enough."""
    spans = bars.groupby("group", sort=False)["row"].agg(["min", "max"])
    free = -np.inf  # points from the top
    where: dict[str, Any] = {"textcoords": "offset points", "va": "center", "ha": "right", "annotation_clip": False}
    for name, (first, last) in zip(spans.index, spans.to_numpy(), strict=True):
        if first and height * len(bars) / len(spans) > 2:
            axes.axhline(first - 0.5, color=style.FAINT, linewidth=0.4, zorder=1)
        middle = (first + last) / 2
        if middle * height >= free:
            aside = -15 if seeds else -4
            axes.annotate(name, (0, middle), (aside, 0), ("axes fraction", "data"), size=NAME, **where)
            free = middle * height + NAME * 1.15
    axes.set_yticks([])
    if seeds:
        single = bars.drop_duplicates("row")
        axes.set_yticks(single["row"], single["seed"].map(lambda seed: f"{seed:.0f}"), size=SIZE)
        axes.tick_params(axis="y", length=0, pad=2)
    heading = f"{by}, seed" if seeds else by
    axes.annotate(
        heading, (0, 1), (-4, 3), "axes fraction", size=SIZE, color=style.MUTED, annotation_clip=False,
        ha="right", textcoords="offset points",
    )  # fmt: skip


def _marks(axes: Axes, bars: pd.DataFrame, times: Scale, by: str) -> None:
    """What rows that are high enough say at the ends of their bars: the number of a cause, and the letter of a place."""
    letters = places(bars) if by != "place" else {}
    look: dict[str, Any] = {"size": SIZE, "va": "center_baseline", "annotation_clip": False, "zorder": 5}
    halo = [withStroke(linewidth=1.1, foreground="white")]
    for bar in bars[bars["kind"] != "missing"].to_dict("records"):
        at = (times.place([bar["finish"]])[0], bar["row"])
        mark = {"diverged": "×", "running": "▸", "unknown": "?"}.get(bar["outcome"], "")
        mark = mark or ("" if pd.isna(bar["cause"]) or not bar["cause"] else str(int(bar["cause"])))
        if mark:
            axes.annotate(mark, at, (1.5, 0), textcoords="offset points", path_effects=halo, gid="cause", **look)
        if bar["place"] in letters:
            begin = (times.place([bar["begin"]])[0], bar["row"])
            text = letters[bar["place"]]
            axes.annotate(text, begin, (1, 0), textcoords="offset points", path_effects=halo, gid="place", **look)


def places(data: pd.DataFrame) -> dict[str, str]:
    """A letter for each place, where there are several, letters do, and rows are high enough to have them."""
    there = sorted(set(data["place"].dropna()) - {""})
    fit = 1 < len(there) <= 26 and data["row"].max() < LETTERED
    return dict(zip(there, "abcdefghijklmnopqrstuvwxyz", strict=False)) if fit else {}


def _legend(bars: pd.DataFrame) -> Iterator[Artist]:
    there = set(bars["outcome"].dropna())
    for outcome, (colour, label) in LOOKS.items():
        if outcome in there:
            yield Patch(facecolor=colour, edgecolor=colour, linewidth=0.5, label=label)
    if bars["until"].notna().any():
        yield Line2D([], [], color=style.MUTED, linewidth=0.7, linestyle=(0, (1, 1.5)), label="it ended somewhere here")
