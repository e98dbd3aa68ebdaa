"""How far from convex the loss is: |λ_min / λ_max| of its Hessian over planes through the weights: L18 figure 7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Patch

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.outside import outside
from study.plotting.base.page import Plot
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import at_points, is_finite, names, shown
from study.plotting.surfaces.lattice import Floats, Lattice
from study.plotting.surfaces.panels import Place
from study.stats.planned import require

NEEDED = ("surface_id", "plane", "iteration", "i", "j", "lambda_max", "lambda_min", "curvature_images")
COLUMNS = [*planes.COLUMNS, "lambda_max", "lambda_min", "ratio"]
MOST = 0.5  # where the colours end, as in L18, figure 7
CONCAVE: dict[str, Any] = {"facecolor": "white", "edgecolor": "#555555", "hatch": "....", "linewidth": 0}
CENTRE: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": style.INK,
                          "markeredgewidth": 0.7, "linestyle": "none"}  # fmt: skip


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    plane: str | None = None,
    number: int | None = None,
    seed: int | None = None,
) -> Plot:
    """A column for each network, a row for each kind of BN statistics; of surfaces measured with `curvature: true`.

    `plane`, `number` and `seed` choose among several surfaces of a network, by default the first.
    """
    says = {"train": "Hessian of the loss of {} training images"}
    what = "a surface with curvature"
    evidence = shown(_curved(frame), runs, 2, says, what, plane=plane, number=number, seed=seed)
    points = with_ratios(evidence.points)
    evidence = evidence._replace(points=points).noting(*_notes(points))
    text = (
        f"{_finding(points)}|λ_min / λ_max|, without unit, of the smallest and the largest eigenvalue of the Hessian of the "
        "training loss, over planes through the weights of each network, located at (0, 0). At 0 the loss bends down in no "
        f"direction. Each cell is a measured point; the colours end at {MOST}. Hatched: no finite eigenvalues. Dotted: no "
        "positive one."
    )
    made, places = planes.laid_out(evidence, list(_legend(points)))
    norm, colours = Normalize(0, MOST), sns.color_palette("cividis", as_cmap=True)
    for place in places:
        _cells(place, norm, colours, rasterised=len(points) > planes.MANY)
    page.colour_bar(made, ScalarMappable(norm, colours), "|λ_min / λ_max|", extend="max")
    return Plot(made.figure, points[COLUMNS], evidence.caption(text))


def _curved(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a point of the surfaces that were measured with their curvature, as of split `train`; `images` are the Hessian's.

    A surface of which no eigenvalue could be found was measured as well: it says of how many images.
    """
    if frame.empty:
        return frame
    require(frame, NEEDED, "surfaces")
    images = frame["curvature_images"]
    measured = frame["lambda_max"].notna() | (images.notna() & (frame["plane"] != "hessian"))
    curved = frame.assign(images=images)[frame["surface_id"].isin(frame.loc[measured, "surface_id"])]
    if curved.empty:
        raise StudyError("nothing to draw: no surface has curvature; `study surface SWEEP --curvature` measures it")
    # Of a surface with both splits the rows of split train have the eigenvalues.
    ordered = curved[curved["iteration"].isna()].sort_values("split", ascending=False, kind="stable")
    return ordered.drop_duplicates(["surface_id", "i", "j"]).assign(split="train")


def with_ratios(points: pd.DataFrame) -> pd.DataFrame:
    """With `ratio`, |λ_min / λ_max|: NaN without finite eigenvalues, and where none is above 0, which `concave` says."""
    least, most = points["lambda_min"].astype(float), points["lambda_max"].astype(float)
    known = is_finite(least) & is_finite(most)
    return points.assign(
        kind="point", ratio=(least / most).abs().where(known & (most > 0)), concave=known & (most <= 0)
    )


def _cells(place: Place, norm: Normalize, colours: Colormap, rasterised: bool) -> None:
    """Around each point of the lattice a cell; hatched where there is no ratio."""
    grid, points = Lattice(place.points), place.points
    centre = points.loc[(points["alpha"] == 0) & (points["beta"] == 0) & points["ratio"].notna(), "ratio"]
    planes.framed(place, *(f"centre {value:.2g}" for value in centre))
    x, y = _edges(grid.alpha), _edges(grid.beta)
    ratio, concave = np.ma.masked_invalid(grid.values("ratio")), grid.values("concave") == 1
    place.axes.pcolormesh(x, y, ratio.T, norm=norm, cmap=colours, rasterized=rasterised, zorder=1, gid="ratio")
    planes.hatch(place.axes, x, y, concave, **CONCAVE)
    planes.hatch(place.axes, x, y, grid.measured & ratio.mask & ~concave)
    place.axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    place.axes.plot(0, 0, zorder=4, gid="centre", **CENTRE)


def _edges(values: Floats) -> Floats:
    """(N+1,) the edges of cells around (N,) places."""
    half = (values[1] - values[0]) / 2
    return np.append(values - half, values[-1] + half)


def _finding(points: pd.DataFrame) -> str:
    known = points[points["ratio"].notna()]
    medians = known["ratio"].groupby(names(known), sort=False).median()
    told = ", ".join(f"{name} {median:.2g}" for name, median in medians.items())
    return f"Median |λ_min / λ_max| over the plane: {told}. One trained network each. " if told else ""


def _notes(points: pd.DataFrame) -> Iterator[str]:
    """Which points are not what their colour says, or have none."""
    yield from outside(points["ratio"], names(points), (0.0, MOST), "", of="colours")
    for where, said in (
        (points["ratio"].notna() & (points["lambda_min"] > 0), "convex, all eigenvalues above 0"),
        (points["concave"], "no positive eigenvalue (dotted)"),
        (points["ratio"].isna() & ~points["concave"], "no finite eigenvalues (hatched)"),
    ):
        if told := at_points(where, names(points)):
            yield f"{said}: {told}"


def _legend(points: pd.DataFrame) -> Iterator[Artist]:
    yield style.entry("the trained network", **CENTRE)
    if points["concave"].any():
        yield Patch(label="no positive eigenvalue", **CONCAVE)
    if (points["ratio"].isna() & ~points["concave"]).any():
        yield Patch(label="no finite eigenvalues", **planes.HATCH)
