"""The way of a training over the loss, in the plane of its first two principal directions: L18 figure 9."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.config.differences import RECIPE
from study.errors import StudyError
from study.plotting.base import style
from study.plotting.base.drops import of_recipe
from study.plotting.base.page import Head, Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, shown
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
STEPS: dict[str, Any] = {"color": WAY, "linewidth": 0.9, "marker": ".", "markersize": 2.8}


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
    planes.check(of, split)
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
    says = {split: f"{SPLITS[split]} {of} of {{}} images"}
    evidence = shown(frame, runs, 2, says, "a trajectory", plane=plane, seed=seed)
    data = prepare(frame, evidence, of, split)
    evidence = evidence._replace(
        notes=[
            *surfaces.without_value(evidence.points, of),
            *planes.beyond(evidence.points, of),
            *_notes(data, evidence),
            *evidence.notes,
        ]
    )
    shows = (
        f"{_finding(data)}Each network's training {_planes_in_words(evidence.surfaces)}. Contours: "
        f"{SPLITS[split]} {planes.UNITS[of]} in that plane, {planes.levels_in_words(of)}. Dots: snapshots, projected; a "
        "snapshot's own loss is another one. Large dots: the first snapshots at or after the iterations at which the "
        "learning rate drops."
    )
    return Plot(draw(data, evidence, of), data, surfaces.caption_of(shows, evidence))


def _finding(data: pd.DataFrame) -> str:
    """What the panels show: how much of each training lies in its plane."""
    told = []
    for row in data[data["explained_a"].notna()].drop_duplicates(["row", "column"]).to_dict("records"):
        told.append(f"{row['column']} {100 * (row['explained_a'] + row['explained_b']):.0f} %")
    return f"Share of each training's variance in its plane: {', '.join(told)}. One training each. " if told else ""


PRINCIPAL = (
    "in the plane of the first two principal directions of the differences from its end, which is at (0, 0); {}. Coordinates are "
    "distances in the space of all weights; in brackets the share of {} along an axis"
)
MEANINGS = {
    "centred": PRINCIPAL.format("centred: the mean of the snapshots is subtracted first, as in Li et al.'s code",
                                "the snapshots' variance"),
    "uncentred": PRINCIPAL.format("not centred, as in Li et al.'s text",
                                  "the snapshots' squared distances from the end"),
    "": "in a given plane, projected by least squares from the space of all weights; its end is at (0, 0)",
}  # fmt: skip


def _planes_in_words(surfaces: pd.DataFrame) -> str:
    """What the planes are, and for which networks where there are several kinds."""
    names = surfaces.groupby("pca", sort=True)["column"].unique()
    if len(names) == 1:
        return MEANINGS[str(names.index[0])]
    return "; ".join(f"{MEANINGS[str(kind)]} ({', '.join(here)})" for kind, here in names.items())


def prepare(frame: pd.DataFrame, evidence: Shown, of: str, split: str) -> pd.DataFrame:
    """Every point of the lattices, and every snapshot in order, one row each.

    `milestone` is the iteration after which the rate drops, at the first snapshot from there on.
    """
    known = frame["iteration"].notna() & (frame["split"] == split)
    ranked = evidence.surfaces.reset_index(drop=True).rename_axis("rank").reset_index()
    fields = ["surface_id", "rank", *(c for c in ranked if c not in ("rank", *frame))]
    way = frame[known].merge(ranked[fields], on="surface_id").assign(kind="snapshot")
    recipe = [field for field in RECIPE if field in way]
    way = way.reindex(columns=list(dict.fromkeys([*COLUMNS, of, "rank", *recipe]))).sort_values(["rank", "iteration"])
    way["milestone"] = pd.Series(pd.NA, index=way.index, dtype="Int64")
    for _, run in way.groupby("surface_id", sort=False):
        for milestone in reversed(of_recipe(run.iloc[0].to_dict())):
            after = run.index[run["iteration"] >= milestone]
            way.loc[after[:1], "milestone"] = milestone
    points = evidence.points.assign(kind="point").reindex(columns=[*COLUMNS, of])
    whole = {"milestone": "Int64", "iteration": "Int64"}
    return pd.concat([points.astype(whole), way[[*COLUMNS, of]].astype(whole)], ignore_index=True)


def draw(data: pd.DataFrame, evidence: Shown, of: str) -> Figure:
    """The picture of what `prepare` gives."""
    ratio = _ratios(data)
    scaled = bool(ratio.between(FLAT, 1 / FLAT).all())
    lost = not is_finite(evidence.points[of]).all()
    head = Head(evidence.title, evidence.subtitle, [*_legend(data), *planes.legend(of, lost)[1:]])
    aspect = float(np.clip(ratio.max(), 0.4, 1.2)) if scaled else 0.75
    made, places = planes.laid_out(evidence, head, evidence.notes, most=MOST, aspect=aspect, width=style.PAGES["page"])
    shade = planes.shades(evidence.points[of], of)
    for place in places:
        here = data[(data["row"] == place.row) & (data["column"] == place.column)]
        points = evidence.points[evidence.points["surface_id"] == here["surface_id"].iloc[0]].reset_index(drop=True)
        planes.bands(place.axes, points, of, shade)
        planes.framed(place, points)
        _axes(place, here, scaled)
        way = here[here["kind"] == "snapshot"]
        if not way.empty:
            _way(place.axes, way)
    planes.bar(made, shade, of)
    return made.figure


def _ratios(data: pd.DataFrame) -> pd.Series:
    """Height over width of each panel."""
    ends = data.groupby("surface_id")[["alpha", "beta"]].agg(["min", "max"])
    return (ends["beta", "max"] - ends["beta", "min"]) / (ends["alpha", "max"] - ends["alpha", "min"])


def _axes(place: Place, here: pd.DataFrame, scaled: bool) -> None:
    """Limits that hold the lattice and all snapshots, and what share of the distances lies along each axis."""
    axes, first = place.axes, here.iloc[0]
    axes.set_aspect("equal" if scaled else "auto")
    for name, axis, limits, change, label in (
        ("alpha", "a", axes.get_xlim, axes.set_xlim, axes.set_xlabel),
        ("beta", "b", axes.get_ylim, axes.set_ylim, axes.set_ylabel),
    ):
        low, high = limits()
        least, most = float(here[name].min()), float(here[name].max())
        room = 0.04 * (max(high, most) - min(low, least))
        change(least - room if least < low else low, most + room if most > high else high)
        share = f" ({100 * float(first[f'explained_{axis}']):.1f} %)" if pd.notna(first[f"explained_{axis}"]) else ""
        label(f"{'α' if axis == 'a' else 'β'}{share}")
    axes.tick_params(labelleft=True)


def _way(axes: Axes, way: pd.DataFrame) -> None:
    x, y = way["alpha"].to_numpy(float), way["beta"].to_numpy(float)
    axes.plot(x, y, color="white", linewidth=2.2, alpha=0.7, zorder=4, gid="casing")
    axes.plot(x, y, zorder=5, gid="way", **STEPS)
    axes.plot(x[:1], y[:1], zorder=6, gid="start", **START)
    drops = way["milestone"].notna().to_numpy()
    axes.plot(x[drops], y[drops], zorder=7, gid="drops", **DROP)
    axes.plot([0], [0], zorder=8, gid="end", **END)


def _notes(data: pd.DataFrame, evidence: Shown) -> Iterator[str]:
    """How far snapshots are off the plane, and what of the way is not there."""
    way = data[data["kind"] == "snapshot"]
    far = way[is_finite(way["residual"])]
    if not far.empty:
        most = far.loc[far.groupby("surface_id", sort=False)["residual"].idxmax()]
        said = [
            f"{surfaces.named(most[most['surface_id'] == row.surface_id])}: {row.residual:.2g} at iteration {row.iteration:,}"
            for row in most.itertuples()
        ]
        yield f"largest distance from the plane, in the unit of the axes: {'; '.join(said)}"
    if not _ratios(data).between(FLAT, 1 / FLAT).all():
        yield "α and β have different scales"
    absent = evidence.surfaces[~evidence.surfaces["surface_id"].isin(way["surface_id"])]
    if not absent.empty:
        yield f"no snapshot has been measured: {', '.join(absent['column'])}"
    marked = way[way["milestone"].notna()]["surface_id"]
    unmarked = way[~way["surface_id"].isin(marked)].drop_duplicates("surface_id")
    if not unmarked.empty:
        yield f"no drop of the learning rate is marked, since the recipe lists none: {', '.join(unmarked['column'])}"


def _legend(data: pd.DataFrame) -> Iterator[Artist]:
    yield Line2D([], [], label="snapshots", **STEPS)
    yield Line2D([], [], label="start", **START)
    if data["milestone"].notna().any():
        yield Line2D([], [], label="learning rate drops", **DROP)
    yield Line2D([], [], label="end", **END)
