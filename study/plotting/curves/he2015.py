"""R15's figures of curves over iterations: figures 1, 4 and 6, on any sweep that has such networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from study.errors import StudyError
from study.papers.values import R15, R15_IMAGENET, VALUES, Protocol, Value, followed, match, of_kind
from study.plotting.base import canvas, labels, style
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, conditions_of, named, restricted, tidy
from study.plotting.curves import lines as overtime
from study.plotting.curves.lines import DASHED, Look

TALLEST = 20.0  # percent: where R15's figures 1 and 6 end
GUIDES = (5, 10, 20)
NETWORKS = {"plain": "plain", "residual": "ResNet"}
EXTREME = 110  # layers: figure 6 has deeper networks in a panel of their own, beside this depth
SOLID = {split: Look("-", 1.4) for split in style.SPLITS}
THIN_AND_BOLD = {split: Look("-", 1.8 if split == "test" else 0.6) for split in style.SPLITS}
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
    looks: Mapping[str, Look]
    protocol: Protocol
    shows: str
    """What the caption says, with a place for what it says of `seeds`."""
    limits: tuple[float, float] | None
    """Of the y axis, in percent; None: as the data have it."""
    values: Sequence[Value] = ()
    """Numbers of the paper, drawn beside the runs that match them."""


def fig1(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", ymax: float | None = None
) -> Plot:
    """R15 figure 1: training error (left) and test error (right) of a shallow and a deep plain network.

    Shown are plain-20 and plain-56 of the CIFAR family, or else its shallowest and its deepest plain network. Arguments and
    errors as for `study.plotting.curves.degradation.plot`; by default the y axis ends at 20 %, as there, unless networks
    end above it: of the paper's protocol most of them.
    """
    overtime.check_training(training)
    evidence = _only(tidy(curves, runs), "plain networks of the CIFAR family at two depths", _plain_pair)
    panels = [
        Panel(style.SPLIT_NAMES[training], lambda rows: rows["split"] == training),
        Panel(style.SPLIT_NAMES["test"], lambda rows: rows["split"] == "test"),
    ]
    shows = (
        "Figure 1 of He et al. 2015: error in percent of plain networks over iterations; left: "
        f"{overtime.MEASURED[training]}; right: test error. {{seeds}}, bold lines their mean."
    )
    return _plot(evidence, training, ymax, Layout(panels, SOLID, R15, shows, (0, TALLEST)))


def fig4(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", ymax: float | None = None
) -> Plot:
    """R15 figure 4: the ImageNet family of 18 and 34 layers, plain beside residual; thin lines training error, bold ones test.

    On ImageNet the test error is that of centre crops. Arguments and errors as for `study.plotting.curves.degradation.plot`; on
    ImageNet the y axis has 20 to 60 %, as there.
    """
    overtime.check_training(training)
    evidence = _only(tidy(curves, runs), "networks of the ImageNet family with 18 and 34 layers", _imagenet_pair)
    panels = [Panel(title, _is(network)) for network, title in NETWORKS.items()]
    imagenet = bool((evidence.runs["dataset"] == R15_IMAGENET.dataset).all())
    shows = (
        f"Figure 4 of He et al. 2015: error in percent over iterations. Thin: {overtime.MEASURED[training]}; bold: test error"
        f"{' of centre crops' if imagenet else ''}. {{seeds}}."
    )
    return _plot(
        evidence, training, ymax, Layout(panels, THIN_AND_BOLD, R15_IMAGENET, shows, (20, 60) if imagenet else None)
    )


def fig6(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", ymax: float | None = None
) -> Plot:
    """R15 figure 6: plain networks, residual networks, and the deepest ones; dashed training error, bold test error.

    Of the CIFAR family of basic blocks with option A, up to 110 layers in the first two panels; deeper residual networks are
    in a third one, beside that of 110. Where runs follow the paper's protocol, its values stand at the end of their lines.
    Arguments and errors as for `study.plotting.curves.degradation.plot`; by default the y axis ends at 20 %, as there, unless
    networks end above it: of the paper's protocol most of them.
    """
    overtime.check_training(training)
    evidence = _only(
        tidy(curves, runs), "plain or residual networks of the CIFAR family (basic blocks, option A)", _canonical
    )
    deep = (evidence.curves["depth"] > EXTREME) & (evidence.curves["network"] == "residual")
    ends = {"plain": math.inf, "residual": EXTREME if deep.any() else math.inf}
    panels = [Panel(title, _is(network, most=ends[network])) for network, title in NETWORKS.items()]
    if deep.any():
        panels.append(Panel(f"ResNet, {EXTREME}+", _is("residual", least=EXTREME)))
    shows = (
        "Figure 6 of He et al. 2015: error in percent over iterations. Bold: test error; dashed: "
        f"{overtime.MEASURED[training]}. {{seeds}}. Grey dashed lines at 5, 10 and 20 %."
    )
    return _plot(evidence, training, ymax, Layout(panels, DASHED, R15, shows, (0, TALLEST), VALUES["fig6"]))


# -- which runs -------------------------------------------------------------------------------------------------------


def _only(evidence: Tidy, what: str, choose: Callable[[pd.DataFrame], pd.Series]) -> Tidy:
    """The evidence of some runs alone, and a note on those that the figure leaves out."""
    chosen = restricted(evidence, evidence.runs[choose(evidence.runs)].reset_index(drop=True))
    if chosen.curves.empty:
        raise StudyError(f"nothing to draw: there are no {what}, or none has been evaluated yet")
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
    present = set(data["panel"].unique())
    titles = [panel.title for panel in layout.panels if panel.title in present]
    drawn = data[data["kind"].isin(overtime.DRAWN)]
    conditions = conditions_of(evidence, drawn["condition"])
    papers = bool(followed(evidence.runs, layout.protocol).all())
    limits = {c: _limits(drawn[drawn["condition"] == c], layout, papers, ymax) for c in conditions}
    places = drawn.groupby(["condition", "panel"])
    evidence = evidence._replace(notes=[*evidence.notes, *overtime.beyond(drawn, limits)])
    room = overtime.room((panel, limits[str(condition)][1]) for (condition, _), panel in places)
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(data, layout)))
    page = canvas.sheet(conditions, len(titles), head, evidence.notes, gap=room + 0.08, right=room)
    for row, condition in zip(page.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        unit, name = overtime.iteration_unit(drawn.loc[drawn["condition"] == condition, "iteration"].max())
        row[0].set_ylim(*limits[condition])
        row[0].set_ylabel("error (%)")
        for axes, title in zip(row, titles, strict=True):
            _panel(axes, here, title, unit, layout)
            axes.set_xlabel(name)
            axes.tick_params(labelleft=axes is row[0])
    protocol = (evidence.title, evidence.subtitle)
    shows = layout.shows.format(seeds=overtime.seeds_in_words(data))
    text = caption(shows, named(evidence.runs), protocol=protocol, notes=evidence.notes, paper=layout.protocol)
    return Plot(page.figure, data, text)


def _paneled(curves: pd.DataFrame, panels: Sequence[Panel]) -> pd.DataFrame:
    """The curves of each panel one after the other: a network may be in two."""
    return pd.concat([curves[panel.rows(curves)].assign(panel=panel.title) for panel in panels], ignore_index=True)


def _panel(axes: Axes, data: pd.DataFrame, title: str, unit: int, layout: Layout) -> None:
    drawn = data[data["kind"].isin(overtime.DRAWN)]
    mine = drawn[drawn["panel"] == title]
    if layout.protocol is R15:
        for guide in GUIDES:
            axes.axhline(guide, color="#9a9a9a", linewidth=0.6, linestyle="--", zorder=1, gid="guide")
    overtime.draw_lines(axes, mine, unit, layout.looks)
    overtime.draw_drops(axes, data[data["panel"] == title], unit)
    axes.set_xlim(0, drawn["iteration"].max() / unit or 1)
    axes.set_title(title + overtime.count_of(mine), loc="left", pad=5)
    if not mine.empty:
        labels.end_labels(axes, list(overtime.end_labels_of(mine)), overtime.HEADING)
    for mark in data[data["panel"].eq(title) & data["kind"].isin([RANGE, *style.VALUE_MARKS])].to_dict("records"):
        at, colour = mark["iteration"] / unit, style.depth_colour(mark["depth"])
        if mark["kind"] == RANGE:
            axes.vlines(at, mark["low"], mark["high"], colors=colour, linewidth=4, alpha=0.5, clip_on=False, gid=RANGE)
        else:
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


def _limits(drawn: pd.DataFrame, layout: Layout, papers: bool, ymax: float | None) -> tuple[float, float]:
    """The paper's, where every network ends within them; of runs of its protocol, half of the networks are enough."""
    low, high = layout.limits or (0.0, 0.0)
    test = drawn[(drawn["split"] == "test") & (drawn["kind"] == "mean")]
    within = test.groupby(["panel", "network", "label"])["error"].last() < high
    fits = len(within) > 0 and within.mean() >= (0.5 if papers else 1)
    return (low if fits else 0.0), ymax or (high if fits else overtime.top_of(drawn, ["panel", *overtime.POINT]))


def _legend(data: pd.DataFrame, layout: Layout) -> Iterator[Artist]:
    lines = data[data["kind"].isin(overtime.DRAWN)]
    if layout.looks is SOLID:  # a panel has one split, and its title says which
        yield Line2D([], [], color=style.INK, linewidth=1.4, label="mean over seeds")
        yield from overtime.seeds_legend(lines)
    else:
        yield from overtime.legend(lines, layout.looks)
    for kind, name in (("reported", REPORTED), ("digitised", READ_OFF)):
        if (data["kind"] == kind).any():
            yield Line2D([], [], color=style.INK, label=name, **style.VALUE_MARKS[kind])
    if (data["kind"] == RANGE).any():
        yield Line2D([], [], color=style.INK, linewidth=4, alpha=0.5, label="its training error (digitised range)")
