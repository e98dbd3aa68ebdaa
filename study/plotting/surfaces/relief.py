"""The loss over planes through the weights as a relief, network beside network: L18 figure 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from study.errors import StudyError, nearest
from study.plotting.base import page, style
from study.plotting.base.page import Head, Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, shown
from study.plotting.surfaces.lattice import Floats, lattice
from study.plotting.surfaces.line1d import SCALES, TALL
from study.plotting.surfaces.panels import Place, Shades
from study.text import counted

FLOOR = 0.45  # how far below the lowest point of all the contours lie, in heights of the relief
MANY = 4000  # faces beyond which they are pixels in PDF and SVG, lest files have megabytes
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
    planes.check(of, split)
    _check(scale, top, elev)
    evidence = shown(
        frame, runs, 2, {split: f"{SPLITS[split]} {of} of {{}} images"}, plane=plane, number=number, seed=seed
    )
    if scale == "auto":
        scale = "log" if of == "loss" and heights(evidence.points[of], "linear", top).max() > TALL else "linear"
    points = evidence.points.assign(height=heights(evidence.points[of], scale, top))
    notes = [
        *surfaces.without_value(points, of),
        *_moved(points, of, scale),
        *planes.beyond(points, of),
        *evidence.notes,
    ]
    evidence = evidence._replace(points=points, notes=notes)
    data = pd.concat([points.assign(kind="point"), planes.lowest(points, of).assign(kind="minimum")], ignore_index=True)
    data = data[[*planes.COLUMNS, of, "height"]]
    shows = (
        f"{planes.finding(points, of)}{SPLITS[split].capitalize()} {planes.UNITS[of]} over planes through the weights of each "
        f"network, located at (0, 0), as height, on a {scale} scale that the networks of a row share. On the floor its "
        f"contours {planes.levels_in_words(of)}. Star: the smallest measured value. Gaps, hatched on the floor: no "
        "finite value."
    )
    return Plot(draw(data, evidence, of, scale, (elev, azim)), data, surfaces.caption_of(shows, evidence))


def _check(scale: str, top: float | None, elev: float) -> None:
    if scale not in SCALES:
        raise StudyError(f"unknown scale '{scale}'{nearest(str(scale), SCALES)}")
    if top is not None and not 0 < top < math.inf:
        raise StudyError(f"top must be a positive number, not {top}")
    if not 0 < elev <= 90:
        raise StudyError(f"elev must be above 0 and at most 90 degrees, not {elev}: the contours are seen from above")


def heights(values: pd.Series, scale: str, top: float | None) -> pd.Series:
    """Where each value stands: itself or its decimal logarithm, at most that of `top`; NaN where it is not finite.

    The logarithm of what is not above 0 is that of the smallest value that is.
    """
    finite = values.astype(float).where(is_finite(values)).clip(upper=top)
    if scale == "linear":
        return finite
    least = finite[finite > 0].min()
    return finite.clip(lower=1.0 if math.isnan(least) else least).map(math.log10)


def draw(data: pd.DataFrame, evidence: Shown, of: str, scale: str, view: tuple[float, float]) -> Figure:
    """The picture: reliefs above their contours."""
    points = evidence.points
    head = Head(evidence.title, evidence.subtitle, planes.legend(of, not is_finite(points[of]).all()))
    made, places = planes.laid_out(evidence, head, evidence.notes, aspect=1.0, around=0.4, projection="3d")
    shade = planes.shades(points[of], of)
    for place in places:
        here = data[(data["row"] == place.row) & (data["column"] == place.column)]
        own = points[points["surface_id"] == here["surface_id"].iloc[0]].reset_index(drop=True)
        low, high = _span(points.loc[points["row"] == place.row, "height"], scale)
        _relief(place, own, of, shade, (low, high), rasterised=len(points) > MANY)
        _framed(place, own, of, scale, (low, high), view)
        for least in here[here["kind"] == "minimum"].to_dict("records"):
            place.axes.plot([least["alpha"]], [least["beta"]], [low], zorder=5, gid="minimum", **planes.MINIMUM)
            place.axes.set_title(f"{place.column}:  min {least[of]:.2g}", y=1.06)
    planes.bar(made, shade, of)
    return made.figure


def _span(row: pd.Series, scale: str) -> tuple[float, float]:
    """From the floor to the highest point of a row of panels."""
    low, high = (float(row.min()), float(row.max())) if row.notna().any() else (0.0, 1.0)
    low = min(low, 0.0) if scale == "linear" else low
    high = high if high > low else low + 1.0
    return low - FLOOR * (high - low), high


def _relief(
    place: Place, points: pd.DataFrame, of: str, shade: Shades, span: tuple[float, float], rasterised: bool
) -> None:
    """A relief above its contours; gaps where a value is not finite."""
    axes: Any = place.axes  # Axes3D, which has no types
    grid = lattice(points)
    height, values = grid.values(points, "height"), np.ma.masked_invalid(grid.values(points, of))
    x, y = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    if min(values.shape) > 1 and values.count() > 2:
        fill: dict[str, Any] = {"levels": shade.levels, "extend": "both", "norm": shade.norm, "cmap": shade.colours}
        axes.contourf(x, y, values, zdir="z", offset=span[0], zorder=1, alpha=0.6, **fill)
        axes.contour(
            x, y, values, zdir="z", offset=span[0], levels=shade.levels, colors="white", linewidths=0.4, zorder=2
        )
        faces = shade.colours(shade.norm(np.ma.masked_invalid(_middles(values.filled(np.nan)))))
        faces[..., :3] *= _light(height, (x, y), span)[..., None]
        axes.plot_surface(
            x, y, np.where(np.isfinite(height), height, np.nan), facecolors=faces, rcount=len(x), ccount=y.shape[1], shade=False,
            edgecolor=(1, 1, 1, 0.3), linewidth=0.2, antialiased=True, zorder=4, rasterized=rasterised,
        ).set_gid("relief")  # fmt: skip
    lost = grid.lost(values.filled(np.nan))
    for a, b in zip(*np.nonzero(lost), strict=True):
        corners = [(grid.alpha[a + i], grid.beta[b + j], span[0]) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
        axes.add_collection3d(Poly3DCollection([corners], gid="no finite value", **planes.HATCH))


def _middles(values: Floats) -> Floats:
    """(A-1, B-1) the mean over the corners of each cell."""
    found: Floats = (values[:-1, :-1] + values[1:, :-1] + values[1:, 1:] + values[:-1, 1:]) / 4
    return found


def _light(height: Floats, places: tuple[Floats, Floats], span: tuple[float, float]) -> Floats:
    """(A-1, B-1) how bright cells are, after Lambert, in a box of equal sides."""
    x, y = (place / np.ptp(place) for place in places)
    z = height / (span[1] - span[0])
    across = _middles(np.gradient(z, axis=0) / np.gradient(x, axis=0))
    along = _middles(np.gradient(z, axis=1) / np.gradient(y, axis=1))
    facing = (LIGHT[2] - LIGHT[0] * across - LIGHT[1] * along) / np.sqrt(1 + across**2 + along**2)
    return np.nan_to_num(DARKEST + (1 - DARKEST) * np.clip(facing, 0, 1), nan=1.0)


def _framed(
    place: Place, points: pd.DataFrame, of: str, scale: str, span: tuple[float, float], view: tuple[float, float]
) -> None:
    axes: Any = place.axes
    first = points.iloc[0]
    axes.view_init(*view)
    axes.set_proj_type("ortho")  # so that heights compare
    axes.set(
        xlim=(first["range_a_low"], first["range_a_high"]),
        ylim=(first["range_b_low"], first["range_b_high"]),
        zlim=span,
    )
    axes.set_box_aspect((1, planes.aspect_of(points.iloc[:1]), 0.8), zoom=1.2)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set(facecolor="none", edgecolor=style.FAINT)
        axis._axinfo["grid"].update(color=style.FAINT, linewidth=0.3)
        page.few_ticks(axis, 3)
    axes.tick_params(pad=-4, labelsize=style.SMALLEST * style.look().scale)
    axes.set_xlabel("α", labelpad=-12)
    axes.set_ylabel("β", labelpad=-12)
    ticks = _marks(span[0] + FLOOR / (1 + FLOOR) * (span[1] - span[0]), span[1], scale)
    axes.set_zticks([height for height, _ in ticks], [text for _, text in ticks] if place.first else [""] * len(ticks))
    axes.zaxis.set_ticks_position("lower")
    axes.set_title(place.column, y=1.06)
    if place.first:
        name = planes.UNITS[of] + (", log" if scale == "log" else "")
        axes.text2D(-0.27, 0.55, name, rotation=90, va="center", ha="right", transform=axes.transAxes, gid="height")


def _marks(low: float, high: float, scale: str) -> list[tuple[float, str]]:
    """Heights between two, and what is written at them."""
    if scale == "linear":
        ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [(height, f"{height:g}") for height in ticks if low <= height <= high]
    whole = range(math.floor(low), math.ceil(high) + 1)
    if high - low < 2.5:
        found = [(h + math.log10(digit), f"{digit * 10.0**h:g}") for h in whole for digit in (1, 3)]
    else:
        step = math.ceil((high - low) / 4)
        found = [(float(h), f"{10.0**h:g}" if -3 < h < 3 else f"$10^{{{h}}}$") for h in whole if h % step == 0]
    return [(height, text) for height, text in found if low <= height <= high]


def _moved(points: pd.DataFrame, of: str, scale: str) -> Iterator[str]:
    """Notes on points that do not stand where their values are."""
    finite = points[is_finite(points[of])]
    stands = 10 ** finite["height"] if scale == "log" else finite["height"]
    for where, said in (
        (finite[of] > stands * (1 + 1e-9), f"above {stands.max():.3g}, drawn at it"),
        (finite[of] < stands * (1 - 1e-9), f"drawn at {stands.min():.3g}, the smallest above 0"),
    ):
        groups = finite[where].groupby(["row", "column"], sort=False)
        names = [f"{surfaces.named(group)} at {counted(len(group), 'point')}" for _, group in groups]
        if names:
            yield f"{said}: {'; '.join(names)}"
