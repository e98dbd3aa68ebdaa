"""Loss and error along lines through the weights, network beside network: L18 figure 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.errors import StudyError, nearest
from study.plotting.base import canvas, style
from study.plotting.base.outside import nothing
from study.plotting.base.page import Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, shown
from study.plotting.surfaces.lattice import Floats
from study.plotting.surfaces.panels import columns_of, ends

SAYS = {"train": "loss and error of {} training images", "test": "{} test images"}
COLUMNS = [
    "row", "column", "network", "depth", "seed", "surface_id", "plane", "number", "bn", "split", "images", "level", "i",
    "alpha", "loss", "error",
]  # fmt: skip
DASHES = {"loss": "-", "error": "--"}  # as in L18, figure 2
SCALES = ("auto", "linear", "log")
TALL = 20.0  # nats: with losses above it, a linear axis shows little of the others
MOST = 3  # panels side by side


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    scale: str = "auto",
    plane: str | None = None,
    number: int | None = None,
    seed: int | None = None,
) -> Plot:
    """Draw the figure: a panel for each network, rows of them for each kind of BN statistics.

    Parameters
    ----------
    frame
        Surfaces, as `study.read_surfaces` gives them; those of one dimension are drawn.
    runs
        As `study.plotting.figure` takes it.
    scale
        Of the loss: `linear`, `log`, or `auto`, which is linear up to 20 nats.
    plane, number, seed
        Which of several lines of a network; by default the first.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, an unknown option's value, or no surface that fits.
    """
    if scale not in SCALES:
        raise StudyError(f"unknown scale '{scale}'{nearest(str(scale), SCALES)}")
    evidence = shown(frame, runs, 1, SAYS, plane=plane, number=number, seed=seed)
    data = evidence.points[COLUMNS]
    if scale == "auto":
        scale = "log" if data["loss"][is_finite(data["loss"])].max() > TALL else "linear"
    if scale == "log":
        names = pd.Series(data["column"].map(str) + ", " + data["split"].map(SPLITS), index=data.index)
        evidence = evidence._replace(notes=[*nothing(data["loss"], names, "loss"), *evidence.notes])
    shows = (
        "Loss in nats (solid) and error in percent (dashed) along lines through the weights of each network, on training and "
        "test images. Crosses: no finite loss."
    )
    return Plot(draw(data, evidence, scale), data, surfaces.caption_of(shows, evidence))


def draw(data: pd.DataFrame, evidence: Shown, scale: str) -> Figure:
    """The picture of the points in `data`."""
    lost = not is_finite(data["loss"]).all()
    both = (data["plane"] == "interpolate").all()
    notes = [
        "α = 0 and 1: the two trained networks." if both else "α = 0: the trained network.",
        *surfaces.without_value(evidence.points, "loss"), *evidence.notes,
    ]  # fmt: skip
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(data, lost)))
    across = columns_of(len(evidence.columns), MOST)
    lines = -(-len(evidence.columns) // across)
    rows = [title if line == 0 else "" for title in evidence.rows for line in range(lines)]
    width = style.sheet_width(across)
    page = canvas.sheet(rows, across, head, notes, gap=0.18, right=0.5, width=width, aspect=0.75, share=False)
    limits = _limits(data["loss"], scale)
    for row, title in enumerate(evidence.rows):
        panels = [axes for line in page.panels[row * lines : (row + 1) * lines] for axes in line]
        here = evidence.points[data["row"] == title]
        for name, axes, labelled in zip(evidence.columns, panels, ends(evidence.columns, here, across), strict=False):
            _panel(axes, name, here[here["column"] == name], (scale, limits), labelled)
        for axes in panels[len(evidence.columns) :]:
            axes.set_axis_off()
    return page.figure


def _limits(losses: pd.Series, scale: str) -> tuple[float, float]:
    """The ends of the loss axis, in nats, the same for all panels."""
    values = losses[is_finite(losses)].astype(float)
    if scale == "linear":
        return 0.0, 1.05 * max(values.max(), 0.1) if len(values) else 1.0
    positive = values[values > 0]
    return (0.8 * positive.min(), 1.6 * positive.max()) if len(positive) else (0.1, 10.0)


def _panel(
    axes: Axes, name: str, points: pd.DataFrame, loss_axis: tuple[str, tuple[float, float]], labelled: tuple[bool, bool]
) -> None:
    """One network's lines; `labelled` says whether the panel is the first and the last of its row."""
    if points.empty:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"{name}\nnot measured", ha="center", va="center", color=style.MUTED, size=7)
        return
    first = points.iloc[0]
    errors = axes.twinx()
    axes.set_yscale(loss_axis[0], **({"nonpositive": "clip"} if loss_axis[0] == "log" else {}))
    axes.set_ylim(*loss_axis[1])
    errors.set_ylim(0, 100)
    for mark in (0, 1) if first["plane"] == "interpolate" else (0,):
        axes.axvline(mark, color="#b0b0b0", linewidth=0.5, linestyle=(0, (1, 2)), zorder=1, gid="network")
    for split, line in points.groupby("split", sort=False):
        _line(axes, line, str(split), "loss")
        _line(errors, line, str(split), "error")
        lost = line.loc[~is_finite(line["loss"]), "alpha"].to_numpy(float)
        top = np.ones(len(lost))
        look: dict[str, Any] = {"color": style.SPLIT_COLOURS[str(split)], "markersize": 3, "linestyle": "none"}
        axes.plot(
            lost, top, marker="x", clip_on=False, gid=f"{split} lost", transform=axes.get_xaxis_transform(), **look
        )
    axes.set_xlim(first["range_a_low"], first["range_a_high"])
    canvas.few_ticks(axes.xaxis)
    axes.set_xlabel("α", labelpad=1)
    axes.set_title(name, loc="left", pad=5)
    axes.set_ylabel("loss (nats)" if labelled[0] else "")
    axes.tick_params(labelleft=labelled[0])
    errors.spines["right"].set_visible(True)
    errors.set_ylabel("error (%)" if labelled[1] else "")
    errors.tick_params(labelright=labelled[1])


