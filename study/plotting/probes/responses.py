"""Standard deviation of each 3x3 layer's response, in layer order and sorted: R15 figure 7, on any sweep."""

from __future__ import annotations

import pandas as pd

from study.papers.values import R15
from study.plotting.base.page import Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines
from study.plotting.probes.frames import POINT
from study.plotting.surfaces.frames import check_choice

PANELS = {"layer": ("in layer order", "place", "layer"), "sorted": ("sorted by magnitude", "place", "rank")}
COLUMNS = ["kind", "order", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]


def plot(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None, scale: str = "auto"
) -> Plot:
    """Draw the figure: a column for each network, rows in layer order and sorted.

    `iteration`: when they were measured; by default at the end of the training. `scale`: of the standard deviation:
    `linear`, `log`, or `auto`, which is linear unless a few layers would hide the rest.
    """
    check_choice("scale", scale, lines.SCALES)
    evidence = measured.at(measured.measured(frame, runs, "responses", ["std"]), iteration)
    data = prepare(evidence.rows)
    evidence = evidence.noting(*measured.not_finite(evidence.rows, evidence.runs), *lines.notes(data, scale))
    text = (
        f"{lines.finding(data, 'Standard deviation of the layers’ responses')}Each 3×3 layer, after BN and before ReLU or "
        f"addition, in evaluation mode, {measured.when(iteration)}. Above in layer order; below sorted in descending order, each "
        f"run by itself. {lines.seeds_in_words(data)} After figure 7 of He et al. 2015."
    )
    figure = lines.draw(data, evidence, "order", PANELS, "standard deviation", scale)
    return Plot(figure, data, evidence.caption(text, R15))


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Every line of the figure, one row per point: `kind` is seed or mean; `place` the layer's, or the rank once sorted."""
    descending = rows.sort_values(["value", "place"], ascending=[False, True], kind="stable")
    ranked = descending.assign(place=descending.groupby("run_id").cumcount() + 1).sort_values(["run_id", "place"])
    in_order = measured.seeds_and_mean(rows, ["place", "layer"], order="layer")
    parts = [*in_order, *measured.seeds_and_mean(ranked, ["place"], order="sorted")]
    return measured.table(parts, COLUMNS).astype({"place": int})
