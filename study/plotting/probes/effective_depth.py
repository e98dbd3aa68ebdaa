"""What each block is worth, and how long the paths are that the gradient takes: Veit et al. 2016, on any sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.config.registry import DATA
from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order, named, network_title
from study.plotting.base.page import Head, Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.surfaces.frames import is_finite

MEASURES = ("error", "deleted_error", "path_share", "effective_depth")
COLUMNS = ["kind", "panel", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]
AT_CHANCE = 0.9  # of the error of guessing: a network that errs as often has learned too little to lose
GUESS: dict[str, Any] = {"facecolor": "none", "edgecolor": "#b5b5b5", "hatch": "//////", "linewidth": 0}
Looks = Mapping[str, dict[str, Any]]
MARKS: dict[str, dict[str, Any]] = {
    "seed": {"marker": "^", "alpha": 0.4, "ms": 3, "mew": 0, "ls": "none", "clip_on": False, "zorder": 5},
    "mean": {"marker": "^", "ms": 5, "mec": "white", "mew": 0.5, "ls": "none", "clip_on": False, "zorder": 5},
}
"""Of the effective depths, on the x axis."""
NONE = "nothing to draw: no run of the probe 'paths' has errors with a block removed"


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None) -> Plot:
    """Draw the figure.

    `iteration`: when they were measured; by default at the end of the training.
    """
    evidence = measured.at(measured.measured(frame, runs, "paths", MEASURES), iteration)
    data = prepare(evidence.rows)
    notes = [
        *_told_guessing(_guessing(data, evidence.runs)),
        _whole(data),
        *_longer(data),
        *evidence.notes,
        *measured.not_finite(evidence.rows, evidence.runs),
        *probe_lines.uneven(data),
    ]
    paths = (
        " Right: share of the gradient at the first block's input that passes through k branches, residual networks "
        "only; triangles mark the mean k. The effective depth is the mean number of weighted layers, with those of stem "
        "and head."
    )
    guesses = set(map(tuple, _guessing(data, evidence.runs)[POINT].to_numpy()))
    telling = np.array([point not in guesses for point in map(tuple, data[POINT].to_numpy())])
    told = probe_lines.finding(
        data[(data["panel"] == "deleted") & telling], "Rise of the training error when a block is deleted", ".1f"
    )
    shows = (
        f"{told}In percentage points, over the deleted block's position, {measured.when(iteration)}; only its shortcut is left "
        "(in a plain network its input passes on, and a block that changes the shape cannot be removed)."
        f"{paths if (data['panel'] == 'paths').any() else ''} {probe_lines.seeds_in_words(data)} After Veit et al. 2016."
    )
    text = caption(shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=notes)
    return Plot(draw(data, evidence._replace(notes=notes)), data, text)


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Every line and mark of the figure: `kind` is seed or mean; `panel` says what `value` and `place` are.

    `rows` are of one iteration a run.

    `deleted`: points of error, and the block. `paths`: share of the gradient, and the number of branches.
    `depth`: effective depth in layers, and the mean number of branches, at which its mark stands. `whole`: the error in
    percent of the whole network, which a note has.
    """
    deleted, shares, depths = (rows[rows["measure"] == measure] for measure in MEASURES[1:])
    intact = rows[rows["measure"] == "error"].assign(place=np.nan)
    if deleted.empty or intact.empty:
        raise StudyError(NONE)
    deleted = deleted.assign(value=deleted["value"] - deleted["run_id"].map(intact.set_index("run_id")["value"]))
    branches = (shares["place"] * shares["value"]).groupby(shares["run_id"]).sum(min_count=1)
    depths = depths.assign(place=depths["run_id"].map(branches))
    middle = measured.means(depths.assign(value=depths["place"]), []).rename(columns={"value": "place"})
    tables = []
    for panel, values, means in (
        ("deleted", deleted, measured.means(deleted, ["place", "layer"])),
        ("paths", shares, measured.means(shares, ["place"])),
        ("depth", depths, measured.means(depths, []).merge(middle[[*POINT, "place"]], on=POINT)),
        ("whole", intact, measured.means(intact, [])),
    ):
        tables += [values.assign(kind="seed", panel=panel), means.assign(kind="mean", panel=panel)]
    table = pd.concat([table.reindex(columns=COLUMNS).astype(object) for table in tables], ignore_index=True)
    return table.astype({"depth": int, "place": float, "value": float})


def _whole(data: pd.DataFrame) -> str:
    """A note: a network that errs everywhere can lose nothing with a block."""
    means = data[(data["panel"] == "whole") & (data["kind"] == "mean")]
    return f"error of the whole networks, mean over seeds (%): {probe_lines.each_point(means, 'value', '.1f')}"


def _longer(data: pd.DataFrame) -> Iterator[str]:
    """A note, where the probe has taken long paths together."""
    last = data.groupby(["network", "label", "panel"])["place"].max().unstack()
    if "paths" in last and (last["paths"] < last["deleted"]).any():
        yield "for deep networks the last point of the paths sums all longer ones"


