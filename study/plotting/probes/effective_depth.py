"""What each block is worth, and how long the paths are that the gradient takes: Veit et al. 2016, on any sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from study.config.registry import DATA
from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.frames import in_order
from study.plotting.base.page import Head, Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.surfaces.frames import is_finite
from study.stats.naming import network_title

MEASURES = ("error", "deleted_error", "path_share", "effective_depth")
COLUMNS = ["kind", "panel", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]
AT_CHANCE = 0.9  # of the error of guessing: a network with a larger error has learned too little to lose
GUESS: dict[str, Any] = {"facecolor": "none", "edgecolor": "#b5b5b5", "hatch": "//////", "linewidth": 0}
MARKS: dict[str, dict[str, Any]] = {
    "seed": {"marker": "^", "alpha": 0.4, "ms": 3, "mew": 0, "ls": "none", "clip_on": False, "zorder": 5},
    "mean": {"marker": "^", "ms": 5, "mec": "white", "mew": 0.5, "ls": "none", "clip_on": False, "zorder": 5},
}
"""Of the mean length of the paths, on the x axis."""
PATHS = (
    " Right: share of the gradient at the first block's input that passes through k branches, residual networks only. "
    "Triangles: the mean k. The effective depth is the mean number of weighted layers, with those of stem and head."
)


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None) -> Plot:
    """Draw the figure.

    `iteration`: when they were measured; by default at the end of the training.
    """
    evidence = measured.at(measured.measured(frame, runs, "paths", MEASURES), iteration)
    data = prepare(evidence.rows)
    guessing = _guessing(data, evidence.runs)
    evidence = evidence._replace(
        notes=[
            *_notes(data, guessing),
            *evidence.notes,
            *measured.not_finite(evidence.rows, evidence.runs),
            *lines.uneven(data),
        ]
    )
    blocks = data[data["panel"] == "deleted"]
    telling = blocks[~blocks.set_index(POINT).index.isin(guessing.set_index(POINT).index)]
    text = (
        f"{lines.finding(telling, 'Rise of the training error when a block is deleted', '.1f')}In percentage points, over the "
        f"deleted block's position, {measured.when(iteration)}; only its shortcut is left (in a plain network its input passes "
        f"on, and a block that changes the shape cannot be removed).{PATHS if (data['panel'] == 'paths').any() else ''} "
        f"{lines.seeds_in_words(data)} After Veit et al. 2016."
    )
    return Plot(draw(data, evidence, guessing), data, evidence.caption(text))


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Every line and mark of the figure: `kind` is seed or mean; `panel` says what `value` and `place` are.

    `deleted`: points of error, and the block. `paths`: share of the gradient, and the number of branches.
    `depth`: effective depth in layers, and the mean number of branches, at which its mark stands. `whole`: the error in
    percent of the whole network, for a note.
    """
    deleted, shares, depths = (rows[rows["measure"] == measure] for measure in MEASURES[1:])
    intact = rows[rows["measure"] == "error"].assign(place=np.nan)
    if deleted.empty or intact.empty:
        raise StudyError("nothing to draw: no run of the probe 'paths' has errors with a block removed")
    deleted = deleted.assign(value=deleted["value"] - deleted["run_id"].map(intact.set_index("run_id")["value"]))
    branches = (shares["place"] * shares["value"]).groupby(shares["run_id"]).sum(min_count=1)
    depths = depths.assign(place=depths["run_id"].map(branches))
    middle = measured.means(depths.assign(value=depths["place"]), []).rename(columns={"value": "place"})
    mean_depths = measured.means(depths, []).merge(middle[[*POINT, "place"]], on=POINT)
    parts = [
        *measured.seeds_and_mean(deleted, ["place", "layer"], panel="deleted"),
        *measured.seeds_and_mean(shares, ["place"], panel="paths"),
        depths.assign(kind="seed", panel="depth"),
        mean_depths.assign(kind="mean", panel="depth"),
        *measured.seeds_and_mean(intact, [], panel="whole"),
    ]
    return measured.table(parts, COLUMNS).astype({"place": float})


