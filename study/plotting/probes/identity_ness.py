"""How far each block is from the identity, after training and on the way: ||F(x)|| / ||x||, plain beside residual."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.plotting.base import canvas
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order, named
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.probes.lines import Looks

MEASURES = {
    "ratio": ("‖F(x)‖ / ‖x‖", "The norm of each block's branch relative to that of its input"),
    "change": (
        "‖y − s(x)‖ / ‖s(x)‖",
        "How much each block changes the output of its shortcut (in a plain network its input, where the shape is unchanged)",
    ),
    "truncated": ("share set to 0", "The share of negative inputs to each block's last ReLU"),
}
"""Of the y axis, and of the caption."""
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

    Parameters
    ----------
    frame
        Probes, as `study.read_probes` gives them; those of the probe `identity` are drawn.
    runs
        As `study.plotting.figure` takes it.
    measure
        `ratio`, `change` or `truncated`; `docs/probes.md` says what they are.
    iteration
        When the blocks were measured; by default at the end of the training.
    scale
        Of the y axis: `linear`, `log` or `auto`.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, or an unknown measure or scale.
    """
    measured.chosen("measure", measure, list(MEASURES))
    measured.chosen("scale", scale, probe_lines.SCALES)
    whole = measured.measured(frame, runs, "identity", [measure])
    evidence = measured.at(whole, iteration)
    data = prepare(evidence.rows, whole.rows)
    notes = [*evidence.notes, *measured.not_finite(whole.rows, whole.runs), *probe_lines.uneven(data)]
    notes += probe_lines.zeros(data, ["condition"], scale)
    shows = (
        f"{MEASURES[measure][1]}, in evaluation mode: block by block {measured.when(iteration)}, and the mean over all blocks "
        f"against iterations. {probe_lines.dashes(data['network'])} Pale lines are single seeds, bold lines their mean. After "
        "De and Smith 2020 and He et al. 2016, section 4.2."
    )
    text = caption(shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=notes)
    return Plot(draw(data, evidence._replace(notes=notes), MEASURES[measure][0], scale), data, text)


def prepare(end: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Every line of the figure, one row per point: `panel` is block or training, `kind` seed or mean.

    Parameters
    ----------
    end, rows
        One row per (run, iteration, block): what is shown block by block, and what over training.
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
    conditions = measured.conditions(evidence, data)
    networks, every = in_order(data["network"]), probe_lines.looks(data)
    legend = [*probe_lines.by_depth(every), *probe_lines.by_network(every), probe_lines.singles()]
    head = canvas.Head(evidence.title, evidence.subtitle, legend)
    page = canvas.sheet(conditions, len(networks) + 1, head, evidence.notes, gap=0.2, right=0.14)
    for row, condition in zip(page.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        blocks = here[here["panel"] == "block"]
        for axes, network in zip(row, networks, strict=False):
            lines = blocks[blocks["network"] == network]
            probe_lines.draw_lines(axes, lines, "place", every)
            probe_lines.place_axis(axes, blocks["place"].max(), "block")
            axes.set_title(network + probe_lines.counts(lines), loc="left", pad=5)
        _training(row[-1], here[here["panel"] == "training"], every)
        probe_lines.value_axis(row[0], here["value"], scale)  # the panels of a row share it
        row[0].set_ylabel(unit)
        for axes in row[1:]:
            axes.tick_params(labelleft=False)
    return page.figure


def _training(axes: Axes, lines: pd.DataFrame, every: Looks) -> None:
    unit = probe_lines.iteration_axis(axes, lines["iteration"].max())
    probe_lines.draw_lines(axes, lines, "iteration", every, unit)
    axes.set_title("mean over blocks", loc="left", pad=5)
