"""The way of a training over the loss, in the plane of its first two principal directions: L18 figure 9."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from study.errors import StudyError
from study.plotting.base import style
from study.plotting.base.drops import of_recipe
from study.plotting.base.page import Plot
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, names
from study.plotting.surfaces.panels import Place
from study.stats.planned import require

NEEDED = ("surface_id", "plane", "iteration", "residual", "explained_a", "explained_b")
COLUMNS = [*planes.COLUMNS, "iteration", "milestone", "residual", "explained_a", "explained_b"]
MOST = 2  # panels side by side
FLAT = 0.3  # height over width of a plane below which its axes are not to scale, lest nothing be seen
WAY = "#111111"
DROP: dict[str, Any] = {"marker": "o", "markersize": 4.6, "markerfacecolor": "#e8543f", "markeredgecolor": "white",
                        "markeredgewidth": 0.7, "linestyle": "none"}  # fmt: skip
START: dict[str, Any] = {"marker": "s", "markersize": 4.2, "markerfacecolor": "white", "markeredgecolor": WAY,
                         "markeredgewidth": 0.8, "linestyle": "none"}  # fmt: skip
END: dict[str, Any] = {"marker": "o", "markersize": 8.5, "markerfacecolor": "none", "markeredgecolor": WAY,
                       "markeredgewidth": 0.8, "linestyle": "none"}  # fmt: skip
STEPS: dict[str, Any] = {"linewidth": 0.9, "marker": ".", "markersize": 2.8}

PRINCIPAL = "in the plane of the first two principal directions of the differences from its end, which is at (0, 0)"
SHARES = "Coordinates are distances in the space of all weights; in brackets the axis's share of the snapshots'"
MEANINGS = {
    "centred": f"{PRINCIPAL}; the mean of the snapshots is subtracted, as in Li et al.'s code. {SHARES} variance",
    "uncentred": f"{PRINCIPAL}; not centred, as in Li et al.'s text. {SHARES} squared distances from the end",
    "": "in a given plane, projected by least squares from the space of all weights; its end is at (0, 0)",
}


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    of: str = "loss",
    split: str = "train",
    plane: str | None = None,
    seed: int | None = None,
) -> Plot:
    """A panel for each network, rows of them for each kind of BN statistics: the lattice as contours, over it the snapshots.

    `of` (`loss` or `error`) and `split` say what the contours are of; `plane` what spans it, by default principal components
    where there are any; `seed` which of several trainings of a network, by default the first.
    """
    if not frame.empty:
        require(frame, NEEDED, "surfaces")
        ways = frame.loc[(frame["plane"] == "pca") | frame["iteration"].notna(), "surface_id"]
        if ways.empty:
            raise StudyError(
                "nothing to draw: no surface has a trajectory; `study surface SWEEP --plane pca` measures them for runs with "
                "snapshot_every"
            )
        frame = frame[frame["surface_id"].isin(ways)]
        plane = plane or ("pca" if (frame["plane"] == "pca").any() else None)
    evidence = planes.gathered(frame, runs, of, split, "a trajectory", plane=plane, seed=seed)
    way = snapshots(frame[frame["split"] == split], evidence.surfaces)
    data = pd.concat([evidence.points.assign(kind="point"), way]).reindex(columns=[*COLUMNS, of])
    data = data.astype({"milestone": "Int64", "iteration": "Int64"}).reset_index(drop=True)
    ratio = _ratios(data)
    scaled = bool(ratio.between(FLAT, 1 / FLAT).all())
    evidence = evidence.noting(*_notes(way, evidence, scaled))
    meaning = "; ".join(MEANINGS[kind] for kind in sorted(evidence.surfaces["pca"].unique()))
    text = (
        f"{_finding(data)}Each network's training {meaning}. Contours: {SPLITS[split]} {planes.UNITS[of]} in that plane, "
        f"{planes.LEVELS[of]}. Dots: snapshots, projected; a snapshot's own loss is another one. Large dots: the first snapshots "
        "at or after the iterations at which the learning rate drops."
    )
    handles = [*_legend(way), *planes.hatched(evidence.points[of], of)]
    aspect = float(np.clip(ratio.max(), 0.4, 1.2)) if scaled else 0.75
    made, places = planes.laid_out(evidence, handles, most=MOST, aspect=aspect, width=style.PAGES["page"])
    shade = planes.shades(evidence.points[of], of)
    for place in places:
        planes.bands(place, of, shade)
        planes.framed(place)
        _axes(place, data[(data["row"] == place.row) & (data["column"] == place.title)], scaled)
    planes.bar(made, shade, of)
    return Plot(made.figure, data, evidence.caption(text))


def _finding(data: pd.DataFrame) -> str:
    first = data[data["explained_a"].notna()].drop_duplicates(["row", "column"])
    shares = 100 * (first["explained_a"] + first["explained_b"])
    told = ", ".join(f"{name} {share:.0f} %" for name, share in zip(first["column"], shares, strict=True))
    return f"Explained by the plane of each training: {told}. One training each. " if told else ""


def snapshots(frame: pd.DataFrame, surfaces: pd.DataFrame) -> pd.DataFrame:
    """The snapshots of these surfaces in order, a row each, as kind `snapshot`.

    `milestone` is the iteration after which the rate drops, at the first snapshot from there on.
    """
    ranked = surfaces.assign(rank=range(len(surfaces)))
    fields = ["surface_id", *(column for column in ranked if column not in frame)]
    way = frame[frame["iteration"].notna()].merge(ranked[fields], on="surface_id")
    way = way.assign(kind="snapshot", milestone=None).sort_values(["rank", "iteration"], ignore_index=True)
    for _, run in way.groupby("surface_id", sort=False):
        for milestone in reversed(of_recipe(run.iloc[0].to_dict())):
            way.loc[run.index[run["iteration"] >= milestone][:1], "milestone"] = milestone
    return way


def _ratios(data: pd.DataFrame) -> pd.Series:
    """Height over width of each panel."""
    ends = data.groupby("surface_id")[["alpha", "beta"]].agg(["min", "max"])
    return (ends["beta", "max"] - ends["beta", "min"]) / (ends["alpha", "max"] - ends["alpha", "min"])


def _axes(place: Place, here: pd.DataFrame, scaled: bool) -> None:
    """The snapshots, limits that hold them and the lattice, and what share of the distances lies along each axis."""
    axes, way = place.axes, here[here["kind"] == "snapshot"]
    axes.set_aspect("equal" if scaled else "auto")
    for name, axis, limits in (("alpha", "a", axes.viewLim.intervalx), ("beta", "b", axes.viewLim.intervaly)):
        (low, high), least, most = limits, here[name].min(), here[name].max()
        room = 0.04 * (max(high, most) - min(low, least))
        ends = (least - room if least < low else low, most + room if most > high else high)
        share = here[f"explained_{axis}"].iloc[0]
        label = ("α" if axis == "a" else "β") + (f" ({100 * share:.1f} %)" if pd.notna(share) else "")
        axes.set(**{"xlim": ends, "xlabel": label} if axis == "a" else {"ylim": ends, "ylabel": label})
    axes.tick_params(labelleft=True)
    if way.empty:
        return
    drops = way[way["milestone"].notna()]
    axes.plot(way["alpha"], way["beta"], color="white", linewidth=2.2, alpha=0.7, zorder=4, gid="casing")
    axes.plot(way["alpha"], way["beta"], zorder=5, gid="way", color=WAY, **STEPS)
    axes.plot(way["alpha"].iloc[:1], way["beta"].iloc[:1], zorder=6, gid="start", **START)
    axes.plot(drops["alpha"], drops["beta"], zorder=7, gid="drops", **DROP)
    axes.plot([0], [0], zorder=8, gid="end", **END)


def _notes(way: pd.DataFrame, evidence: Shown, scaled: bool) -> Iterator[str]:
    """How far snapshots are off the plane, and what of the way is missing."""
    far = way[is_finite(way["residual"])]
    if not far.empty:
        most = far.loc[far.groupby("surface_id", sort=False)["residual"].idxmax()]
        told = "; ".join(
            f"{name}: {distance:.2g} at iteration {iteration:,}"
            for name, distance, iteration in zip(names(most), most["residual"], most["iteration"], strict=True)
        )
        yield f"largest distance from the plane, in the unit of the axes: {told}"
    if not scaled:
        yield "α and β have different scales"
    surfaces = evidence.surfaces
    absent = surfaces.loc[~surfaces["surface_id"].isin(way["surface_id"]), "column"]
    if not absent.empty:
        yield f"no snapshot has been measured: {', '.join(absent)}"
    marked = way.loc[way["milestone"].notna(), "surface_id"]
    unmarked = way.loc[~way["surface_id"].isin(marked), "column"].unique()
    if len(unmarked):
        yield f"no drop of the learning rate is marked, since the recipe lists none: {', '.join(unmarked)}"


def _legend(way: pd.DataFrame) -> Iterator[Artist]:
    yield style.entry("snapshots", WAY, **STEPS)
    yield style.entry("start", **START)
    if way["milestone"].notna().any():
        yield style.entry("learning rate drops", **DROP)
    yield style.entry("end", **END)