def draw(data: pd.DataFrame, evidence: Measured) -> Figure:
    """The picture of what `prepare` gives."""
    conditions, networks = measured.conditions(evidence, data), in_order(data["network"])
    every, paths = probe_lines.looks(data), bool((data["panel"] == "paths").any())
    guessing = _guessing(data, evidence.runs)
    legend = probe_lines.legend(data[data["panel"] == "deleted"], every)
    if len(guessing):
        legend.append(Patch(label="guesses: says nothing", **GUESS))
    head = Head(evidence.title, evidence.subtitle, legend)
    made = page.page(conditions, len(networks) + paths, head, evidence.notes, tall=1.7, share=False)
    for row, condition in zip(made.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        _deletions(row[: len(networks)], networks, here[here["panel"] == "deleted"], every, guessing)
        row[0].set_ylabel("rise of the error (points)")
        if paths:
            _paths(row[-1], here, every)
    return made.figure


def _guessing(data: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The points whose whole networks err nearly as often as guessing does, with the error of both."""
    names = runs.drop_duplicates("condition").set_index("condition")["dataset"].map(str)
    classes = {name: DATA[text].classes if text in DATA else None for name, text in names.items()}
    chances = {name: 100 * (1 - 1 / count) if count else np.nan for name, count in classes.items()}
    whole = data[(data["panel"] == "whole") & (data["kind"] == "mean")]
    whole = whole.assign(chance=whole["condition"].map(chances).astype(float))
    return whole[whole["value"] >= AT_CHANCE * whole["chance"]]


def _told_guessing(guessing: pd.DataFrame) -> Iterator[str]:
    told = [
        f"{network_title(row['network'])}-{row['label']} errs {row['value']:.1f} % (guessing: {row['chance']:g} %)"
        for row in guessing.to_dict("records")
    ]
    if told:
        yield f"uninformative, since deleting a block of a network that guesses changes nothing (hatched): {', '.join(told)}"


def _deletions(
    row: Sequence[Axes], networks: Sequence[str], deleted: pd.DataFrame, every: Looks, guessing: pd.DataFrame
) -> None:
    finite = deleted.loc[is_finite(deleted["value"]), "value"].astype(float)
    low, high = min(0.0, finite.min()), max(1.0, finite.max())
    room = 0.05 * (high - low)
    blocks = deleted.groupby("label")["place"].max()
    deleted = deleted.assign(position=(deleted["place"] - 0.5) / deleted["label"].map(blocks))
    for axes, network in zip(row, networks, strict=True):
        lines = deleted[deleted["network"] == network]
        axes.axhline(0, color=style.MUTED, linewidth=0.5, zorder=1, gid="zero")
        axes.set(xlim=(0, 1), ylim=(low - room if low < 0 else 0, high + room))
        probe_lines.draw_lines(axes, lines, "place", every=every, at="position")
        for point in guessing[guessing["network"] == network].itertuples():
            mean = lines[(lines["label"] == point.label) & (lines["kind"] == "mean") & is_finite(lines["value"])]
            ends = (mean["value"].min() - room, mean["value"].max() + room)
            axes.fill_between([0, 1], *ends, zorder=0.5, gid=f"guesses {point.label}", **GUESS)
        for axis in (axes.xaxis, axes.yaxis):
            page.few_ticks(axis)
        axes.set_xlabel("deleted block (0: first, 1: last)")
        axes.set_title(network_title(network) + probe_lines.counts(lines))


def _paths(axes: Axes, data: pd.DataFrame, every: Looks) -> None:
    """The gradient by length of path; on the axis the mean length of each network, and in the corner its effective depth."""
    shares, depths = data[data["panel"] == "paths"], data[data["panel"] == "depth"]
    if shares.empty:
        page.absent(axes, "ResNet\nnot measured")
        return
    probe_lines.draw_lines(axes, shares, "place", every=every)
    finite = shares.loc[is_finite(shares["value"]), "value"].astype(float)
    axes.set(xlim=(0, max(1, shares["place"].max())), ylim=(0, (finite.max() or 1.0 if len(finite) else 1.0) * 1.08))
    for axis in (axes.xaxis, axes.yaxis):
        page.few_ticks(axis)
    axes.set(xlabel="branches on the path", ylabel="share of the gradient")
    axes.set_title("ResNet, paths" + probe_lines.counts(shares))
    handles = []
    for label, look in every.items():
        for kind, mark in MARKS.items():
            own = depths[(depths["label"] == label) & (depths["kind"] == kind) & depths["value"].notna()]
            axes.plot(own["place"], [0] * len(own), color=look["color"], gid=f"{label} {kind} depth", **mark)
            if kind == "mean" and len(own):
                name = f"{label}: {own['value'].iloc[0]:.1f} layers"
                handles.append(Line2D([], [], color=look["color"], marker="^", ms=4, ls="none", label=name))
    if handles:
        axes.legend(handles=handles, title="effective depth", loc="upper right", title_fontsize=7, alignment="left")
