"""Curves over iterations: seeds and their means, where the rate falls, and how they are drawn in a panel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from study.errors import StudyError
from study.papers.values import Value, match
from study.plotting.base import page, style
from study.plotting.base.frames import in_order, named, uncoded
from study.plotting.base.outside import outside
from study.stats.bca_interval import FEWEST, RESAMPLES, SEED
from study.stats.naming import lost, network_name
from study.store.runs import LOST
from study.text import listed

POINT = ["condition", "network", "label", "split"]
"""With the panel, what a line is: one network under one condition, and one split."""
COLUMNS = [*POINT, "depth", "run_id", "seed", "state", "n", "iteration", "error"]
TYPES = dict.fromkeys(("depth", "seed", "n", "iteration"), "Int64")
MOST_HEADROOM = 2.0  # if all there is fits below it, the axis shows all
HEADROOM = 1.4  # else the y axis ends here, in units of the largest final error, so that the tail fills the panel
FEW_SEEDS = 5  # of more than that a band from the least to the most is drawn instead of thin lines
FEW_POINTS = 5  # evaluations, below which they are marked
MANY_SEEDS = 50  # of more than that the frame has the least and the most at each iteration instead of every seed
EXTREMES = {"least": "min", "most": "max"}
"""The kinds of rows that stand for many seeds."""
DRAWN = ("seed", "mean", *EXTREMES)
"""The kinds of rows that are curves."""
RANGE = "digitised range"
VALUES = style.VALUE_MARKS | {RANGE: {"linewidth": 4, "alpha": 0.5, "clip_on": False, "solid_capstyle": "butt"}}
"""How numbers of a paper are drawn, by kind of row."""
BOOTSTRAP = f"BCa bootstrap 95 % intervals from {FEWEST} seeds on ({RESAMPLES:,} resamples, seed {SEED})"
MANY_DROPS = 8  # of a panel: marks of more would be a hatching
GONE = (*LOST, "failed")
Training = Literal["train_clean", "train"]
"""The splits of a training error."""
MEASURED = {
    "train_clean": "training error in evaluation mode, without augmentation",
    "train": "running training error, in training mode, on augmented images",
}


# -- the data ---------------------------------------------------------------------------------------------------------


def lines_of(
    curves: pd.DataFrame, drops: pd.DataFrame, splits: Sequence[str], panel: Sequence[str] = (), value: str = "error"
) -> pd.DataFrame:
    """Every line and mark of a figure, one row per point: `kind` is seed, mean, lr_drop, or of many seeds least and most.

    `splits`: those that are drawn. `panel`: further columns that tell lines apart. `value`: the column that is drawn.
    """
    chosen = curves[curves["split"].isin(splits)]
    if chosen.empty:
        raise StudyError(f"nothing to draw: no run has been evaluated yet, so there are no errors of {listed(splits)}")
    keys = [*panel, *POINT]
    many = chosen.groupby(keys, observed=True)["run_id"].transform("nunique") > MANY_SEEDS
    alone = chosen[~many | chosen["state"].isin(GONE)].assign(kind="seed")
    rows = [alone, *_extremes(chosen[many], keys, value), _means(chosen, keys, value), _drops(drops, chosen, panel)]
    columns = ["kind", *panel, *(value if name == "error" else name for name in COLUMNS)]
    table = pd.concat([uncoded(frame).reindex(columns=columns).astype(TYPES) for frame in rows], ignore_index=True)
    return table.astype({"iteration": int, value: float})


def _extremes(curves: pd.DataFrame, keys: list[str], value: str) -> Iterator[pd.DataFrame]:
    """The ends of a band at each iteration, without the seeds that ended early."""
    values = curves[~curves["state"].isin(GONE)].groupby([*keys, "depth", "iteration"], observed=True)[value]
    for kind, end in EXTREMES.items():
        yield values.agg(end).reset_index().assign(kind=kind)


def _means(curves: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """The mean over the finished seeds; while there are none, over those under way, as far as all have come.

    A mean over a changing set of seeds would jump where one stops.
    """
    done = curves["state"] == "done"
    any_done = done.groupby([curves[column] for column in keys], observed=True).transform("any")
    averaged = curves[done | (~any_done & ~curves["state"].isin(GONE))]
    steps = averaged.groupby([*keys, "depth", "iteration"], observed=True)
    errors = steps[value].agg(["mean", "size"]).reset_index()
    seeds = averaged.groupby(keys, observed=True)["run_id"].nunique().rename("n").reset_index()
    means = errors.merge(seeds, on=keys)
    return means[means["size"] == means["n"]].rename(columns={"mean": value}).assign(kind="mean")


def _drops(drops: pd.DataFrame, curves: pd.DataFrame, panel: Sequence[str]) -> pd.DataFrame:
    """The iterations at which the rate of some run of a panel falls, while one is drawn there."""
    where = [*panel, "condition", "network"]
    ends = curves.groupby(where, observed=True)["iteration"].max().rename("end").reset_index()
    shown = curves[["run_id", *where]].drop_duplicates().merge(drops, on="run_id").merge(ends, on=where)
    found = shown[shown["iteration"] < shown["end"]].drop_duplicates([*where, "iteration"])
    few = found.groupby(where, observed=True)["iteration"].transform("size") <= MANY_DROPS
    return found.loc[few, [*where, "iteration"]].sort_values([*where, "iteration"]).assign(kind="lr_drop")


def beside(
    lines: pd.DataFrame, runs: pd.DataFrame, values: Sequence[Value], places: Sequence[str], span: str
) -> pd.DataFrame:
    """The paper's final test errors, infinite where it says that a network fails, and the ranges of its training errors.

    Each is drawn in every one of the `places` (columns of `lines`) that has a run which matches it, at the last iteration of
    the lines that share `span`.
    """
    rows = []
    test = lines[lines["split"] == "test"]
    for value in values:
        mine = test[test["run_id"].isin(runs.loc[match(runs, value), "run_id"])]
        for _, place in mine.drop_duplicates([*places]).iterrows():
            same = {name: place[name] for name in dict.fromkeys((*POINT, *places, "depth"))}
            same["iteration"] = lines.loc[lines[span] == place[span], "iteration"].max()
            error = math.inf if value.error is None else value.error
            rows.append(same | {"kind": "digitised" if value.digitised else "reported", "error": error})
            if value.train is not None:
                low, high = value.train
                rows.append(same | {"kind": RANGE, "split": "", "low": low, "high": high})
    return pd.DataFrame(rows)


# -- the picture ------------------------------------------------------------------------------------------------------


def draw_lines(
    axes: Axes, data: pd.DataFrame, unit: int, value: str = "error", colour: str = "", above: bool = True
) -> None:
    """The means of a panel, bold, and its seeds: up to five as thin lines, more as a pale band from least to most.

    Depths have their colours, unless `colour` is given; training is thin and dashed, test solid. A run that diverged ends in a
    cross, at the panel's top where it lies `above`.
    """
    data = data[data["kind"].isin(DRAWN)].assign(x=lambda rows: rows["iteration"] / unit)
    thin, banded = _seeds(data)
    means = data[data["kind"] == "mean"]
    shown = means if len(means) else thin
    few = len(shown) > 0 and shown.groupby(POINT)["iteration"].nunique().max() < FEW_POINTS
    marks = {"marker": "o", "markersize": 3, "markeredgewidth": 0} if few else {}
    pale = {"units": "run_id", "alpha": 0.35, "zorder": 2} | ({} if len(means) else marks)
    depths = data.drop_duplicates("label").set_index("label")["depth"]
    palette = {label: colour or style.depth_colour(depth) for label, depth in depths.items()}
    same: dict[str, Any] = {
        "x": "x", "y": value, "hue": "label", "palette": palette, "style": "split", "dashes": style.DASHES, "legend": False,
        "ax": axes,
    }  # fmt: skip
    said = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    for part, width, look in ((thin, 0.5, pale), (means, 1.0, {"zorder": 3} | marks)):
        if len(part):
            sizes = {split: width * points for split, points in style.WIDTHS.items()}
            sns.lineplot(part, estimator=None, errorbar=None, size="split", sizes=sizes, **same, **look)
    if len(banded):
        band = {"alpha": 0.18, "linewidth": 0, "gid": "band"}
        sns.lineplot(banded, estimator="median", errorbar=("pi", 100), linewidth=0, err_kws=band, zorder=1.5, **same)
    axes.set(**said)  # seaborn writes the columns' names
    ends = thin[thin["state"].isin(LOST) & (thin["split"] == "test")].groupby("run_id").tail(1)
    for end in ends.to_dict("records"):
        height = min(end[value], axes.get_ylim()[1])
        if above or height == end[value]:
            axes.plot(end["x"], height, color=palette[end["label"]], zorder=4, gid="lost", **style.LOST)


def _seeds(data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that are thin lines, and those that make bands; of a line of one finished seed the mean says it all."""
    seeds = data[data["kind"] == "seed"]
    gone = seeds["state"].isin(GONE)
    count = seeds["run_id"].where(~gone).groupby([seeds[key] for key in POINT]).transform("nunique")
    alone = (count == 1) & (seeds["state"] == "done")
    banded = pd.concat([seeds[~gone & (count > FEW_SEEDS)], data[data["kind"].isin(EXTREMES)]])
    return seeds[gone | ((count <= FEW_SEEDS) & ~alone)], banded


