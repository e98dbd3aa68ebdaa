"""Each cure of degradation: how much of the plain rise in training error it takes away, seed by seed, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from study.plotting.base import page, style
from study.plotting.base.frames import tidy
from study.plotting.base.outside import outside
from study.plotting.base.page import Head, Plot
from study.plotting.curves.lines import BOOTSTRAP, MEASURED, Training
from study.plotting.tables.cures import NOTE, compared
from study.stats.answers import probability
from study.stats.cures import headline, untrained
from study.stats.naming import lost
from study.text import listed

ENDS = (-50.0, 150.0)  # percent, of the axis at most: one network that is much worse would push the others together
ROW, COLUMN = 0.165, 0.43  # inches
NARROW = 5.5  # inches; below, names take two lines, and no numbers stand beside the marks


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: Training = "train_clean") -> Plot:
    """Draw the figure: a panel for each condition, a row for each kind of network, best first.

    `training`: what stands for the training error, as for `study.verdict`.
    """
    evidence, found = tidy(curves, runs), compared(curves, runs, training)
    data = prepare(found)
    finite = data[np.isfinite(data["share"])]
    ends = [0.0, 100.0, *finite["share"]]
    limits = max(min(ends) - 6, ENDS[0]), min(max(ends) + 6, ENDS[1])
    told = " ".join(headline(group) for _, group in found.groupby("condition", sort=False))
    far = outside(finite["share"], finite["cure"], limits, "%")
    notes = [f"{told} p of the ResNet itself is not corrected.", *far, *evidence.notes]
    text = (
        f"{told} Share of the rise that each network takes away: 0 is the plain network, 100 the shallow plain one; "
        f"{MEASURED[training]}. Small points: single seeds, crosses at the edge those of runs without a final error; large ones: "
        f"means of the others, with {BOOTSTRAP}. Bold: as good as the shortcut. {NOTE}"
    )
    head = Head(evidence.title, evidence.subtitle, list(_legend(data, lost(evidence.runs["state"]))))
    return Plot(draw(data, head, notes, limits), data, evidence._replace(notes=notes[1:]).caption(text))


def prepare(found: pd.DataFrame) -> pd.DataFrame:
    """Every mark and number of the figure: `kind` is mean, with the columns of `compared`, or seed, with the `share` of one."""
    plain = (found["role"] == "plain") & (found["depth"] > found["shallow"])
    means = found.assign(kind="mean", seed=math.nan, share=found["share"].where(~plain, 0.0))
    means.loc[means["untrained"] != "", ["share", "share_low", "share_high"]] = math.nan
    same = ["condition", "cure", "network", "norm", "depth"]
    seeds = [
        pd.DataFrame(
            {
                "kind": "seed",
                **{name: row[name] for name in same},
                "seed": [*row["shares"]],
                "share": row["shares"].values(),
            }
        )
        for row in means.dropna(subset=["share", "shares"]).to_dict("records")
    ]
    marks = pd.concat([means, *seeds], ignore_index=True).drop(columns=["run_ids", "rises", "established", "shares"])
    return marks.astype({"seed": "Int64"})


def draw(data: pd.DataFrame, head: Head, notes: list[str], limits: tuple[float, float]) -> Figure:
    """The picture of what `prepare` gives."""
    panels = [group for _, group in data.groupby("condition", sort=False)]
    titles = [str(group["condition"].iloc[0]) * (len(panels) > 1) for group in panels]
    scale = style.look().scale
    narrow = (style.look().width or style.PAGES["page"]) < NARROW * scale
    talls = [ROW * (1.35 if narrow else 1) * scale * group["cure"].nunique() for group in panels]
    made = page.page(titles, 1, head, notes, tall=talls, width=style.PAGES["page"], around=0.6)
    for axes, group in zip(made.axes, panels, strict=True):
        axes.set_xlim(*limits)
        _panel(axes, group, narrow)
    return made.figure


def _panel(axes: Axes, data: pd.DataFrame, narrow: bool) -> None:
    rows = [group for _, group in data.groupby("cure", sort=False)]
    depths = sorted(data["depth"].unique())
    axes.set_ylim(len(rows) - 0.5, -0.5)
    wide, size = 1.2 * style.look().scale if narrow else 4, 6.5 * style.look().scale
    names = ["\n".join(page.wrapped(row["cure"].iloc[0], wide, size)) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    page.few_ticks(axes.xaxis)
    axes.set_xlabel(f"plain rise taken away (%)\nat {listed(depths[1:])} layers")
    for end in (0, 100):
        axes.axvline(end, color=style.MUTED, linewidth=0.6, zorder=1, gid="zero")
    for place, (row, label) in enumerate(zip(rows, axes.get_yticklabels(), strict=True)):
        means = row[row["kind"] == "mean"].to_dict("records")
        label.set_fontweight("bold" if means[-1]["answer"] == "as good" else "normal")
        if means[-1]["role"] != "cure":
            axes.axhspan(place - 0.5, place + 0.5, color=style.FAINT, alpha=0.5, linewidth=0, zorder=0)
        for number, mean in enumerate(means[1:]):
            seeds = row.loc[(row["kind"] == "seed") & (row["depth"] == mean["depth"]), "share"]
            _mark(axes, mean, seeds, place + 0.3 * (number - (len(means) - 2) / 2), len(depths) > 2)
        axes.annotate(
            untrained(mean for mean in means if mean["untrained"]), (0, place), (5, 0), textcoords="offset points",
            va="center_baseline", color=style.MUTED, size=style.SMALLEST * style.look().scale,
        )  # fmt: skip
        if not narrow:
            _columns(axes, means, depths, place)


def _mark(axes: Axes, mean: Mapping[Any, Any], seeds: pd.Series, at: float, several: bool) -> None:
    """One network at one depth: its seeds, lost ones at the edge, and mean and interval of the others; hollow without BN."""
    colour = style.depth_colour(mean["depth"]) if several else style.NETWORK_COLOURS[mean["network"]]
    name = f"{mean['cure']}-{mean['depth']}"
    axes.plot(seeds, [at] * len(seeds), color=colour, gid=f"{name} seed", **style.SEED | {"clip_on": True})
    for number in range(1, int((seeds == -math.inf).sum()) + 1):
        axes.plot(0.02 * number, at, color=colour, transform=axes.get_yaxis_transform(), **style.LOST)
    axes.hlines(at, mean["share_low"], mean["share_high"], colors=colour, linewidth=1.1, zorder=2, gid=name)
    axes.plot(mean["share"], at, color=colour, zorder=3, gid=f"{name} mean", **_marker(mean["network"], mean["norm"]))


def _marker(network: str, norm: str) -> dict[str, Any]:
    face = {} if norm == "batch" else {"markerfacecolor": "white"}
    return {"marker": style.MARKERS[network][0], "ms": 4, "markeredgewidth": 0.9, "linestyle": "none", **face}


def _columns(axes: Axes, means: Sequence[Mapping[Any, Any]], depths: Sequence[int], place: int) -> None:
    """The numbers at the right of one row, and above the first what they are."""
    deep, errors = means[-1], {mean["depth"]: mean["error_mean"] for mean in means}
    p = math.nan if deep["untrained"] else deep["p_holm"]
    cells = {f"error (%)\nat {depth}": _cell(errors.get(depth, math.nan), ".2f") for depth in depths} | {
        "p\n(Holm)": probability(p).removeprefix("= "), "parame-\nters (M)": _cell(deep["parameters"] / 1e6, ".2f"),
        "multiply-\nadds (M)": _cell(deep["macs"] / 1e6, ".1f"), "images\nper s": _cell(deep["speed"], ",.0f"),
    }  # fmt: skip
    scale = style.look().scale
    for number, (head, cell) in enumerate(cells.items(), 1):
        right = offset_copy(axes.get_yaxis_transform(), axes.get_figure(root=True), number * COLUMN * scale, 0)
        look: dict[str, Any] = {"ha": "right", "transform": right, "size": style.SMALLEST * scale}
        axes.text(1, place, cell, va="center_baseline", **look)
        if place == 0:
            axes.text(1, -0.7, head, va="bottom", color=style.MUTED, **look)


def _cell(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


def _legend(data: pd.DataFrame, how: str) -> Iterator[Artist]:
    deeper = sorted(data.loc[data["depth"] > data["shallow"], "depth"].unique())
    depths = deeper if len(deeper) > 1 else []
    for network, said in (("residual", "shortcut"), ("plain", "plain")):
        for norm, words in (("batch", "BN"), ("none", "no BN")):
            if ((data["network"] == network) & ((data["norm"] == "batch") == (norm == "batch"))).any():
                colour = style.INK if depths else style.NETWORK_COLOURS[network]
                yield style.entry(f"{said}, {words}", colour, **_marker(network, norm))
    yield from (style.entry(f"depth {depth}", style.depth_colour(depth), linewidth=1.1) for depth in depths)
    yield style.entry("single seeds", **style.SEED)
    if (data["share"] == -math.inf).any():
        yield style.entry(how, **style.LOST)
