"""R15's figures of curves over iterations: figures 1, 4 and 6, on any sweep that has such networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from study.errors import StudyError
from study.papers.values import R15, R15_IMAGENET, VALUES, Protocol, Value, match, of_kind
from study.plotting.base import page, style
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, conditions_of, named, restricted, tidy
from study.plotting.base.page import Head, Plot
from study.plotting.curves import lines as overtime

Window = tuple[float, float]
TALLEST = 20.0  # percent: where R15's figures 1 and 6 end
GUIDES = (5, 10, 20)
NETWORKS = {"plain": "plain", "residual": "ResNet"}
EXTREME = 110  # layers: figure 6 has deeper networks in a panel of their own, beside this depth
TALL, ABOVE = 1.7, 0.6  # inches of the papers' window, and of what lies above it
READ_OFF = "He et al. 2015, figure 6 (digitised, ±0.2)"
RANGE = "digitised range"
REPORTED = "He et al. 2015, table 6"


class Panel(NamedTuple):
    """A panel: its title, and which rows of the curves it shows."""

    title: str
    rows: Callable[[pd.DataFrame], pd.Series]


class Layout(NamedTuple):
    """What sets one of these figures apart from the others."""

    panels: Sequence[Panel]
    protocol: Protocol
    shows: str
    window: Window | None
    """Of the y axis, in percent, as in the paper; None: as the data have it."""
    values: Sequence[Value] = ()
    """Numbers of the paper, drawn beside the runs that match them."""


def fig1(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", ymax: float | None = None
) -> Plot:
    """R15 figure 1: training error (left) and test error (right) of a shallow and a deep plain network.

    Shown are plain-20 and plain-56 of the CIFAR family, or else its shallowest and its deepest plain network, in the
    paper's window of 0 to 20 % and, where they lie above it, in a part of the axis of their own. Arguments and errors as
    for `study.plotting.curves.degradation.plot`.
    """
    overtime.check_training(training)
    evidence = _only(tidy(curves, runs), "plain networks of the CIFAR family at two depths", _plain_pair)
    panels = [
        Panel(style.SPLIT_NAMES[training], lambda rows: rows["split"] == training),
        Panel(style.SPLIT_NAMES["test"], lambda rows: rows["split"] == "test"),
    ]
    shows = (
        f"He et al. 2015, figure 1: plain networks over iterations. Left, dashed: {overtime.MEASURED[training]}; right: test "
        "error."
    )
    return _plot(evidence, training, ymax, Layout(panels, R15, shows, (0, TALLEST)))


def fig4(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", ymax: float | None = None
) -> Plot:
    """R15 figure 4: the ImageNet family of 18 and 34 layers, plain beside residual.

    On ImageNet the test error is that of centre crops, and the y axis has 20 to 60 %, as there. Arguments and errors as
    for `study.plotting.curves.degradation.plot`.
    """
    overtime.check_training(training)
    evidence = _only(tidy(curves, runs), "networks of the ImageNet family with 18 and 34 layers", _imagenet_pair)
    panels = [Panel(title, _is(network)) for network, title in NETWORKS.items()]
    imagenet = bool((evidence.runs["dataset"] == R15_IMAGENET.dataset).all())
    shows = (
        f"He et al. 2015, figure 4: error over iterations. Thin, dashed: {overtime.MEASURED[training]}; bold: test error"
        f"{' of centre crops' if imagenet else ''}."
    )
    return _plot(evidence, training, ymax, Layout(panels, R15_IMAGENET, shows, (20, 60) if imagenet else None))


def fig6(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", ymax: float | None = None
) -> Plot:
    """R15 figure 6: plain networks, residual networks, and the deepest ones; dashed training error, bold test error.

    Of the CIFAR family of basic blocks with option A, up to 110 layers in the first two panels; deeper residual networks are
    in a third one, beside that of 110. Where runs follow the paper's protocol, its values stand at the end of their lines.
    The window is as in `fig1`, and so are arguments and errors.
    """
    overtime.check_training(training)
    what = "plain or residual networks of the CIFAR family (basic blocks, option A)"
    evidence = _only(tidy(curves, runs), what, _canonical)
    deep = (evidence.curves["depth"] > EXTREME) & (evidence.curves["network"] == "residual")
    ends = {"plain": math.inf, "residual": EXTREME if deep.any() else math.inf}
    panels = [Panel(title, _is(network, most=ends[network])) for network, title in NETWORKS.items()]
    if deep.any():
        panels.append(Panel(f"ResNet, {EXTREME}+", _is("residual", least=EXTREME)))
    shows = f"He et al. 2015, figure 6: error over iterations. Bold: test error; thin, dashed: {overtime.MEASURED[training]}."
    return _plot(evidence, training, ymax, Layout(panels, R15, shows, (0, TALLEST), VALUES["fig6"]))


# -- which runs -------------------------------------------------------------------------------------------------------


def _only(evidence: Tidy, what: str, choose: Callable[[pd.DataFrame], pd.Series]) -> Tidy:
    """The evidence of some runs alone, and a note on those that the figure leaves out."""
    chosen = restricted(evidence, evidence.runs[choose(evidence.runs)].reset_index(drop=True))
    if chosen.curves.empty:
        raise StudyError(f"nothing to draw: there are no {what}, or none of them has been evaluated yet")
    return chosen


def _is(network: str, least: float = 0, most: float = math.inf) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: (rows["network"] == network) & (rows["depth"] >= least) & (rows["depth"] <= most)


def _canonical(runs: pd.DataFrame) -> pd.Series:
    """Whether each network is R15's, of whatever depth."""
    return of_kind(runs, "plain") | of_kind(runs, "residual")


