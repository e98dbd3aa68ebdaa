"""Standard deviation of each 3x3 layer's response, in layer order and sorted: R15 figure 7, on any sweep."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from study.papers.values import R15
from study.plotting.base import page
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order, named, network_title
from study.plotting.base.page import Head, Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured

ORDERS = {"layer": "in layer order", "sorted": "sorted by magnitude"}
X_NAMES = {"layer": "layer", "sorted": "rank"}
COLUMNS = ["kind", "order", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]


def plot(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None, scale: str = "auto"
) -> Plot:
    """Draw the figure: a column for each network, rows in layer order and sorted.

    `iteration`: when they were measured; by default at the end of the training. `scale`: of the standard deviation:
    `linear`, `log`, or `auto`, which is linear unless a few layers would hide the rest.
    """
    measured.chosen("scale", scale, probe_lines.SCALES)
    evidence = measured.at(measured.measured(frame, runs, "responses", ["std"]), iteration)
    data = prepare(evidence)
    notes = [*evidence.notes, *measured.not_finite(evidence.rows, evidence.runs), *probe_lines.uneven(data)]
    notes += probe_lines.zeros(data, ["condition", "order"], scale)
    shows = (
        f"{probe_lines.finding(data, 'Standard deviation of the layers’ responses')}Each 3×3 layer, after BN and before ReLU or "
        f"addition, in evaluation mode, {measured.when(iteration)}. Above in layer order; below sorted in descending order, each "
        f"run by itself. {probe_lines.seeds_in_words(data)} After figure 7 of He et al. 2015."
    )
    protocol = (evidence.title, evidence.subtitle)
    text = caption(shows, named(evidence.runs), protocol=protocol, notes=notes, paper=R15)
    return Plot(draw(data, evidence._replace(notes=notes), scale), data, text)


def prepare(evidence: Measured) -> pd.DataFrame:
    """Every line of the figure, one row per point: `kind` is seed or mean; `place` the layer's, or the rank once sorted."""
    rows = evidence.rows
    descending = rows.sort_values(["value", "place"], ascending=[False, True], kind="stable")
    ranked = descending.assign(place=descending.groupby("run_id").cumcount() + 1).sort_values(["run_id", "place"])
    tables = []
    for order, values, by in (("layer", rows, ["place", "layer"]), ("sorted", ranked, ["place"])):
        tables.append(values.assign(kind="seed", order=order))
        tables.append(measured.means(values, by).assign(kind="mean", order=order))
    table = pd.concat([table.reindex(columns=COLUMNS).astype(object) for table in tables], ignore_index=True)
    return table.astype({"depth": int, "place": int, "value": float})


def draw(data: pd.DataFrame, evidence: Measured, scale: str) -> Figure:
    """The picture of what `prepare` gives."""
    conditions, networks = measured.conditions(evidence, data), in_order(data["network"])
    every = probe_lines.looks(data)
    head = Head(evidence.title, evidence.subtitle, probe_lines.legend(data))
    rows = [(condition, order) for condition in conditions for order in ORDERS]
    made = page.page([c if o == "layer" else "" for c, o in rows], len(networks), head, evidence.notes, tall=1.3)
    for row, (condition, order) in zip(made.panels, rows, strict=True):
        here = data[(data["condition"] == condition) & (data["order"] == order)]
        probe_lines.value_axis(row[0], data.loc[data["condition"] == condition, "value"], scale)
        for axes, network in zip(row, networks, strict=True):
            lines = here[here["network"] == network]
            probe_lines.draw_lines(axes, lines, "place", every=every)
            probe_lines.place_axis(axes, int(here["place"].max()), X_NAMES[order])
            axes.set_title(f"{network_title(network)}, {ORDERS[order]}{probe_lines.counts(lines)}")
        row[0].set_ylabel("standard deviation")
    return made.figure
