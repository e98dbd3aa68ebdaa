"""Curves over iterations: seeds and their means, where the rate falls, and how they are drawn in a panel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.errors import StudyError, nearest
from study.plotting.base import labels, style
from study.plotting.base.labels import EndLabel
from study.plotting.base.outside import outside

POINT = ["condition", "network", "label", "split"]
"""With the panel, what a line is: one network under one condition, and one split."""
COLUMNS = [*POINT, "depth", "run_id", "seed", "state", "n", "iteration", "error"]
TYPES = dict.fromkeys(("depth", "seed", "n", "iteration"), "Int64")
HEADING = "depth"
MOST_HEADROOM = 2.0  # if all there is fits below it, the axis shows all
HEADROOM = 1.4  # else the y axis ends here, in units of the largest final error, so that the tail fills the panel
MANY_SEEDS = 50  # of more than that a line's band is drawn: nobody tells so many apart
BAND = {"least": 0.0, "quarter": 0.25, "three_quarters": 0.75, "most": 1.0}
"""The kinds of rows that a band has, and the quantiles over the seeds that they are."""
DRAWN = ("seed", "mean", *BAND)
"""The kinds of rows that are lines."""
MANY_DROPS = 8  # of a panel: marks of more would be a hatching
GONE = ("diverged", "failed")
MEASURED = {
    "train_clean": "training error in evaluation mode, without augmentation",
    "train": "running training error, in training mode on augmented images",
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
    curves: pd.DataFrame, drops: pd.DataFrame, splits: Sequence[str], panel: Sequence[str] = (), value: str = "error"
) -> pd.DataFrame:
    """Every line and mark of a figure, one row per point: `kind` is mean, lr_drop, and seed or, of more than `MANY_SEEDS` in a
    line, one of `BAND`.

    Parameters
    ----------
    curves, drops
        Those of `study.plotting.base.frames.Tidy`.
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
    many = chosen.groupby(keys)["run_id"].transform("nunique") > MANY_SEEDS
    alone = chosen[~many | chosen["state"].isin(GONE)].assign(kind="seed")
    rows = [alone, _bands(chosen[many], keys, value), _means(chosen, keys, value), _drops(drops, chosen, panel)]
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