def _plain_pair(runs: pd.DataFrame) -> pd.Series:
    plain = of_kind(runs, "plain")
    depths = sorted(runs.loc[plain, "depth"].unique())
    if len(depths) < 2:
        return pd.Series(False, index=runs.index)
    pair = (20, 56) if {20, 56} <= set(depths) else (depths[0], depths[-1])
    return plain & runs["depth"].isin(pair)


def _imagenet_pair(runs: pd.DataFrame) -> pd.Series:
    option = (runs["shortcut"] == "A") | (runs["network"] == "plain")
    return (runs["family"] == "imagenet") & runs["depth"].isin([18, 34]) & option


# -- the picture ------------------------------------------------------------------------------------------------------


def _plot(evidence: Tidy, training: str, ymax: float | None, layout: Layout) -> Plot:
    lines = overtime.lines_of(_paneled(evidence.curves, layout.panels), evidence.drops, [training, "test"], ["panel"])
    beside = _beside(lines, evidence.runs, layout.values)
    data = pd.concat([lines, beside], ignore_index=True) if len(beside) else lines
    titles = [panel.title for panel in layout.panels if (data["panel"] == panel.title).any()]
    drawn = data[data["kind"].isin(overtime.DRAWN)]
    windows = {
        name: _windows(drawn[drawn["condition"] == name], layout.window, ymax)
        for name in conditions_of(evidence, drawn["condition"])
    }
    shown = {name: (parts[-1][0], parts[0][1]) for name, parts in windows.items()}
    notes = [*evidence.notes, *overtime.beyond(drawn, shown)]
    rows = [(name, part, place == 0) for name, parts in windows.items() for place, part in enumerate(parts)]
    talls = [TALL if part == windows[name][-1] else ABOVE for name, part, _ in rows]
    names = [name if first else "" for name, _, first in rows]
    head = Head(evidence.title, evidence.subtitle, list(_legend(data)))
    made = page.page(
        names, len(titles), head, notes, tall=talls, around=0.3 if len(rows) > len(windows) else page.AROUND
    )
    for row, (name, part, first), tall in zip(made.panels, rows, talls, strict=True):
        last = part == windows[name][-1]
        for axes, title in zip(row, titles, strict=True):
            here = data[(data["condition"] == name) & (data["panel"] == title)]
            unit = overtime.iteration_axis([axes], int(drawn.loc[drawn["condition"] == name, "iteration"].max()))
            _panel(axes, here, part, unit, layout, first)
            ends = overtime.ends_of(here[here["kind"].isin(overtime.DRAWN)])
            page.end_labels(axes, [e for e in ends if part[0] <= e[0] <= part[1] or (first and e[0] > part[1])], tall)
            axes.set_title(title + overtime.count_of(here[here["kind"].isin(overtime.DRAWN)]) if first else "")
            if not last:  # the axis is broken: it goes on below
                axes.tick_params(labelbottom=False, bottom=False)
                axes.spines["bottom"].set_visible(False)
                axes.set_xlabel("")
        if last:
            row[0].set_ylabel("error (%)")
    split = training if (drawn["split"] == training).any() else "test"
    shows = f"{overtime.finding(drawn, split)}{layout.shows} {overtime.seeds_in_words(data)}{_broken(windows)}"
    protocol = (evidence.title, evidence.subtitle)
    text = caption(shows, named(evidence.runs), protocol=protocol, notes=notes, paper=layout.protocol)
    return Plot(made.figure, data, text)


