"""Loss and error along lines through the weights, network beside network: L18 figure 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from study.plotting.base import page, style
from study.plotting.base.outside import nothing
from study.plotting.base.page import Plot
from study.plotting.surfaces.frames import SPLITS, check_choice, is_finite, shown, strokes, without_value
from study.plotting.surfaces.panels import laid_out

SAYS = {"train": "loss and error of {} training images", "test": "{} test images"}
COLUMNS = [
    "row", "column", "network", "depth", "seed", "surface_id", "plane", "number", "bn", "split", "images", "i", "alpha",
    "loss", "error",
]  # fmt: skip
COLOURS = {"loss": style.INK, "error": "#00795c"}
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
    """A panel for each network, rows of them for each kind of BN statistics.

    `scale` of the loss is `linear`, `log` or `auto`: log where a loss exceeds 20 nats. `plane`, `number` and `seed` choose among
    several lines of a network, by default the first.
    """
    check_choice("scale", scale, SCALES)
    evidence = shown(frame, runs, 1, SAYS, plane=plane, number=number, seed=seed)
    data = evidence.points[COLUMNS]
    finite = data[is_finite(data["loss"])]
    if scale == "auto":
        scale = "log" if finite["loss"].max() > TALL else "linear"
    both = (data["plane"] == "interpolate").all()
    networks = "α = 0 and 1: the two trained networks." if both else "α = 0: the trained network."
    names = data["column"] + ", " + data["split"].map(SPLITS)
    foot = nothing(data["loss"], names, "loss") if scale == "log" else ()
    evidence = evidence.noting(networks, *without_value(evidence.points, "loss"), *foot)
    ends = finite.groupby("column", sort=False)["loss"].agg(["min", "max"])
    told = ", ".join(f"{name} {low:.2g} to {high:.2g}" for name, low, high in ends.itertuples())
    text = (
        f"{f'Loss along the line (nats): {told}. One trained network each. ' if told else ''}Loss in nats (left axis) and error "
        "in percent (right axis) along lines through the weights of each network; dashed: training images, solid: test images. "
        "Crosses: no finite loss."
    )
    made, places = laid_out(evidence, list(_legend(data)), most=MOST, aspect=0.62)
    for place, after in zip(places, [*places[1:], None], strict=True):
        errors = _panel(place.axes, place.points, scale, _limits(finite["loss"], scale))
        place.axes.set_title(place.title)
        place.axes.set_ylabel("loss (nats)" if place.first else "")
        place.axes.tick_params(which="both", labelleft=place.first)
        last = after is None or after.first
        errors.set_ylabel("error (%)" if last else "", color=COLOURS["error"])
        errors.tick_params(labelright=last, colors=COLOURS["error"])
    return Plot(made.figure, data, evidence.caption(text))


def _limits(losses: pd.Series, scale: str) -> tuple[float, float]:
    """The ends of the loss axis, in nats, the same for all panels."""
    if scale == "linear":
        return 0.0, 1.05 * max(losses.max(), 0.1) if len(losses) else 1.0
    positive = losses[losses > 0]
    return (0.8 * positive.min(), 1.6 * positive.max()) if len(positive) else (0.1, 10.0)


def _panel(axes: Axes, points: pd.DataFrame, scale: str, limits: tuple[float, float]) -> Axes:
    """One network's lines; returns the axis of the error."""
    first = points.iloc[0]
    errors = axes.twinx()
    errors.spines["right"].set_visible(True)
    errors.grid(visible=False)
    axes.set_yscale(scale, **({"nonpositive": "clip"} if scale == "log" else {}))
    axes.set_ylim(*limits)
    errors.set_ylim(0, 100)
    for mark in (0, 1) if first["plane"] == "interpolate" else (0,):
        axes.axvline(mark, color="#b0b0b0", linewidth=0.5, linestyle=(0, (1, 2)), zorder=1, gid="network")
    for side, column in ((axes, "loss"), (errors, "error")):
        values = strokes(points, ["split"], "i", column)
        alone = values[values.groupby("stroke")["alpha"].transform("size") == 1]
        same: dict[str, Any] = {"x": "alpha", "y": column, "legend": False, "ax": side}
        look: dict[str, Any] = {"color": COLOURS[column], "zorder": 3}
        lines: dict[str, Any] = {"style": "split", "dashes": style.DASHES, "size": "split", "sizes": style.WIDTHS}
        sns.lineplot(values, units="stroke", estimator=None, errorbar=None, **same, **look, **lines)
        sns.scatterplot(alone, s=6, linewidth=0, gid="alone", **same, **look)
        side.set_ylabel("")
    lost = points.loc[~is_finite(points["loss"]), "alpha"]
    if len(lost):
        top: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "gid": "lost"}
        axes.plot(lost, [1] * len(lost), "x", color=COLOURS["loss"], markersize=3, **top)
    axes.set_xlim(first["range_a_low"], first["range_a_high"])
    page.few_ticks(axes.xaxis, 4)
    axes.set_xlabel("α")
    return errors


def _legend(data: pd.DataFrame) -> Iterator[Artist]:
    for column, colour in COLOURS.items():
        for split in (split for split in SPLITS if (data["split"] == split).any()):
            look: dict[str, Any] = {"linewidth": style.WIDTHS[split], "linestyle": style.line_of(split)}
            yield style.entry(f"{SPLITS[split]} {column}", colour, **look)
    if not is_finite(data["loss"]).all():
        yield style.entry("no finite loss", marker="x", markersize=3, linestyle="none")
