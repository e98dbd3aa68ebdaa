"""How far from convex the loss is: |λ_min / λ_max| of its Hessian over planes through the weights: L18 figure 7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch

from study.errors import StudyError
from study.plotting.base import canvas, style
from study.plotting.base.page import Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import Shown, is_finite, shown
from study.plotting.surfaces.lattice import Floats
from study.plotting.surfaces.panels import Place
from study.stats.planned import require
from study.text import counted

NEEDED = ("surface_id", "plane", "iteration", "i", "j", "lambda_max", "lambda_min")
VALUES = ["lambda_max", "lambda_min", "ratio"]
MOST = 0.5  # where the colours end, as in L18, figure 7
TICKS = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
MANY = 4000  # cells beyond which they are pixels in PDF and SVG
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
    """Draw the figure: a column for each network, a row for each kind of BN statistics.

    Parameters
    ----------
    frame
        Surfaces, as `study.read_surfaces` gives them; those of two dimensions that were measured with `curvature: true`
        are drawn.
    runs
        As `study.plotting.figure` takes it.
    plane, number, seed
        Which of several such surfaces of a network; by default the first.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, or no surface that fits.
    """
    says = {"train": "Hessian of the loss of {} training images"}
    what = "a surface with curvature"
    evidence = shown(_curved(frame), runs, 2, says, what, plane=plane, number=number, seed=seed)
    points = evidence.points.assign(ratio=ratios(evidence.points), kind="point")
    evidence = evidence._replace(points=points, notes=[*_notes(points), *evidence.notes])
    shows = (
        "|λ_min / λ_max|, without unit, of the smallest and the largest eigenvalue of the Hessian of the training loss, over "
        "planes through the weights of each network, which stands at (0, 0). 0: there is no way in which the loss bends "
        f"down. Each cell is a measured point; the colours end at {MOST}. Hatched: no finite eigenvalues. Dotted: no "
        "positive one."
    )
    return Plot(draw(evidence), points[[*planes.COLUMNS, *VALUES]], surfaces.caption_of(shows, evidence))


def _curved(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a point of the surfaces that were measured with their curvature, as of split `train`; `images` are the Hessian's.

    A surface of which no eigenvalue could be found was measured as well: it says of how many images.
    """
    if frame.empty:
        return frame
    require(frame, NEEDED, "surfaces")
    images = frame.reindex(columns=["curvature_images"])["curvature_images"]
    measured = frame["lambda_max"].notna() | (images.notna() & (frame["plane"] != "hessian"))
    curved = frame.assign(images=images)[frame["surface_id"].isin(frame.loc[measured, "surface_id"])]
    if curved.empty:
        raise StudyError(
            "nothing to draw: no surface was measured with its curvature; `study surface SWEEP --curvature` measures it"
        )
    # Of a surface with both splits the rows of split train have the eigenvalues.
    ordered = curved[curved["iteration"].isna()].sort_values("split", ascending=False, kind="stable")
    return ordered.drop_duplicates(["surface_id", "i", "j"]).assign(split="train")


def ratios(points: pd.DataFrame) -> pd.Series:
    """|λ_min / λ_max| of each point; NaN where an eigenvalue is no finite number, and where none is above 0."""
    least, most = points["lambda_min"].astype(float), points["lambda_max"].astype(float)
    return (least / most).abs().where(is_finite(least) & is_finite(most) & (most > 0))


def _concave(points: pd.DataFrame) -> pd.Series:
    return is_finite(points["lambda_min"]) & is_finite(points["lambda_max"]) & (points["lambda_max"] <= 0)


