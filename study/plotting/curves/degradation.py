"""Error over iterations in panels: plain beside residual on any sweep, and what the papers' figures of this kind share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from study.config.recipes import ELSEWHERE
from study.errors import StudyError
from study.papers.values import R15, Protocol, Value
from study.plotting.base import page
from study.plotting.base.frames import Tidy, conditions_of, in_order, tidy
from study.plotting.base.page import Head, Plot
from study.plotting.curves import lines as overtime
from study.stats.naming import network_title

Window = tuple[float, float]
PAPERS: Window = (0, 20)  # percent, of figures 1 and 6 of He et al. 2015
GUIDES = (5, 10, 20)
TALL, ABOVE = 1.8, 0.6  # inches of a panel, and of the part of its axis above the paper's window


def plot(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    training: overtime.Training = "train_clean",
    ymax: float | None = None,
) -> Plot:
    """Draw a panel for each network.

    `training`: the split of the dashed lines: `train_clean`, or `train` for the running error. `ymax`: where the y
    axis ends, in percent. By default it holds every final value.
    """
    evidence = tidy(curves, runs)
    if evidence.runs["recipe"].eq(ELSEWHERE).all():
        raise StudyError("nothing to draw: these networks were trained elsewhere, and only their last errors are known")
    networks = evidence.curves["network"]
    panels = {network_title(name): networks == name for name in in_order(networks)}
    shows = (
        f"Error over iterations. Solid: test error, which the labels give in percent after the depth; dashed: "
        f"{overtime.MEASURED[training]}. Dotted: the learning rate falls."
    )
    made = paneled(evidence, panels, shows, training, ymax)
    return made._replace(data=made.data.drop(columns="panel"))


def paneled(
    evidence: Tidy,
    panels: Mapping[str, pd.Series],
    shows: str,
    training: str,
    ymax: float | None,
    *,
    paper: Protocol = R15,
    window: Window | None = None,
    values: Sequence[Value] = (),
) -> Plot:
    """The figure with a row for each condition and these panels: for each title, which rows of the curves it shows.

    `window`: of the y axis, in percent, as in the paper; what ends above it has a part of the axis of its own.
    `values`: numbers of the paper, drawn beside the runs that match them.
    """
    curves = pd.concat([evidence.curves[rows].assign(panel=title) for title, rows in panels.items()])
    lines = overtime.lines_of(curves, evidence.drops, [training, "test"], ["panel"])
    beside = overtime.beside(lines, evidence.runs, values, ["condition", "panel"], "condition")
    data = pd.concat([lines, beside], ignore_index=True) if len(beside) else lines
    titles = [title for title in panels if (data["panel"] == title).any()]
    drawn = lines[lines["kind"] != "lr_drop"]
    windows = {
        name: _windows(drawn[drawn["condition"] == name], window, ymax)
        for name in conditions_of(evidence, drawn["condition"])
    }
    broken = any(len(parts) > 1 for parts in windows.values())
    shown = {name: (parts[-1][0], parts[0][1]) for name, parts in windows.items()}
    notes = [*evidence.notes, *overtime.beyond(drawn, shown)]
    rows = [(name, part) for name, parts in windows.items() for part in parts]
    talls = [TALL if part == windows[name][-1] else ABOVE for name, part in rows]
    names = [name if part == windows[name][0] else "" for name, part in rows]
    head = Head(
        evidence.title, evidence.subtitle, [*overtime.legend(drawn), *overtime.values_legend(data["kind"], paper.paper)]
    )
    made = page.page(names, len(titles), head, notes, tall=talls, around=0.3 if broken else page.AROUND)
    for row, (name, part), tall in zip(made.panels, rows, talls, strict=True):
        first, last = part == windows[name][0], part == windows[name][-1]
        span = int(drawn.loc[drawn["condition"] == name, "iteration"].max())
        for axes, title in zip(row, titles, strict=True):
            here = data[(data["condition"] == name) & (data["panel"] == title)]
            _panel(axes, here, part, span, guides=window == PAPERS, first=first, tall=tall)
            curves = here[here["kind"].isin(overtime.DRAWN)]
            if first:
                made.title(axes, title + overtime.count_of(curves))
            if not last:  # the axis is broken: it goes on below
                axes.tick_params(labelbottom=False, bottom=False)
                axes.spines["bottom"].set_visible(False)
                axes.set_xlabel("")
        if last:
            row[0].set_ylabel("error (%)")
    split = training if (drawn["split"] == training).any() else "test"
    text = f"{overtime.finding(drawn, split)}{shows} {overtime.seeds_in_words(data)}" + (
        " The y axis is broken: what lies above the paper's window is drawn to another scale." if broken else ""
    )
    return Plot(made.figure, data, evidence._replace(notes=notes).caption(text, paper))


def _windows(drawn: pd.DataFrame, window: Window | None, ymax: float | None) -> list[Window]:
    """The parts of the y axis, from the top: the paper's window and, where a network ends above it, all that lies above."""
    top = overtime.top_of(drawn, ["panel", *overtime.POINT])
    if ymax or window is None:
        return [(window[0] if window else 0.0, ymax or top)]
    ends = drawn.groupby(["panel", *overtime.POINT, "kind", "run_id"], dropna=False)["error"].last()
    if not (ends <= window[1]).any():
        return [(0.0, top)]
    parts = [(window[0] if ends.min() >= window[0] else 0.0, window[1])]
    above = (window[1], max(1.04 * float(drawn["error"].max()), 1.2 * window[1]))
    return [above, *parts] if ends.max() > window[1] else parts


def _panel(
    axes: Axes, data: pd.DataFrame, window: Window, span: int, *, guides: bool, first: bool, tall: float
) -> None:
    low, high = window
    unit = overtime.iteration_axis([axes], span)
    axes.set_ylim(low, high)
    page.few_ticks(axes.yaxis, 5 if tall == TALL else 3)
    if guides and low == 0:
        for guide in GUIDES:
            axes.axhline(guide, color="#9a9a9a", linewidth=0.5, zorder=1, gid="guide")
    overtime.draw_lines(axes, data, unit, above=first)
    overtime.draw_drops(axes, data, unit)
    overtime.draw_values(axes, data, unit)
    ends = overtime.ends_of(data[data["kind"].isin(overtime.DRAWN)])
    page.end_labels(axes, [end for end in ends if low <= end[0] <= high or (first and end[0] > high)], tall)