def draw_values(axes: Axes, data: pd.DataFrame, unit: int, colour: str = "") -> None:
    """The papers' values within the axis, in the colour of their depth unless one is given."""
    bottom, top = axes.get_ylim()
    for mark in data[data["kind"].isin(VALUES)].to_dict("records"):
        ends = [mark["low"], mark["high"]] if mark["kind"] == RANGE else [mark["error"]]
        if bottom <= ends[0] and ends[-1] <= top:
            own = colour or style.depth_colour(mark["depth"])
            axes.plot([mark["iteration"] / unit] * len(ends), ends, color=own, gid=mark["kind"], **VALUES[mark["kind"]])


def draw_drops(axes: Axes, data: pd.DataFrame, unit: int) -> None:
    """A dotted line where the learning rate falls."""
    for drop in data.loc[data["kind"] == "lr_drop", "iteration"].unique():
        axes.axvline(drop / unit, color="#a8a8a8", linewidth=0.5, linestyle=(0, (1, 2)), zorder=1, gid="lr_drop")


def ends_of(lines: pd.DataFrame) -> Iterator[tuple[float, str, str]]:
    """For each network of a panel the height of its end label, its text such as `56: 83.4 %`, and its colour.

    The end is that of the mean test curve, or of what there is instead.
    """
    uneven = lines["n"].nunique() > 1
    for (_, text), curves in lines[~lines["kind"].isin(EXTREMES)].groupby(["network", "label"]):
        ordered = curves.sort_values(["split", "kind", "iteration"])  # "test" < "train", "mean" < "seed"
        kept = ordered[~ordered["state"].isin(LOST)]
        ordered = ordered if kept.empty else kept
        first = (ordered[["split", "kind"]] == ordered[["split", "kind"]].iloc[0]).all(axis=1)
        end = ordered[first].iloc[-1]
        count = f" (n={end['n']})" if uneven and end["kind"] == "mean" else ""
        gone = end["state"] in LOST  # and with it every seed of the point
        y, said = (math.inf, f"{text}: ×") if gone else (end["error"], f"{text}: {end['error']:.1f} %{count}")
        yield y, said, style.depth_colour(end["depth"])