def _guessing(data: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The points whose whole networks err nearly as often as guessing does: the `chance`."""
    names = runs.drop_duplicates("condition").set_index("condition")["dataset"].map(str)
    classes = names.map(lambda name: DATA[name].classes if name in DATA else None).astype(float)
    whole = data[(data["panel"] == "whole") & (data["kind"] == "mean")]
    whole = whole.assign(chance=100 * (1 - 1 / whole["condition"].map(classes)))
    return whole[whole["value"] >= AT_CHANCE * whole["chance"]]


def _notes(data: pd.DataFrame, guessing: pd.DataFrame) -> Iterator[str]:
    whole = data[(data["panel"] == "whole") & (data["kind"] == "mean")]
    if len(guessing):
        told = ", ".join(
            f"{name} errs {value:.1f} % (chance: {chance:g} %)"
            for name, value, chance in zip(lines.names(guessing), guessing["value"], guessing["chance"], strict=True)
        )
        yield f"uninformative (hatched), since a network at chance loses nothing with a block: {told}"
    yield f"error of the whole networks, mean over seeds (%): {lines.each_point(whole, 'value', '.1f')}"
    depths = data[(data["panel"] == "depth") & (data["kind"] == "mean")]
    if len(depths):
        yield f"effective depth (layers): {lines.each_point(depths, 'value', '.1f')}"
    last = data.groupby(["network", "label", "panel"])["place"].max().unstack()
    if "paths" in last and (last["paths"] < last["deleted"]).any():
        yield "for deep networks the last point of the paths sums all longer ones"


def draw(data: pd.DataFrame, evidence: Measured, guessing: pd.DataFrame) -> Figure:
    """The picture of what `prepare` gives."""
    conditions, networks = measured.conditions(evidence, data), in_order(data["network"])
    every, paths = lines.looks(data), bool((data["panel"] == "paths").any())
    legend = lines.legend(data[data["panel"] == "deleted"], every)
    if paths:
        legend.append(style.entry("mean number of branches", **MARKS["mean"]))
    if len(guessing):
        legend.append(Patch(label="at chance: uninformative", **GUESS))
    head = Head(evidence.title, evidence.subtitle, legend)
    made = page.page(conditions, len(networks) + paths, head, evidence.notes, tall=1.7, share=False)
    for row, condition in zip(made.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        own = guessing[guessing["condition"] == condition]
        _deletions(row[: len(networks)], networks, here[here["panel"] == "deleted"], every, own)
        if paths:
            _paths(row[-1], here, every)
        for axes in row:
            page.few_ticks(axes.xaxis)
            page.few_ticks(axes.yaxis)
    return made.figure


def _deletions(
    row: Sequence[Axes],
    networks: Sequence[str],
    deleted: pd.DataFrame,
    every: Mapping[str, dict[str, Any]],
    guessing: pd.DataFrame,
) -> None:
    finite = deleted.loc[is_finite(deleted["value"]), "value"].astype(float)
    low, high = min(0.0, finite.min()), max(1.0, finite.max())
    room = 0.05 * (high - low)
    blocks = deleted.groupby("label")["place"].transform("max")
    deleted = deleted.assign(position=(deleted["place"] - 0.5) / blocks)
    for axes, network in zip(row, networks, strict=True):
        own = deleted[deleted["network"] == network]
        axes.axhline(0, color=style.MUTED, linewidth=0.5, zorder=1, gid="zero")
        axes.set(xlim=(0, 1), ylim=(low - room if low < 0 else 0, high + room))
        lines.draw_lines(axes, own, "place", every, at="position")
        for label in guessing.loc[guessing["network"] == network, "label"]:
            mean = own[(own["label"] == label) & (own["kind"] == "mean") & is_finite(own["value"])]
            ends = (mean["value"].min() - room, mean["value"].max() + room)
            axes.fill_between([0, 1], *ends, zorder=0.5, gid=f"at chance {label}", **GUESS)
        axes.set_xlabel("deleted block (0: first, 1: last)")
        axes.set_title(network_title(network) + lines.counts(own))
    row[0].set_ylabel("rise of the error (points)")


def _paths(axes: Axes, data: pd.DataFrame, every: Mapping[str, dict[str, Any]]) -> None:
    """The gradient by length of path; on the axis the mean length of each network."""
    shares, depths = data[data["panel"] == "paths"], data[data["panel"] == "depth"]
    if shares.empty:
        page.absent(axes, f"{network_title('residual')}\nnot measured")
        return
    lines.draw_lines(axes, shares, "place", every)
    highest = shares["value"].where(is_finite(shares["value"])).max()
    axes.set(xlim=(0, max(1, shares["place"].max())), ylim=(0, 1.08 * highest if highest > 0 else 1))
    axes.set(xlabel="branches on the path", ylabel="share of the gradient")
    axes.set_title(f"{network_title('residual')}, paths" + lines.counts(shares))
    for (label, kind), own in depths.groupby(["label", "kind"]):
        mark = MARKS[str(kind)] | {"color": every[str(label)]["color"], "gid": f"{label} {kind} depth"}
        axes.plot(own["place"], [0] * len(own), **mark)
