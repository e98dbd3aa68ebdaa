"""Training and test error over iterations, plain beside residual: R15 figures 1 and 6, on any sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.errors import StudyError, nearest
from study.plotting import canvas, labels, style
from study.plotting.canvas import Plot
from study.plotting.caption import caption
from study.plotting.frames import Tidy, in_order, named, tidy
from study.plotting.labels import EndLabel
from study.plotting.papers import R15
from study.plotting.phrases import listed

LINE = ["condition", "network", "label", "split"]
COLUMNS = ["kind", *LINE, "depth", "run_id", "seed", "state", "n", "iteration", "error"]
HEADING = "depth"
MEASURED = {
    "train_clean": "training error in evaluation mode, without augmentation",
    "train": "training error as it runs, in training mode, on augmented images",
}
HEADROOM = 1.4  # the y axis ends here, in units of the largest final error, so that the tail fills the panel
MANY_DROPS = 8  # more than that is a smooth schedule, and marks would be a hatching


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
    if training not in MEASURED:
        raise StudyError(f"unknown training split '{training}'{nearest(training, MEASURED)}")
    evidence = tidy(curves, runs)
    data = prepare(evidence, training)
    return Plot(draw(data, evidence, ymax), data, _caption(evidence, training))


def _caption(evidence: Tidy, training: str) -> str:
    networks = listed(in_order(evidence.curves["network"]))
    shows = (
        f"Error in percent over iterations, {networks}. Solid: test error; dashed: {MEASURED[training]}. Pale lines are "
        "single seeds, bold ones their mean; at each line's end its depth. Dotted: where the learning rate falls."
    )
    return caption(
        shows, named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=evidence.notes, paper=R15
    )


def prepare(evidence: Tidy, training: str) -> pd.DataFrame:
    """Every line and mark of the figure, one row per point: `kind` is seed, mean or lr_drop."""
    curves = evidence.curves[evidence.curves["split"].isin([training, "test"])]
    if curves.empty:
        raise StudyError(f"nothing to draw: the curves have no rows of split '{training}' or 'test'")
    drops = evidence.curves.groupby("condition")[["iteration", "lr", "run_id"]].apply(_lr_drops)
    rows = [curves.assign(kind="seed"), _means(curves), drops.reset_index("condition")]
    table = pd.concat([frame.reindex(columns=COLUMNS).astype(object) for frame in rows], ignore_index=True)
    return table.astype({"iteration": int, "error": float})


def _means(curves: pd.DataFrame) -> pd.DataFrame:
    """The mean over the seeds that are done; while none is, over those under way, as far as all have come.

    A mean over a changing set of seeds would jump where one stops.
    """
    done = curves["state"] == "done"
    any_done = done.groupby([curves[column] for column in LINE]).transform("any")
    averaged = curves[done | (~any_done & ~curves["state"].isin(["diverged", "failed"]))]
    errors = averaged.groupby([*LINE, "depth", "iteration"])["error"].agg(["mean", "size"]).reset_index()
    seeds = averaged.groupby(LINE)["run_id"].nunique().rename("n").reset_index()
    means = errors.merge(seeds, on=LINE)
    return means[means["size"] == means["n"]].rename(columns={"mean": "error"}).assign(kind="mean")


def _lr_drops(curves: pd.DataFrame) -> pd.DataFrame:
    """Where the learning rate falls by a third or more; each drop once, though runs may log it some steps apart."""
    found: set[int] = set()
    for _, run in curves.sort_values("iteration").groupby("run_id"):
        rates = run.drop_duplicates("iteration").set_index("iteration")["lr"].dropna()
        # A row has the rate of the step that ended there: the last row at the old rate is where it falls.
        found |= {int(i) for i in rates.index[rates.shift(-1) < 0.67 * rates]}
    apart = curves["iteration"].max() / 50
    distinct: list[int] = []
    for iteration in sorted(found):
        if not distinct or iteration - distinct[-1] > apart:
            distinct.append(iteration)
    kept = distinct if len(distinct) <= MANY_DROPS else []
    return pd.DataFrame({"kind": "lr_drop", "iteration": pd.Series(kept, dtype=int)})


def draw(data: pd.DataFrame, evidence: Tidy, ymax: float | None = None) -> Figure:
    """The picture of what `prepare` gives."""
    lines = data[data["kind"] != "lr_drop"]
    networks = in_order(lines["network"])
    conditions = list(dict.fromkeys(c for c in evidence.runs["condition"] if c in set(lines["condition"])))
    tops = {name: ymax or _top(lines[lines["condition"] == name]) for name in conditions}
    texts = [labels.written(label, tops[condition]) for condition, label in _end_labels(lines)]
    room = labels.room(texts, HEADING)
    head = canvas.Head(evidence.title, evidence.subtitle, _legend(lines))
    page = canvas.sheet(conditions, len(networks), head, evidence.notes, gap=room + 0.08, right=room)
    for row, condition in zip(page.panels, conditions, strict=True):
        here = lines[lines["condition"] == condition]
        drops = data[(data["kind"] == "lr_drop") & (data["condition"] == condition)]["iteration"]
        unit, name = iteration_unit(here["iteration"].max())
        row[0].set_ylim(0, tops[condition])
        row[0].set_ylabel("error (%)")
        for axes, network in zip(row, networks, strict=True):
            _panel(axes, here[here["network"] == network], network, unit)
            for drop in drops:
                axes.axvline(drop / unit, color="#b0b0b0", linewidth=0.5, linestyle=(0, (1, 2)), gid="lr_drop")
            axes.set_xlim(0, here["iteration"].max() / unit or 1)
            axes.set_xlabel(name)
            axes.tick_params(labelleft=axes is row[0])
    return page.figure


def _panel(axes: Axes, data: pd.DataFrame, network: str, unit: int) -> None:
    for _, line in data.groupby(["label", "split", "kind"], sort=False):
        split, kind = line[["split", "kind"]].iloc[0]
        colour = style.depth_colour(line["depth"].iloc[0])
        bold = kind == "mean"
        look: dict[str, Any] = (
            {"linewidth": 1.4, "zorder": 3} if bold else {"linewidth": 0.6, "zorder": 2, "alpha": 0.35}
        )
        for key, points in [("mean", line)] if bold else line.groupby("run_id"):
            x = points["iteration"] / unit
            axes.plot(x, points["error"], style.SPLIT_LINES[split], color=colour, gid=f"{key} {split}", **look)
            if points["state"].iloc[0] == "diverged" and split == "test":
                end = (x.iloc[-1], min(points["error"].iloc[-1], axes.get_ylim()[1]))
                axes.plot(*end, "x", color=colour, ms=4, zorder=4, clip_on=False, gid="diverged")
    counts = data["n"].dropna().unique()
    axes.set_title(network + (f"  (n = {counts[0]})" if len(counts) == 1 else ""), loc="left", pad=5)
    labels.end_labels(axes, [label for _, label in _end_labels(data)], HEADING)


def _end_labels(lines: pd.DataFrame) -> Iterator[tuple[str, EndLabel]]:
    """For each point its condition, and its label at the end of its mean test curve, or of what there is instead."""
    for (condition, _), panel in lines.groupby(["condition", "network"]):
        uneven = panel["n"].nunique() > 1
        for text, curves in panel.groupby("label"):
            ordered = curves.sort_values(["split", "kind", "iteration"])  # "test" < "train", "mean" < "seed"
            kept = ordered[ordered["state"] != "diverged"]
            ordered = ordered if kept.empty else kept
            first = (ordered[["split", "kind"]] == ordered[["split", "kind"]].iloc[0]).all(axis=1)
            end = ordered[first].iloc[-1]
            count = f" (n={end['n']})" if uneven and end["kind"] == "mean" else ""
            lost = end["state"] == "diverged"  # and with it every seed of the point
            y, name = (math.inf, f"{text} ×") if lost else (end["error"], f"{text}{count}")
            yield str(condition), EndLabel(y, name, style.depth_colour(end["depth"]))


def _top(data: pd.DataFrame) -> float:
    """The end of the y axis, in percent: above every final value, though not above everything there is."""
    done = data[(data["kind"] == "mean") | (data["state"] == "done")]
    ends = (done if not done.empty else data).groupby([*LINE, "kind", "run_id"], dropna=False)["error"].last()
    return float(max(0.5, min(HEADROOM * ends.max(), 1.04 * data["error"].max())))


def iteration_unit(last: int) -> tuple[int, str]:
    """What the x axis counts in, as R15 does for long training, and its name."""
    return (10_000, "iterations (×10⁴)") if last >= 10_000 else (1, "iterations")


def _legend(lines: pd.DataFrame) -> list[Line2D]:
    handles = [Line2D([], [], color=style.INK, linewidth=0.6, alpha=0.5, label="single seeds")]
    for split in reversed([split for split in style.SPLITS if split in set(lines["split"])]):
        name, dash = style.SPLIT_NAMES[split], style.SPLIT_LINES[split]
        handles.insert(0, Line2D([], [], color=style.INK, linewidth=1.4, linestyle=dash, label=name))
    return handles