def count_of(data: pd.DataFrame) -> str:
    """`  (n = 5)`, where all lines of a panel are means over as many seeds."""
    counts = data["n"].dropna().unique()
    return f"  (n = {counts[0]})" if len(counts) == 1 else ""


def beyond(lines: pd.DataFrame, limits: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Notes on what lies beyond the axis of each condition, in percent of error."""
    for condition, ends in limits.items():
        here = lines[lines["condition"] == condition]
        yield from outside(here["error"], named(here)["name"], ends, "%", condition)


def top_of(data: pd.DataFrame, keys: Sequence[str]) -> float:
    """The end of the y axis, in percent: above everything, where that leaves the final values half of it; else above these."""
    done = data[data["kind"].isin(["mean", "most"]) | (data["state"] == "done")]
    ends = (done if not done.empty else data).groupby([*keys, "kind", "run_id"], dropna=False)["error"].last()
    whole = 1.04 * data["error"].max()
    return float(max(0.5, whole if whole <= MOST_HEADROOM * ends.max() else HEADROOM * ends.max()))


def iteration_axis(axes: Iterable[Axes], last: int) -> int:
    """The x axis over iterations, of each of these panels; the unit that it counts in, as R15 does for long training."""
    unit, name = (10_000, "iterations (×10⁴)") if last >= 10_000 else (1, "iterations")
    for one in axes:
        one.set_xlim(0, last / unit or 1)
        page.few_ticks(one.xaxis)
        one.set_xlabel(name)
    return unit


# -- what is said -----------------------------------------------------------------------------------------------------


def legend(lines: pd.DataFrame) -> list[Artist]:
    """An entry for each split that is drawn, and those for the seeds."""
    splits = [split for split in reversed(style.SPLITS) if (lines["split"] == split).any()]
    entries = [
        style.entry(style.SPLIT_NAMES[split], linewidth=style.WIDTHS[split], linestyle=style.line_of(split))
        for split in splits
    ]
    return [*entries, *seeds_legend(lines)]


def seeds_legend(lines: pd.DataFrame) -> Iterator[Artist]:
    """Entries for thin lines and for bands, where there are any."""
    thin, banded = _seeds(lines)
    if len(thin):
        yield style.entry("single seeds", linewidth=0.8, alpha=0.4)
    if len(banded):
        yield Patch(color=style.INK, alpha=0.18, linewidth=0, label="least to most of the seeds")
    if how := lost(thin["state"]):
        yield style.entry(how, **style.LOST)


def values_legend(kinds: Iterable[str], paper: str) -> Iterator[Artist]:
    """Entries for the numbers of a paper."""
    present = set(kinds)
    for kind, name in (
        ("reported", paper),
        ("digitised", f"{paper} (digitised, ±0.2)"),
        (RANGE, "its training error (digitised range)"),
    ):
        if kind in present:
            yield style.entry(name, **VALUES[kind])


def seeds_in_words(lines: pd.DataFrame) -> str:
    """What a caption says of the seeds of these lines."""
    thin, banded = _seeds(lines)
    said = ["Bold: mean over the seeds that are done."] if (lines["n"].dropna() > 1).any() else []
    said += ["Thin: single seeds."] if len(thin) else []
    if len(banded):
        said.append("Pale band: from the least to the most of the seeds, without those that ended early.")
    return " ".join(said) or "One seed each: no spread is known."


def finding(lines: pd.DataFrame, split: str) -> str:
    """What the curves show: the errors at which the shallowest and the deepest network of each kind end."""
    means = lines[(lines["kind"] == "mean") & (lines["split"] == split)]
    parts = []
    for network in in_order(means["network"]):
        mine = means[means["network"] == network].sort_values("iteration")
        ends = mine.groupby(["condition", "label"], sort=False).tail(1).sort_values("depth", kind="stable")
        shown = ends.iloc[[0, -1]] if len(ends) > 1 else ends
        parts += [f"{network_name(network, row.label)} {row.error:.1f} %" for row in shown.itertuples()]
    if not parts:
        return ""
    seeds = sorted(set(means["n"].dropna().astype(int)))
    over = "one seed each" if seeds == [1] else f"means of {' to '.join(map(str, seeds[:1] + seeds[1:][-1:]))} seeds"
    return f"Final {style.SPLIT_NAMES[split]}: {', '.join(parts)} ({over}). "
