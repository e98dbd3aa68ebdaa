"""Contours of the loss over planes through the weights, network beside network: L18 figures 1 and 5."""

from __future__ import annotations

import pandas as pd

from study.plotting.base.page import Head, Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, shown


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
    """A column for each network, a row for each kind of BN statistics.

    `of` is `loss` (nats) or `error` (percent); `split` is `train` or `test`; `plane`, `number` and `seed` choose among several
    surfaces of a network, by default the first.
    """
    planes.check(of, split)
    evidence = shown(
        frame, runs, 2, {split: f"{SPLITS[split]} {of} of {{}} images"}, plane=plane, number=number, seed=seed
    )
    points = evidence.points
    notes = [note for value in dict.fromkeys([of, "loss"]) for note in surfaces.without_value(points, value)]
    evidence = evidence._replace(notes=[*notes, *planes.beyond(points, of), *evidence.notes])
    data = prepare(evidence, of)
    shows = (
        f"{planes.finding(points, of)}{SPLITS[split].capitalize()} {planes.UNITS[of]} over planes through the weights of each "
        f"network, located at (0, 0). Levels {planes.levels_in_words(of)}. Star: the smallest measured value. "
        "Hatched: no finite value."
    )
    lost = not is_finite(data[of]).all()
    made, places = planes.laid_out(
        evidence, Head(evidence.title, evidence.subtitle, planes.legend(of, lost)), evidence.notes
    )
    shade = planes.shades(points[of], of)
    for place in places:
        here = data[(data["row"] == place.row) & (data["column"] == place.column)]
        own = points[points["surface_id"] == here["surface_id"].iloc[0]].reset_index(drop=True)
        planes.bands(place.axes, own, of, shade)
        lows = here[here["kind"] == "minimum"].to_dict("records")
        planes.framed(place, own, *(f"min {low[of]:.2g}" for low in lows))
        for low in lows:
            place.axes.plot(low["alpha"], low["beta"], zorder=5, gid="minimum", clip_on=False, **planes.MINIMUM)
    planes.bar(made, shade, of)
    return Plot(made.figure, data, surfaces.caption_of(shows, evidence))


def prepare(evidence: Shown, of: str) -> pd.DataFrame:
    """Every point that is drawn, one row each, and for each panel the lowest once more, as kind `minimum`."""
    points = evidence.points.assign(kind="point")
    return pd.concat([points, planes.lowest(points, of)], ignore_index=True)[[*planes.COLUMNS, of]]
