"""Training and test error over iterations, plain beside residual, on any sweep."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from study.papers.values import R15
from study.plotting.base import page
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, conditions_of, in_order, named, network_title, tidy
from study.plotting.base.page import Head, Plot
from study.plotting.curves import lines as overtime

TALL = 1.9


def plot(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    training: str = "train_clean",
    ymax: float | None = None,
) -> Plot:
    """Draw the figure.

    `training`: the split of the dashed lines: `train_clean`, or `train` for the running error. `ymax`: where the y
    axis ends, in percent. By default it holds every final value.
    """
    overtime.check_training(training)
    evidence = tidy(curves, runs)
    data = overtime.lines_of(evidence.curves, evidence.drops, [training, "test"])
    lines = data[data["kind"] != "lr_drop"]
    conditions = conditions_of(evidence, lines["condition"])
    tops = {name: ymax or overtime.top_of(lines[lines["condition"] == name]) for name in conditions}
    notes = [*evidence.notes, *overtime.beyond(lines, {name: (0, top) for name, top in tops.items()})]
    shows = (
        f"{overtime.finding(lines, training)}Error over iterations. Solid: test error, which the labels give in percent after "
        f"the depth; dashed: {overtime.MEASURED[training]}. {overtime.seeds_in_words(data)} Dotted: the learning rate falls."
    )
    protocol = (evidence.title, evidence.subtitle)
    text = caption(shows, named(evidence.runs), protocol=protocol, notes=notes, paper=R15)
    return Plot(draw(data, evidence._replace(notes=notes), tops), data, text)


def draw(data: pd.DataFrame, evidence: Tidy, tops: Mapping[str, float]) -> Figure:
    """The picture of what `overtime.lines_of` gives: a row of panels a condition, a panel a network."""
    lines = data[data["kind"] != "lr_drop"]
    networks = in_order(lines["network"])
    head = Head(evidence.title, evidence.subtitle, overtime.legend(lines))
    made = page.page(list(tops), len(networks), head, evidence.notes, tall=TALL)
    for row, (condition, top) in zip(made.panels, tops.items(), strict=True):
        here = data[data["condition"] == condition]
        unit = overtime.iteration_axis(row, int(here.loc[here["kind"] != "lr_drop", "iteration"].max()))
        for axes, network in zip(row, networks, strict=True):
            mine = here[here["network"] == network]
            axes.set_ylim(0, top)
            overtime.draw_lines(axes, mine, unit)
            overtime.draw_drops(axes, mine, unit)
            page.end_labels(axes, list(overtime.ends_of(mine)), TALL)
            axes.set_title(network_title(network) + overtime.count_of(mine))
        row[0].set_ylabel("error (%)")
    return made.figure