def _line(axes: Axes, points: pd.DataFrame, split: str, column: str) -> None:
    x, y = joined_up(points, column)
    there = np.isfinite(y)
    before, after = np.append(False, there[:-1]), np.append(there[1:], False)
    alone = np.flatnonzero(there & ~before & ~after).tolist()  # no line goes to these
    look: dict[str, Any] = {"color": style.SPLIT_COLOURS[split], "linewidth": 1.1, "marker": ".", "markevery": alone}
    axes.plot(x, np.where(there, y, np.nan), DASHES[column], gid=f"{split} {column}", zorder=3, **look)


def joined_up(points: pd.DataFrame, column: str) -> tuple[Floats, Floats]:
    """Coordinates and values in order along the line, with NaN where points of its lattice are missing."""
    points = points.sort_values("i")
    step = 2 ** int(points["refine"].iloc[0])
    gaps = np.flatnonzero(np.diff(points["i"].to_numpy(int)) > step) + 1
    x, y = (np.insert(points[name].to_numpy(float), gaps, np.nan) for name in ("alpha", column))
    return x, y


def _legend(data: pd.DataFrame, lost: bool) -> Iterator[Artist]:
    for column, dash in DASHES.items():
        for split in (split for split in SPLITS if split in set(data["split"])):
            look: dict[str, Any] = {"color": style.SPLIT_COLOURS[split], "linewidth": 1.1, "linestyle": dash}
            yield Line2D([], [], label=f"{SPLITS[split]} {column}", **look)
    if lost:
        yield Line2D([], [], color=style.INK, marker="x", markersize=3, linestyle="none", label="no finite loss")
