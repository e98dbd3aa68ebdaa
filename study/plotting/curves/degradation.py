"""Training and test error over iterations, plain beside residual: R15 figures 1 and 6, on any sweep."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from study.papers.values import R15
from study.plotting.base import canvas, labels
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, conditions_of, in_order, named, tidy
from study.plotting.curves import lines as overtime
from study.text import listed


def plot(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    training: str = "train_clean",
    ymax: float | None = None,
) -> Plot:
    """Draw the figure.

    Parameters
    ----------
    curves
        As `study.plotting.figure` takes it.
    runs
        Likewise.
    training
        The split of the dashed lines: `train_clean`, or `train` for the running error.
    ymax
        Where the y axis ends, in percent; a final test error above it is written out. By default the axis
        holds every final value.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, or an unknown split.
    """
    overtime.check_training(training)
    evidence = tidy(curves, runs)
    data = overtime.lines_of(evidence.curves, evidence.drops, [training, "test"])
    lines = data[data["kind"] != "lr_drop"]
    conditions = conditions_of(evidence, lines["condition"])
    tops = {name: ymax or overtime.top_of(lines[lines["condition"] == name]) for name in conditions}
    notes = [*evidence.notes, *overtime.beyond(lines, {name: (0, top) for name, top in tops.items()})]
    evidence = evidence._replace(notes=notes)
    return Plot(draw(data, evidence, tops), data, _caption(data, evidence, training))


def draw(data: pd.DataFrame, evidence: Tidy, tops: Mapping[str, float]) -> Figure:
    """The picture of what `overtime.lines_of` gives: a row of panels a condition, a panel a network."""
    lines = data[data["kind"] != "lr_drop"]
    networks = in_order(lines["network"])
    conditions = list(tops)
    panels = lines.groupby(["condition", "network"])
    room = overtime.room((panel, tops[str(condition)]) for (condition, _), panel in panels)
    head = canvas.Head(evidence.title, evidence.subtitle, overtime.legend(lines))
    page = canvas.sheet(conditions, len(networks), head, evidence.notes, gap=room + 0.08, right=room)
    for row, condition in zip(page.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        unit, name = overtime.iteration_unit(lines.loc[lines["condition"] == condition, "iteration"].max())
        row[0].set_ylim(0, tops[condition])
        row[0].set_ylabel("error (%)")
        for axes, network in zip(row, networks, strict=True):
            mine = here[here["network"] == network]
            overtime.draw_lines(axes, mine, unit)
            overtime.draw_drops(axes, mine, unit)
            axes.set_title(network + overtime.count_of(mine), loc="left", pad=5)
            labels.end_labels(axes, list(overtime.end_labels_of(mine)), overtime.HEADING)
            axes.set_xlim(0, here.loc[here["kind"] != "lr_drop", "iteration"].max() / unit or 1)
            axes.set_xlabel(name)
            axes.tick_params(labelleft=axes is row[0])
    return page.figure


def _caption(data: pd.DataFrame, evidence: Tidy, training: str) -> str:
    networks = listed(in_order(evidence.curves["network"]))
    shows = (
        f"Error in percent over iterations, {networks}. Solid: test error; dashed: {overtime.MEASURED[training]}. "
        f"{overtime.seeds_in_words(data)}, bold lines their mean; depths are at the line ends. Dotted: drops of the learning "
        "rate, if there are at most eight."
    )
    protocol = (evidence.title, evidence.subtitle)
    return caption(shows, named(evidence.runs), protocol=protocol, notes=evidence.notes, paper=R15)