def _broken(windows: dict[str, list[Window]]) -> str:
    broken = any(len(parts) > 1 for parts in windows.values())
    return " The y axis is broken: what lies above the paper's window is drawn to another scale." if broken else ""


def _paneled(curves: pd.DataFrame, panels: Sequence[Panel]) -> pd.DataFrame:
    """The curves of each panel one after the other: a network may be in two."""
    return pd.concat([curves[panel.rows(curves)].assign(panel=panel.title) for panel in panels], ignore_index=True)


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


def _panel(axes: Axes, data: pd.DataFrame, window: Window, unit: int, layout: Layout, first: bool) -> None:
    axes.set_ylim(*window)
    page.few_ticks(axes.yaxis, 3 if window[0] >= TALLEST else 5)
    if layout.protocol is R15 and window[0] == 0:
        for guide in GUIDES:
            axes.axhline(guide, color="#9a9a9a", linewidth=0.5, zorder=1, gid="guide")
    overtime.draw_lines(axes, data, unit, above=first)
    overtime.draw_drops(axes, data, unit)
    for mark in data[data["kind"].isin([RANGE, *style.VALUE_MARKS])].to_dict("records"):
        at, colour = mark["iteration"] / unit, style.depth_colour(mark["depth"])
        if mark["kind"] == RANGE:
            axes.vlines(at, mark["low"], mark["high"], colors=colour, linewidth=4, alpha=0.5, clip_on=False, gid=RANGE)
        elif window[0] <= mark["error"] <= window[1]:
            axes.plot(at, mark["error"], color=colour, gid=mark["kind"], **style.VALUE_MARKS[mark["kind"]])


def _beside(lines: pd.DataFrame, runs: pd.DataFrame, values: Sequence[Value]) -> pd.DataFrame:
    """The paper's test errors, and the ranges of its training errors, at the end of the panels whose runs match them."""
    rows = []
    for value in values:
        twins = runs.loc[match(runs, value), ["condition", "network", "label"]].drop_duplicates()
        mine = lines[lines["split"] == "test"].merge(twins)
        for _, place in mine.drop_duplicates(["condition", "panel"]).iterrows():
            end = lines.loc[lines["condition"] == place["condition"], "iteration"].max()
            kind = "digitised" if value.digitised else "reported"
            same = {name: place[name] for name in ("condition", "panel", "network", "label", "split", "depth")}
            rows.append({"kind": kind, **same, "iteration": end, "error": value.error})
            if value.train is not None:
                low, high = value.train
                rows.append({"kind": RANGE, **same, "split": "", "iteration": end, "low": low, "high": high})
    return pd.DataFrame(rows)


def _legend(data: pd.DataFrame) -> Iterator[Artist]:
    yield from overtime.legend(data[data["kind"].isin(overtime.DRAWN)])
    for kind, name in (("reported", REPORTED), ("digitised", READ_OFF)):
        if (data["kind"] == kind).any():
            yield Line2D([], [], color=style.INK, label=name, **style.VALUE_MARKS[kind])
    if (data["kind"] == RANGE).any():
        yield Line2D([], [], color=style.INK, linewidth=4, alpha=0.5, label="its training error (digitised range)")
