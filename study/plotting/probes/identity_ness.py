"""How far each block is from the identity, after and during training: ||F(x)|| / ||x||, plain beside residual."""

from __future__ import annotations

import pandas as pd

from study.plotting.base.page import Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines
from study.plotting.probes.frames import POINT
from study.plotting.surfaces.frames import check_choice

MEASURES = {
    "ratio": ("‖F(x)‖ / ‖x‖", "The norm of each block's branch over that of the block's input"),
    "change": (
        "‖y − s(x)‖ / ‖s(x)‖",
        "How much each block changes what its shortcut carries (in a plain network its input, where the shape stays)",
    ),
    "truncated": ("share set to 0", "The share of negative inputs to each block's last ReLU, which sets them to 0"),
}
"""Of the y axis, and of the caption."""
PANELS = {"block": ("block by block", "place", "block"), "training": ("mean over blocks", "iteration", "")}
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

    `measure`: `ratio`, `change` or `truncated`; `docs/probes.md` defines them. `iteration`: when the blocks
    were measured; by default at the end of the training. `scale`: of the y axis: `linear`, `log` or `auto`.
    """
    check_choice("measure", measure, MEASURES)
    check_choice("scale", scale, lines.SCALES)
    whole = measured.measured(frame, runs, "identity", [measure])
    evidence = measured.at(whole, iteration)
    data = prepare(evidence.rows, whole.rows)
    evidence = evidence.noting(*measured.not_finite(whole.rows, whole.runs), *lines.notes(data, scale))
    unit, words = MEASURES[measure]
    text = (
        f"{lines.finding(data[data['panel'] == 'block'], f'{unit} of the blocks')}{words}, in evaluation mode: above block by "
        f"block {measured.when(iteration)}, below the mean over all blocks against iterations. {lines.seeds_in_words(data)} "
        "After De and Smith 2020 and He et al. 2016, section 4.2."
    )
    return Plot(lines.draw(data, evidence, "panel", PANELS, unit, scale), data, evidence.caption(text))


def prepare(end: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Every line of the figure, one row per point: `panel` is block or training, `kind` seed or mean.

    `end, rows`: one row per (run, iteration, block), for the panels block by block and over training.
    """
    over = [*POINT, "run_id", "seed", "state", "iteration"]
    of_all = rows.groupby(over)["value"].apply(lambda values: values.mean(skipna=False)).reset_index()
    parts = [
        *measured.seeds_and_mean(end, ["place", "layer"], panel="block"),
        of_all.assign(kind="seed", panel="training"),
        measured.means(measured.averaged(of_all), ["iteration"]).assign(kind="mean", panel="training"),
    ]
    return measured.table(parts, COLUMNS)
