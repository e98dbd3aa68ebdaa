"""Contours of the loss over planes through the weights, network beside network: L18 figures 1 and 5."""

from __future__ import annotations

import pandas as pd

from study.plotting.base.page import Plot
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.frames import SPLITS


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
    evidence = planes.gathered(frame, runs, of, split, plane=plane, number=number, seed=seed)
    points = evidence.points
    text = (
        f"{planes.finding(points, of)}{SPLITS[split].capitalize()} {planes.UNITS[of]} over planes through the weights of each "
        f"network, located at (0, 0). Levels {planes.LEVELS[of]}. Star: the smallest measured value. Hatched: no finite value."
    )
    made, places = planes.laid_out(evidence, planes.legend(points[of], of))
    shade = planes.shades(points[of], of)
    for place in places:
        planes.bands(place, of, shade)
        lows = planes.lowest(place.points, of)
        planes.framed(place, *(f"min {low:.2g}" for low in lows[of]))
        place.axes.plot(lows["alpha"], lows["beta"], zorder=5, gid="minimum", clip_on=False, **planes.MINIMUM)
    planes.bar(made, shade, of)
    return Plot(made.figure, planes.with_lowest(points, of), evidence.caption(text))
