"""Curves over iterations: seeds and their means, where the rate falls, and how they are drawn in a panel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from study.errors import StudyError, nearest
from study.plotting import labels, style
from study.plotting.labels import EndLabel

POINT = ["condition", "network", "label", "split"]
"""With the panel, what a line is: one network under one condition, and one split."""
COLUMNS = [*POINT, "depth", "run_id", "seed", "state", "n", "iteration", "error"]
TYPES = dict.fromkeys(("depth", "seed", "n", "iteration"), "Int64")
HEADING = "depth"
HEADROOM = 1.4  # the y axis ends here, in units of the largest final error, so that the tail fills the panel
MANY_SEEDS = 50  # more than that are drawn as one image within a vector file: nobody tells them apart
MANY_DROPS = 8  # more than that is a smooth schedule, and marks would be a hatching
GONE = ("diverged", "failed")
MEASURED = {
    "train_clean": "training error in evaluation mode, without augmentation",
    "train": "training error as it runs, in training mode, on augmented images",
}


class Look(NamedTuple):
    """How the mean of a split is drawn; its seeds are drawn likewise, but pale."""

    dash: Literal["-", "--"]
    width: float


DASHED: Mapping[str, Look] = {split: Look(dash, 1.4) for split, dash in style.SPLIT_LINES.items()}
"""Training dashed, test solid: R15 figure 6."""


def check_training(split: str) -> None:
    """Raise StudyError where that is no split of a training error."""
    if split not in MEASURED:
        raise StudyError(f"unknown training split '{split}'{nearest(str(split), MEASURED)}")


def lines_of(
    curves: pd.DataFrame, splits: Sequence[str], panel: Sequence[str] = (), value: str = "error"
) -> pd.DataFrame:
    """Every line and mark of a figure, one row per point: `kind` is seed, mean or lr_drop.

    Parameters
    ----------
    curves
        Those of `study.plotting.frames.Tidy`.
    splits
        Those that are drawn.
    panel
        Further columns that tell lines apart.
    value
        The column that is drawn.

    Raises
    ------
    StudyError
        There is no row of these splits.
    """
    chosen = curves[curves["split"].isin(splits)]
    if chosen.empty:
        raise StudyError(f"nothing to draw: the curves have no rows of split {' or '.join(map(repr, splits))}")
    keys = [*panel, *POINT]
    drops = curves.groupby("condition")[["iteration", "lr", "run_id"]].apply(_lr_drops)
    rows = [chosen.assign(kind="seed"), _means(chosen, keys, value), drops.reset_index("condition")]
    columns = ["kind", *panel, *(value if name == "error" else name for name in COLUMNS)]
    table = pd.concat([frame.reindex(columns=columns).astype(TYPES) for frame in rows], ignore_index=True)
    return table.astype({"iteration": int, value: float})


def _means(curves: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """The mean over the seeds that are done; while none is, over those under way, as far as all have come.

    A mean over a changing set of seeds would jump where one stops.
    """
    done = curves["state"] == "done"
    any_done = done.groupby([curves[column] for column in keys]).transform("any")
    averaged = curves[done | (~any_done & ~curves["state"].isin(GONE))]
    errors = averaged.groupby([*keys, "depth", "iteration"])[value].agg(["mean", "size"]).reset_index()
    seeds = averaged.groupby(keys)["run_id"].nunique().rename("n").reset_index()
    means = errors.merge(seeds, on=keys)
    return means[means["size"] == means["n"]].rename(columns={"mean": value}).assign(kind="mean")


def _lr_drops(curves: pd.DataFrame) -> pd.DataFrame:
    """Where the learning rate falls by a third or more; each drop once, though runs may log it some steps apart."""
    logged = curves.dropna(subset="lr").drop_duplicates(["run_id", "iteration"]).sort_values(["run_id", "iteration"])
    # A row has the rate of the step that ended there: the last row at the old rate is where it falls.
    falls = logged.groupby("run_id")["lr"].shift(-1) < 0.67 * logged["lr"]
    found = logged.loc[falls, "iteration"].unique()
    apart = curves["iteration"].max() / 50
    distinct: list[int] = []
    for iteration in sorted(found):
        if not distinct or iteration - distinct[-1] > apart:
            distinct.append(iteration)
    kept = distinct if len(distinct) <= MANY_DROPS else []
    return pd.DataFrame({"kind": "lr_drop", "iteration": pd.Series(kept, dtype=int)})


def draw_lines(
    axes: Axes, data: pd.DataFrame, unit: int, looks: Mapping[str, Look] = DASHED, value: str = "error", **own: Any
) -> None:
    """The seeds and means of a panel in the colours of their depths; `own` goes to every line."""
    for _, line in data.groupby(["network", "label", "split", "kind"], sort=False):
        split, kind = line[["split", "kind"]].iloc[0]
        bold = kind == "mean"
        look: dict[str, Any] = {"color": style.depth_colour(line["depth"].iloc[0]), **own}
        width = looks[split].width
        look |= {"linewidth": width, "zorder": 3} if bold else {"linewidth": 0.43 * width, "zorder": 2, "alpha": 0.35}
        ends = line["run_id"].ne(line["run_id"].shift(-1)).to_numpy()  # of a mean there is no run
        points = np.column_stack([line["iteration"] / unit, line[value]])
        paths = [points] if bold else np.split(points, np.flatnonzero(ends)[:-1] + 1)
        if len(paths) > MANY_SEEDS:
            axes.add_collection(
                LineCollection(paths, linestyle=looks[split].dash, rasterized=True, gid=f"seeds {split}", **look)
            )
        else:
            for key, path in zip(["mean"] if bold else line.loc[ends, "run_id"], paths, strict=True):
                axes.plot(*path.T, looks[split].dash, gid=f"{key} {split}", **look)
        if split == "test" and not bold:
            for x, y in points[ends & (line["state"] == "diverged").to_numpy()]:
                end = (x, min(y, axes.get_ylim()[1]))
                axes.plot(*end, "x", color=look["color"], ms=4, zorder=4, clip_on=False, gid="diverged")


def draw_drops(axes: Axes, data: pd.DataFrame, unit: int) -> None:
    """A dotted line where the learning rate falls."""
    for drop in data.loc[data["kind"] == "lr_drop", "iteration"]:
        axes.axvline(drop / unit, color="#b0b0b0", linewidth=0.5, linestyle=(0, (1, 2)), gid="lr_drop")


def end_labels_of(lines: pd.DataFrame) -> Iterator[EndLabel]:
    """For each line of a panel its label, at the end of its mean test curve, or of what there is instead."""
    uneven = lines["n"].nunique() > 1
    for (_, text), curves in lines.groupby(["network", "label"]):
        ordered = curves.sort_values(["split", "kind", "iteration"])  # "test" < "train", "mean" < "seed"
        kept = ordered[ordered["state"] != "diverged"]
        ordered = ordered if kept.empty else kept
        first = (ordered[["split", "kind"]] == ordered[["split", "kind"]].iloc[0]).all(axis=1)
        end = ordered[first].iloc[-1]
        count = f" (n={end['n']})" if uneven and end["kind"] == "mean" else ""
        lost = end["state"] == "diverged"  # and with it every seed of the point
        y, said = (math.inf, f"{text} ×") if lost else (end["error"], f"{text}{count}")
        yield EndLabel(y, said, style.depth_colour(end["depth"]))


def room(panels: Iterable[tuple[pd.DataFrame, float]]) -> float:
    """The inches that the end labels of these panels take up at most; of each its lines, and where its y axis ends."""
    texts = [labels.written(label, top) for lines, top in panels for label in end_labels_of(lines)]
    return labels.room(texts, HEADING)


def count_of(data: pd.DataFrame) -> str:
    """`  (n = 5)`, where all lines of a panel are means over as many seeds."""
    counts = data["n"].dropna().unique()
    return f"  (n = {counts[0]})" if len(counts) == 1 else ""


def top_of(data: pd.DataFrame, keys: Sequence[str] = POINT) -> float:
    """The end of the y axis, in percent: above every final value, though not above everything there is."""
    done = data[(data["kind"] == "mean") | (data["state"] == "done")]
    ends = (done if not done.empty else data).groupby([*keys, "kind", "run_id"], dropna=False)["error"].last()
    return float(max(0.5, min(HEADROOM * ends.max(), 1.04 * data["error"].max())))


def iteration_unit(last: int) -> tuple[int, str]:
    """What the x axis counts in, as R15 does for long training, and its name."""
    return (10_000, "iterations (×10⁴)") if last >= 10_000 else (1, "iterations")


def legend(splits: Iterable[str], looks: Mapping[str, Look] = DASHED) -> list[Line2D]:
    """An entry for each split that is drawn, and one for the seeds."""
    handles = [Line2D([], [], color=style.INK, linewidth=0.6, alpha=0.5, label="single seeds")]
    present = set(splits)
    for split in reversed([split for split in style.SPLITS if split in present]):
        dash, width = looks[split]
        name = style.SPLIT_NAMES[split]
        handles.insert(0, Line2D([], [], color=style.INK, linewidth=width, linestyle=dash, label=name))
    return handles
