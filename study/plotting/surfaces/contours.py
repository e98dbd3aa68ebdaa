"""Contours of the loss over planes through the weights, network beside network: L18 figures 1 and 5."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.plotting.base import canvas
from study.plotting.base.page import Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, shown
from study.plotting.surfaces.panels import Place


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    of: str = "loss",
    split: str = "train",
    plane: str | None = None,
    number: int | None = None,
    seed: int | None = None,
) -> Plot:
    """Draw the figure: a column for each network, a row for each kind of BN statistics.

    Parameters
    ----------
    frame
        Surfaces, as `study.read_surfaces` gives them; those of two dimensions are drawn.
    runs
        As `study.plotting.figure` takes it.
    of
        `loss` (nats) or `error` (percent).
    split
        `train` or `test`.
    plane, number, seed
        Which of several surfaces of a network; by default the first.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, an unknown option's value, or no surface that fits.
    """
    planes.check(of, split)
    says = {split: f"{SPLITS[split]} {of} of {{}} images"}
    evidence = shown(frame, runs, 2, says, plane=plane, number=number, seed=seed)
    evidence = evidence._replace(notes=[*planes.beyond(evidence.points, of), *evidence.notes])
    data = prepare(evidence, of)
    shows = (
        f"{SPLITS[split].capitalize()} {planes.UNITS[of]} over planes through the weights of each network, which "
        f"stands at (0, 0). Contour levels: {planes.levels_in_words(of)}. Star: the smallest value that was measured. "
        "Hatched: no finite value."
    )
    return Plot(draw(data, evidence, of), data, surfaces.caption_of(shows, evidence))


def prepare(evidence: Shown, of: str) -> pd.DataFrame:
    """Every point that is drawn, one row each, and for each panel the lowest once more, as kind `minimum`."""
    points = evidence.points.assign(kind="point")
    return pd.concat([points, planes.lowest(points, of)], ignore_index=True)[[*planes.COLUMNS, of]]


def draw(data: pd.DataFrame, evidence: Shown, of: str) -> Figure:
    """The picture of what `prepare` gives."""
    lost = not is_finite(data[of]).all()
    notes = [note for value in dict.fromkeys([of, "loss"]) for note in surfaces.without_value(evidence.points, value)]
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(of, lost)))
    page, places = planes.laid_out(evidence, head, [*notes, *evidence.notes])
    filled = None
    for place in places:
        here = data[(data["row"] == place.row) & (data["column"] == place.column)]
        filled = _panel(place, here, evidence, of) or filled
    if filled is not None:
        planes.bar(page, filled, planes.TICKS[of], planes.UNITS[of])
    return page.figure


def _panel(place: Place, marks: pd.DataFrame, evidence: Shown, of: str) -> ContourSet | None:
    axes = place.axes
    points = evidence.points[evidence.points["surface_id"] == marks["surface_id"].iloc[0]].reset_index(drop=True)
    filled = planes.bands(axes, points, of)
    planes.framed(place, points)
    for low in marks[marks["kind"] == "minimum"].to_dict("records"):
        axes.plot(low["alpha"], low["beta"], zorder=5, gid="minimum", clip_on=False, **planes.MINIMUM)
        planes.remark(place, "min", f"{low[of]:.2g}")
    return filled


def _legend(of: str, lost: bool) -> Iterator[Artist]:
    yield Line2D([], [], label=f"smallest {of} that was measured", **planes.MINIMUM)
    if lost:
        yield Patch(label=f"no finite {of}", **planes.HATCH)
