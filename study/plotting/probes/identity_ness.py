"""How far each block is from the identity, after training and on the way: ||F(x)|| / ||x||, plain beside residual."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from study.plotting.base import page
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order, named, network_title
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import iteration_axis
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured

MEASURES = {
    "ratio": ("‖F(x)‖ / ‖x‖", "The norm of each block's branch over that of the block's input"),
    "change": (
        "‖y − s(x)‖ / ‖s(x)‖",
        "How much each block changes what its shortcut carries (in a plain network its input, where the shape stays)",
    ),
    "truncated": ("share set to 0", "The share of what each block's last ReLU gets that is negative, so set to 0"),
}
"""Of the y axis, and of the caption."""
TITLES = {"block": "block by block", "training": "mean over blocks"}
COLUMNS = ["kind", "panel", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    measure: str = "ratio",
    iteration: int | None = None,
    scale: str = "auto",
) -> Plot:
    """Draw the figure.

    `measure`: `ratio`, `change` or `truncated`; `docs/probes.md` says what they are. `iteration`: when the blocks
    were measured; by default at the end of the training. `scale`: of the y axis: `linear`, `log` or `auto`.
    """
    measured.chosen("measure", measure, list(MEASURES))
    measured.chosen("scale", scale, probe_lines.SCALES)
    whole = measured.measured(frame, runs, "identity", [measure])
    evidence = measured.at(whole, iteration)
    data = prepare(evidence.rows, whole.rows)
    notes = [*evidence.notes, *measured.not_finite(whole.rows, whole.runs), *probe_lines.uneven(data)]
    notes += probe_lines.zeros(data, ["condition"], scale)
    told = probe_lines.finding(data[data["panel"] == "block"], f"{MEASURES[measure][0]} of the blocks")
    shows = (
        f"{told}{MEASURES[measure][1]}, in evaluation mode: above block by block {measured.when(iteration)}, "
        "below the mean over all blocks against iterations. "
        f"{probe_lines.seeds_in_words(data)} After De and Smith 2020 and He et al. 2016, section 4.2."
    )
    text = caption(shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=notes)
    return Plot(draw(data, evidence._replace(notes=notes), MEASURES[measure][0], scale), data, text)


def prepare(end: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Every line of the figure, one row per point: `panel` is block or training, `kind` seed or mean.

    `end, rows`: one row per (run, iteration, block): what is shown block by block, and what over training.
    """
    over = [*POINT, "run_id", "seed", "state", "iteration"]
    of_all = rows.groupby(over)["value"].apply(lambda values: values.mean(skipna=False)).reset_index()
    tables = [
        end.assign(kind="seed", panel="block"),
        measured.means(end, ["place", "layer"]).assign(kind="mean", panel="block"),
        of_all.assign(kind="seed", panel="training"),
        measured.means(measured.averaged(of_all), ["iteration"]).assign(kind="mean", panel="training"),
    ]
    table = pd.concat([table.reindex(columns=COLUMNS).astype(object) for table in tables], ignore_index=True)
    return table.astype({"depth": int, "value": float})


def draw(data: pd.DataFrame, evidence: Measured, unit: str, scale: str) -> Figure:
    """The picture of what `prepare` gives; `unit` names the y axis."""
    conditions, networks = measured.conditions(evidence, data), in_order(data["network"])
    every = probe_lines.looks(data)
    head = Head(evidence.title, evidence.subtitle, probe_lines.legend(data))
    rows = [(condition, panel) for condition in conditions for panel in TITLES]
    made = page.page([c if p == "block" else "" for c, p in rows], len(networks), head, evidence.notes, tall=1.3)
    for row, (condition, panel) in zip(made.panels, rows, strict=True):
        here = data[(data["condition"] == condition) & (data["panel"] == panel)]
        probe_lines.value_axis(row[0], data.loc[data["condition"] == condition, "value"], scale)
        last = here["place" if panel == "block" else "iteration"].max()
        steps = iteration_axis(row, int(last)) if panel == "training" else 1
        for axes, network in zip(row, networks, strict=True):
            lines = here[here["network"] == network]
            probe_lines.draw_lines(axes, lines, "place" if panel == "block" else "iteration", steps, every)
            if panel == "block":
                probe_lines.place_axis(axes, int(last), "block")
            axes.set_title(f"{network_title(network)}, {TITLES[panel]}{probe_lines.counts(lines)}")
        row[0].set_ylabel(unit)
    return made.figure
