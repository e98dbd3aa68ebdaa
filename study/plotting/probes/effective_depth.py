"""What each block is worth, and how long the paths are that the gradient takes: Veit et al. 2016, on any sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from study.errors import StudyError
from study.plotting.base import canvas, style
from study.plotting.base.canvas import Plot
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order, named
from study.plotting.probes import frames as measured
from study.plotting.probes import lines as probe_lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.probes.lines import Looks
from study.plotting.surfaces.frames import is_finite

MEASURES = ("error", "deleted_error", "path_share", "effective_depth")
COLUMNS = ["kind", "panel", *POINT, "run_id", "seed", "state", "n", "iteration", "place", "layer", "value"]
LINE = 0.115  # inches, of a line that writes an effective depth
MARKS: dict[str, dict[str, Any]] = {
    "seed": {"marker": "^", "alpha": 0.4, "ms": 3, "mew": 0, "ls": "none", "clip_on": False, "zorder": 5},
    "mean": {"marker": "^", "ms": 5, "mec": "white", "mew": 0.5, "ls": "none", "clip_on": False, "zorder": 5},
}
"""Of the effective depths, on the x axis."""
NONE = "nothing to draw: no run of the probe 'paths' has errors with a block removed"


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None) -> Plot:
    """Draw the figure.

    Parameters
    ----------
    frame
        Probes, as `study.read_probes` gives them; those of the probe `paths` are drawn.
    runs
        As `study.plotting.figure` takes it.
    iteration
        When they were measured; by default at the end of the training.

    Raises
    ------
    StudyError
        A frame that can't feed the figure.
    """
    evidence = measured.at(measured.measured(frame, runs, "paths", MEASURES), iteration)
    data = prepare(evidence.rows)
    notes = [
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
    shows = (
        "Rise of the training error, in percentage points, when one block is removed and only its shortcut is left (in a "
        "plain network its input passes on, and a block that changes the shape cannot be removed), "
        f"{measured.when(iteration)}.{paths if (data['panel'] == 'paths').any() else ''} "
        f"{probe_lines.dashes(data['network'])} Pale lines are single seeds, bold lines their mean. After Veit et al. 2016."
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
    conditions = measured.conditions(evidence, data)
    networks, every = in_order(data["network"]), probe_lines.looks(data)
    paths = bool((data["panel"] == "paths").any())
    legend = [*probe_lines.by_depth(every), *probe_lines.by_network(every), probe_lines.singles()]
    head = canvas.Head(evidence.title, evidence.subtitle, legend)
    columns = len(networks) + paths
    page = canvas.sheet(conditions, columns, head, evidence.notes, gap=0.47, right=0.08, share=False)
    for row, condition in zip(page.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        deleted = here[here["panel"] == "deleted"]
        _deletions(row[: len(networks)], networks, deleted, every)
        row[0].set_ylabel("rise of the error (points)")
        if paths:
            _paths(row[-1], here, every)
    return page.figure


def _deletions(row: list[Axes], networks: list[str], deleted: pd.DataFrame, every: Looks) -> None:
    finite = deleted.loc[is_finite(deleted["value"]), "value"]
    low, high = min(0.0, finite.min()), max(1.0, finite.max())
    room = 0.05 * (high - low)
    for axes, network in zip(row, networks, strict=True):
        lines = deleted[deleted["network"] == network]
        axes.axhline(0, color=style.MUTED, linewidth=0.5, zorder=1, gid="zero")
        probe_lines.draw_lines(axes, lines, "place", every)
        probe_lines.place_axis(axes, int(deleted["place"].max()), "deleted block")
        axes.set_ylim(low - room if low < 0 else 0, high + room)
        axes.set_title(network + probe_lines.counts(lines), loc="left", pad=5)


def _paths(axes: Axes, data: pd.DataFrame, every: Looks) -> None:
    """The gradient by length of path; above it, at each effective depth a mark, and beside these what it is."""
    shares, depths = data[data["panel"] == "paths"], data[data["panel"] == "depth"]
    if shares.empty:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "residual networks\nnot measured", ha="center", va="center", color=style.MUTED, size=7)
        return
    texts = [text for key in every if (text := _depth_text(depths, key))]
    room = min(0.6, (len(texts) + 1.7) * LINE / canvas.PANEL)  # above the curves, for the texts
    probe_lines.draw_lines(axes, shares, "place", every)
    finite = shares.loc[is_finite(shares["value"]), "value"]
    axes.set_ylim(0, (finite.max() or 1.0 if len(finite) else 1.0) * 1.08 / (1 - room))
    axes.set_xlim(0, max(1, shares["place"].max()))
    for axis in (axes.xaxis, axes.yaxis):
        canvas.few_ticks(axis)
    axes.set_xlabel("branches on the path")
    axes.set_ylabel("share of the gradient", labelpad=2)
    axes.set_title("paths" + probe_lines.counts(shares), loc="left", pad=5)
    _write(axes, "effective depth (layers)", 0, style.MUTED)
    for number, text in enumerate(texts, 1):
        _write(axes, text, number, style.INK)
    for (network, label), look in every.items():
        marks = depths[(depths["network"] == network) & (depths["label"] == label)]
        for kind, mark in MARKS.items():
            at = marks.loc[marks["kind"] == kind, "place"]
            axes.plot(at, [0] * len(at), color=look["color"], gid=f"{network}-{label} {kind} depth", **mark)


def _depth_text(depths: pd.DataFrame, key: tuple[str, str]) -> str:
    mean = depths[(depths["kind"] == "mean") & (depths["network"] == key[0]) & (depths["label"] == key[1])]
    return "" if mean.empty or mean["value"].isna().any() else f"depth {key[1]}: {mean['value'].iloc[0]:.1f}"


def _write(axes: Axes, text: str, line: int, colour: str) -> None:
    down = -2 - 72 * LINE * line
    written = axes.annotate(
        text, (1, 1), (-1, down), "axes fraction", "offset points", ha="right", va="top", size=6.8, color=colour
    )
    written.set_path_effects([withStroke(linewidth=2, foreground="white")])  # lines of the grid run below it