def draw(evidence: Shown) -> Figure:
    """The picture of the ratios in `evidence.points`."""
    points = evidence.points
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(points)))
    page, places = planes.laid_out(evidence, head, evidence.notes)
    norm, colours = _colouring()
    for place in places:
        own = points[(points["row"] == place.row) & (points["column"] == place.column)].reset_index(drop=True)
        planes.framed(place, own)
        _cells(place, own, norm, colours, rasterised=len(points) > MANY)
        place.axes.plot(0, 0, zorder=4, gid="centre", **CENTRE)
        centre = own.loc[(own["alpha"] == 0) & (own["beta"] == 0) & own["ratio"].notna(), "ratio"]
        for value in centre:
            planes.remark(place, "", f"{value:.2g}")
    planes.bar(
        page,
        ScalarMappable(norm, colours),
        TICKS,
        r"$|\lambda_{\mathrm{min}}\,/\,\lambda_{\mathrm{max}}|$",
        extend="max",
    )
    return page.figure


def _cells(place: Place, points: pd.DataFrame, norm: Normalize, colours: Colormap, rasterised: bool) -> None:
    """Around each point a cell as large as the lattice that it belongs to is wide; finer ones lie on coarser ones."""
    axes, first = place.axes, points.iloc[0]
    points = points.sort_values(["level", "i", "j"], ignore_index=True)
    half = np.array([
        (float(first[f"range_{axis}_high"]) - float(first[f"range_{axis}_low"])) / max(1, int(first[f"points_{axis}"]) - 1) / 2
        for axis in "ab"
    ])  # fmt: skip
    around = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    sizes = 0.5 ** points["level"].to_numpy(float)
    corners: Floats = points[["alpha", "beta"]].to_numpy(float)[:, None] + around * sizes[:, None, None]
    known, concave = points["ratio"].notna().to_numpy(), _concave(points).to_numpy()
    shades = colours(norm(points.loc[known, "ratio"].to_numpy(float)))
    axes.add_collection(
        PolyCollection(
            list(corners[known]), facecolors=shades, linewidths=0, antialiased=False, rasterized=rasterised, zorder=1,
            gid="ratio",
        )
    )  # fmt: skip
    for where, look, name in (
        (concave, CONCAVE, "no positive eigenvalue"),
        (~known & ~concave, planes.HATCH, "no finite value"),
    ):
        if where.any():
            axes.add_patch(PathPatch(planes.closed(corners[where]), zorder=2, gid=name, **look))
    for limits, change, width in ((axes.get_xlim(), axes.set_xlim, half[0]), (axes.get_ylim(), axes.set_ylim, half[1])):
        change(limits[0] - width, limits[1] + width)


def _colouring() -> tuple[Normalize, Colormap]:
    """Other colours than those of the loss."""
    base = matplotlib.colormaps["cividis"]
    colours = LinearSegmentedColormap.from_list("ratio", base(np.linspace(0, 0.92, 256)))
    return Normalize(0, MOST), colours.with_extremes(over=base(1.0))


def _notes(points: pd.DataFrame) -> Iterator[str]:
    """Which points are not what their colour says, or have none."""
    concave = _concave(points)
    for where, said in (
        (points["ratio"] > MOST, f"above {MOST}"),
        (points["ratio"].notna() & (points["lambda_min"] > 0), "convex, all eigenvalues being above 0"),
        (concave, "no positive eigenvalue (dotted)"),
        (points["ratio"].isna() & ~concave, "no finite eigenvalues (hatched)"),
    ):
        names = []
        for _, group in points[where].groupby(["row", "column"], sort=False):
            whole = (points["surface_id"] == group["surface_id"].iloc[0]).sum()
            most = f", at most {group['ratio'].max():.2g}" if said.startswith("above") else ""
            names.append(f"{surfaces.named(group)} at {len(group):,} of {counted(whole, 'point')}{most}")
        if names:
            yield f"{said}: {'; '.join(names)}"


def _legend(points: pd.DataFrame) -> Iterator[Artist]:
    concave = _concave(points)
    yield Line2D([], [], label="the trained network; its ratio beside the title", **CENTRE)
    if concave.any():
        yield Patch(label="no positive eigenvalue", **CONCAVE)
    if (points["ratio"].isna() & ~concave).any():
        yield Patch(label="no finite eigenvalues", **planes.HATCH)