def _bands(curves: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """The quantiles over the seeds at each iteration, but for those that diverged or failed."""
    kept = curves[~curves["state"].isin(GONE)]
    values = kept.groupby([*keys, "depth", "iteration"])[value]
    bands = [values.quantile(share).reset_index().assign(kind=kind) for kind, share in BAND.items()]
    return pd.concat(bands, ignore_index=True)


def _drops(drops: pd.DataFrame, curves: pd.DataFrame, panel: Sequence[str]) -> pd.DataFrame:
    """The iterations at which the rate of some run of a panel falls, while one is drawn there."""
    where = [*panel, "condition", "network"]
    ends = curves.groupby(where)["iteration"].max().rename("end").reset_index()
    shown = curves[["run_id", *where]].drop_duplicates().merge(drops, on="run_id").merge(ends, on=where)
    found = shown[shown["iteration"] < shown["end"]].drop_duplicates([*where, "iteration"])
    few = found.groupby(where)["iteration"].transform("size") <= MANY_DROPS
    return found.loc[few, [*where, "iteration"]].sort_values([*where, "iteration"]).assign(kind="lr_drop")


def draw_lines(
    axes: Axes, data: pd.DataFrame, unit: int, looks: Mapping[str, Look] = DASHED, value: str = "error", **own: Any
) -> None:
    """The seeds, bands and means of a panel in the colours of their depths; `own` goes to every line."""
    for _, line in data.groupby(["network", "label", "split", "kind"], sort=False):
        split, kind = line[["split", "kind"]].iloc[0]
        bold, dash = kind == "mean", looks[split].dash
        look: dict[str, Any] = {"color": style.depth_colour(line["depth"].iloc[0]), **own}
        width = looks[split].width
        look |= {"linewidth": width, "zorder": 3} if bold else {"linewidth": 0.43 * width, "zorder": 2, "alpha": 0.35}
        ends = line["run_id"].ne(line["run_id"].shift(-1)).to_numpy()  # of a mean there is no run
        points = np.column_stack([line["iteration"] / unit, line[value]])
        paths = np.split(points, np.flatnonzero(ends)[:-1] + 1) if kind == "seed" else [points]
        for key, path in zip(line.loc[ends, "run_id"] if kind == "seed" else [kind], paths, strict=True):
            # What was evaluated once is no line yet.
            dot: dict[str, Any] = {"marker": ".", "markersize": 3.0} if len(path) == 1 else {}
            axes.plot(*path.T, dash, gid=f"{key} {split}", **look, **dot)
        if split == "test" and kind == "seed":
            for x, y in points[ends & (line["state"] == "diverged").to_numpy()]:
                end = (x, min(y, axes.get_ylim()[1]))
                axes.plot(*end, "x", color=look["color"], ms=4, zorder=4, clip_on=False, gid="diverged")
    for (*_, split), line in data[data["kind"].isin(BAND)].groupby(["network", "label", "split"], sort=False):
        low, high = (line[line["kind"] == kind] for kind in ("quarter", "three_quarters"))
        colour = own.get("color", style.depth_colour(line["depth"].iloc[0]))
        between = (low["iteration"] / unit, low[value], high[value])
        axes.fill_between(*between, color=colour, alpha=0.2, linewidth=0, zorder=1.5, gid=f"half of the seeds {split}")


def draw_drops(axes: Axes, data: pd.DataFrame, unit: int) -> None:
    """A dotted line where the learning rate falls."""
    for drop in data.loc[data["kind"] == "lr_drop", "iteration"].unique():
        axes.axvline(drop / unit, color="#b0b0b0", linewidth=0.5, linestyle=(0, (1, 2)), gid="lr_drop")


def end_labels_of(lines: pd.DataFrame) -> Iterator[EndLabel]:
    """For each line of a panel its label, at the end of its mean test curve, or of what there is instead."""
    uneven = lines["n"].nunique() > 1
    lines = lines[~lines["kind"].isin(BAND)]
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


def beyond(lines: pd.DataFrame, limits: Mapping[str, tuple[float, float]], value: str = "error") -> Iterator[str]:
    """Notes on what lies beyond the axis of each condition, in percent of error."""
    for condition, ends in limits.items():
        here = lines[lines["condition"] == condition]
        names = here["network"].map(str) + "-" + here["label"].map(str)
        yield from outside(here[value], names, ends, "%", condition)


def top_of(data: pd.DataFrame, keys: Sequence[str] = POINT) -> float:
    """The end of the y axis, in percent: above everything, where that leaves the final values half of it; else above these."""
    done = data[data["kind"].isin(["mean", "most"]) | (data["state"] == "done")]
    ends = (done if not done.empty else data).groupby([*keys, "kind", "run_id"], dropna=False)["error"].last()
    whole = 1.04 * data["error"].max()
    return float(max(0.5, whole if whole <= MOST_HEADROOM * ends.max() else HEADROOM * ends.max()))


def iteration_unit(last: int) -> tuple[int, str]:
    """What the x axis counts in, as R15 does for long training, and its name."""
    return (10_000, "iterations (×10⁴)") if last >= 10_000 else (1, "iterations")


def legend(lines: pd.DataFrame, looks: Mapping[str, Look] = DASHED) -> list[Artist]:
    """An entry for each split that is drawn, and those for the seeds."""
    handles = seeds_legend(lines)
    present = set(lines["split"])
    for split in reversed([split for split in style.SPLITS if split in present]):
        dash, width = looks[split]
        name = style.SPLIT_NAMES[split]
        handles.insert(0, Line2D([], [], color=style.INK, linewidth=width, linestyle=dash, label=name))
    return handles


def seeds_legend(lines: pd.DataFrame) -> list[Artist]:
    """The entries for seeds that are lines of their own, and for bands of many."""
    thin: dict[str, Any] = {"color": style.INK, "linewidth": 0.6, "alpha": 0.5}
    kinds = set(lines.loc[~lines["state"].isin(GONE), "kind"])
    banded = not kinds.isdisjoint(BAND)
    entries: list[Artist] = []
    if "seed" in kinds or not banded:
        entries.append(Line2D([], [], label="single seeds", **thin))
    if banded:
        entries.append(Line2D([], [], label="range of the seeds", **thin))
        entries.append(Patch(color=style.INK, alpha=0.2, linewidth=0, label="middle half of the seeds"))
    return entries


def seeds_in_words(lines: pd.DataFrame) -> str:
    """What a caption says of the seeds of these lines, as the beginning of a sentence."""
    if not lines["kind"].isin(BAND).any():
        return "Pale lines are single seeds"
    return (
        f"With more than {MANY_SEEDS} seeds, pale lines are the range of those that neither diverged nor failed, with the "
        "middle half shaded; otherwise pale lines are single seeds"
    )
