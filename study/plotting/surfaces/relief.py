"""The loss over planes through the weights as a relief, network beside network: L18 figure 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.outside import nothing, outside
from study.plotting.base.page import Plot
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS, check_choice, is_finite, names
from study.plotting.surfaces.lattice import Floats, Lattice, corners
from study.plotting.surfaces.line1d import SCALES, TALL
from study.plotting.surfaces.panels import Place, Shades

FLOOR = 0.45  # how far below the lowest point of all the contours lie, in heights of the relief
LIGHT = (-0.45, -0.35, 0.82)  # where it comes from
DARKEST = 0.55  # how bright a face is that turns away from it


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    of: str = "loss",
    split: str = "train",
    scale: str = "auto",
    top: float | None = None,
    plane: str | None = None,
    number: int | None = None,
    seed: int | None = None,
    elev: float = 28,
    azim: float = -58,
) -> Plot:
    """A column for each network, a row for each kind of BN statistics, as `contours` has them, with the same options.

    `scale` of the height is `linear`, `log` or `auto`: log where a loss exceeds 20 nats. What is above `top` stands there, and
    is named. `elev` and `azim` (degrees) are the viewing direction.
    """
    check_choice("scale", scale, SCALES)
    if top is not None and not 0 < top < math.inf:
        raise StudyError(f"top must be a positive number, not {top}")
    if not 0 < elev <= 90:
        raise StudyError(f"elev must be above 0 and at most 90 degrees, not {elev}: the contours are seen from above")
    evidence = planes.gathered(frame, runs, of, split, plane=plane, number=number, seed=seed)
    values = evidence.points[of]
    if scale == "auto":
        scale = "log" if of == "loss" and heights(values, "linear", top).max() > TALL else "linear"
    points = evidence.points.assign(height=heights(values, scale, top))
    evidence = evidence._replace(points=points).noting(*_moved(points, of, scale, top))
    text = (
        f"{planes.finding(points, of)}{SPLITS[split].capitalize()} {planes.UNITS[of]} over planes through the weights of each "
        f"network, located at (0, 0), as height, on a {scale} scale that the networks of a row share. On the floor its contours "
        f"{planes.LEVELS[of]}. Star: the smallest measured value. Gaps, hatched on the floor: no finite value."
    )
    made, places = planes.laid_out(evidence, planes.legend(values, of), aspect=1.0, around=0.4, projection="3d")
    shade = planes.shades(values, of)
    for place in places:
        span = _span(points.loc[points["row"] == place.row, "height"], scale)
        _relief(place, of, shade, span, rasterised=len(points) > planes.MANY)
        _framed(place, of, scale, span, (elev, azim))
    planes.bar(made, shade, of)
    return Plot(made.figure, planes.with_lowest(points, of, "height"), evidence.caption(text))


def heights(values: pd.Series, scale: str, top: float | None) -> pd.Series:
    """Where each value stands: itself or its decimal logarithm, at most that of `top`; NaN where it is not finite.

    The logarithm of what is not above 0 is that of the smallest value above.
    """
    finite = values.astype(float).where(is_finite(values)).clip(upper=top)
    if scale == "linear":
        return finite
    least = finite[finite > 0].min()
    return finite.clip(lower=1.0 if math.isnan(least) else least).map(math.log10)


def _moved(points: pd.DataFrame, of: str, scale: str, top: float | None) -> Iterator[str]:
    """Notes on points that do not stand where their values are."""
    finite = points[is_finite(points[of])]
    if top is not None:
        yield from outside(finite[of], names(finite), (-math.inf, top), "nats" if of == "loss" else "%")
    if scale == "log":
        yield from nothing(finite[of], names(finite), of)


def _span(row: pd.Series, scale: str) -> tuple[float, float]:
    """From the floor to the highest point of a row of panels."""
    low, high = (float(row.min()), float(row.max())) if row.notna().any() else (0.0, 1.0)
    low = min(low, 0.0) if scale == "linear" else low
    high = high if high > low else low + 1.0
    return low - FLOOR * (high - low), high


def _relief(place: Place, of: str, shade: Shades, span: tuple[float, float], rasterised: bool) -> None:
    """A relief above its contours; gaps where a value is not finite."""
    axes: Any = place.axes  # Axes3D, which has no types
    grid = Lattice(place.points)
    height, values = grid.values("height"), np.ma.masked_invalid(grid.values(of))
    x, y = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    if values.count() > 2:
        floor: dict[str, Any] = {"zdir": "z", "offset": span[0], "levels": shade.levels}
        axes.contourf(x, y, values, extend="both", norm=shade.norm, cmap=shade.colours, zorder=1, alpha=0.6, **floor)
        axes.contour(x, y, values, colors="white", linewidths=0.4, zorder=2, **floor)
        middles = corners(values.filled(np.nan)).mean(axis=(2, 3))
        faces = shade.colours(shade.norm(np.ma.masked_invalid(middles)))
        faces[..., :3] *= _light(height / (span[1] - span[0]))[..., None]
        axes.plot_surface(
            x, y, height, facecolors=faces, rcount=len(x), ccount=y.shape[1], shade=False, edgecolor=(1, 1, 1, 0.3),
            linewidth=0.2, antialiased=True, zorder=4, rasterized=rasterised,
        ).set_gid("relief")  # fmt: skip
    for a, b in zip(*np.nonzero(grid.lost(of)), strict=True):
        cell = [(grid.alpha[a + i], grid.beta[b + j], span[0]) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
        axes.add_collection3d(Poly3DCollection([cell], gid="no finite value", **planes.HATCH))


def _light(height: Floats) -> Floats:
    """(A-1, B-1) how bright cells are, after Lambert; heights (A, B) and sides are in units of the box."""
    across, along = np.gradient(height, *(1 / (size - 1) for size in height.shape))
    facing = (LIGHT[2] - LIGHT[0] * across - LIGHT[1] * along) / np.sqrt(1 + across**2 + along**2)
    found: Floats = corners(DARKEST + (1 - DARKEST) * np.clip(facing, 0, 1)).mean(axis=(2, 3))
    return np.nan_to_num(found, nan=1.0)


def _framed(place: Place, of: str, scale: str, span: tuple[float, float], view: tuple[float, float]) -> None:
    axes: Any = place.axes
    first, lows = place.points.iloc[0], planes.lowest(place.points, of)
    axes.view_init(*view)
    axes.set_proj_type("ortho")  # so that heights compare
    axes.set(
        xlim=(first["range_a_low"], first["range_a_high"]),
        ylim=(first["range_b_low"], first["range_b_high"]),
        zlim=span,
    )
    axes.set_box_aspect((1, planes.aspect_of(place.points.iloc[:1]), 0.8), zoom=1.2)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set(facecolor="none", edgecolor=style.FAINT)
        axis._axinfo["grid"].update(color=style.FAINT, linewidth=0.3)
        page.few_ticks(axis, 3)
    axes.tick_params(pad=-4, labelsize=style.SMALLEST * style.look().scale)
    axes.set_xlabel("α", labelpad=-12)
    axes.set_ylabel("β", labelpad=-12)
    low = span[0] + FLOOR / (1 + FLOOR) * (span[1] - span[0])
    ticks = [h for h in MaxNLocator(5, steps=[1, 2, 3, 5, 10]).tick_values(low, span[1]) if low <= h <= span[1]]
    if scale == "log":  # at round values: 0.3 and 3 instead of half decades
        ticks = [math.log10(float(f"{10.0**height:.0e}")) for height in ticks]
    axes.set_zticks(ticks, [_said(height, scale) if place.first else "" for height in ticks])
    axes.zaxis.set_ticks_position("lower")
    axes.plot(lows["alpha"], lows["beta"], span[0], zorder=5, gid="minimum", **planes.MINIMUM)
    axes.set_title("\n".join([place.title, *(f"min {low:.2g}" for low in lows[of])]), y=1.06)
    if place.first:
        name = planes.UNITS[of] + (", log" if scale == "log" else "")
        axes.text2D(-0.27, 0.55, name, rotation=90, va="center", ha="right", transform=axes.transAxes, gid="height")


def _said(height: float, scale: str) -> str:
    """The value at a height."""
    if scale == "linear":
        return f"{height:g}"
    return number(10**height) if -3 < height < 3 else f"$10^{{{round(height)}}}$"
