"""Standard deviation of each 3x3 layer's response, in layer order and sorted: R15 figure 7, on any sweep."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.papers.values import R15
from study.plotting.base import canvas
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import named
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.probes.lines import Looks

ORDERS = {"layer": "in layer order", "sorted": "sorted by magnitude"}
X_NAMES = {"layer": "layer index", "sorted": "rank"}
ASPECT = 0.56
COLUMNS = ["kind", "order", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]


def plot(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None, scale: str = "auto"
) -> Plot:
    """Draw the figure.

    Parameters
    ----------
    frame
        Probes, as `study.read_probes` gives them; those of the probe `responses` are drawn.
    runs
        As `study.plotting.figure` takes it.
    iteration
        When they were measured; by default at the end of the training.
    scale
        Of the standard deviation: `linear`, `log`, or `auto`, which is linear unless a few layers would hide the rest.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, or an unknown scale.
    """
    measured.chosen("scale", scale, probe_lines.SCALES)
    evidence = measured.at(measured.measured(frame, runs, "responses", ["std"]), iteration)
    data = prepare(evidence)
    notes = [*evidence.notes, *measured.not_finite(evidence.rows, evidence.runs), *probe_lines.uneven(data)]
    notes += probe_lines.zeros(data, ["condition", "order"], scale)
    shows = (
        "Standard deviation of the responses of each 3×3 layer, after BN and before ReLU or addition, in evaluation mode, "
        f"{measured.when(iteration)}. Top: in layer order; bottom: sorted in descending order, each run separately. "
        f"{probe_lines.dashes(data['network'])} Pale lines are single seeds, bold lines their mean. After figure 7 of "
        "He et al. 2015."
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
    conditions = measured.conditions(evidence, data)
    every = probe_lines.looks(data)
    head = canvas.Head(evidence.title, evidence.subtitle, _legend(every))
    rows = [title for condition in conditions for title in (condition, "")]
    page = canvas.sheet(rows, 1, head, evidence.notes, gap=0, right=0.08, aspect=ASPECT)
    panels = [row[0] for row in page.panels]
    for number, condition in enumerate(conditions):
        here = data[data["condition"] == condition]
        for axes, order in zip(panels[2 * number :], ORDERS, strict=False):
            _panel(axes, here[here["order"] == order], every, order)
            probe_lines.value_axis(axes, here["value"], scale)
    return page.figure


def _panel(axes: Axes, lines: pd.DataFrame, every: Looks, order: str) -> None:
    probe_lines.draw_lines(axes, lines, "place", every)
    probe_lines.place_axis(axes, lines["place"].max(), X_NAMES[order])
    axes.set_ylabel("standard deviation")
    axes.set_title(ORDERS[order] + probe_lines.counts(lines), loc="left", pad=5)


def _legend(every: Looks) -> list[Line2D]:
    return [*probe_lines.by_point(every), probe_lines.singles()]
