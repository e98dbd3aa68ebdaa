"""The gradient of each layer before the first step, a panel for each kind of network: theory asks for a flat line."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.drops import or_none
from study.plotting.base.page import Head, Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines
from study.plotting.probes.frames import POINT, Measured
from study.stats.cures import name_of

COLUMNS = ["kind", "cure", "ratio", *POINT, "run_id", "seed", "state", "n", "place", "layer", "share", "value"]
ACROSS = 5  # panels


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None) -> Plot:
    """Draw the figure: the kind of network whose deepest one has the flattest gradient first."""
    evidence = measured.at(measured.measured(frame, runs, "gradients", ["norm"]), 0)
    data = prepare(evidence)
    evidence = evidence.noting(*measured.not_finite(evidence.rows, evidence.runs), *lines.notes(data, "log"))
    text = (
        "Norm of the gradient of the mean loss with respect to the weights of each convolution on the main path, before the "
        f"first step; BN in training mode. {lines.seeds_in_words(data)} In titles: the largest over the smallest in the deepest "
        "network. Layers of branches that start at zero have no gradient yet."
    )
    return Plot(draw(data, evidence), data, evidence.caption(text))


def prepare(evidence: Measured) -> pd.DataFrame:
    """Every line of the figure, one row per point: `kind` is seed or mean (geometric), `share` the place over that of the last.

    `ratio`: in the deepest network of its `cure`, the largest mean over the smallest; infinite with a gradient of zero.
    """
    rows = evidence.rows[evidence.rows["layer"].str.contains(r"^stem|\.conv\d+$")]
    points = evidence.runs.drop_duplicates("point_id").to_dict("records")
    names = {run["point_id"]: name_of({field: or_none(value) for field, value in run.items()}) for run in points}
    rows = rows.assign(cure=rows["point_id"].map(names))
    rows["share"] = rows["place"] / rows.groupby("run_id")["place"].transform("max")
    means = measured.means(rows, ["cure", "place", "layer", "share"], geometric=True)
    deep = means[means["depth"] == means.groupby("cure")["depth"].transform("max")].groupby("cure")["value"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (deep.max() / deep.min()).fillna(math.inf)
    parts = (
        part.assign(ratio=part["cure"].map(ratios)) for part in (rows.assign(kind="seed"), means.assign(kind="mean"))
    )
    return measured.table(parts, COLUMNS).sort_values("ratio", kind="stable", ignore_index=True)


def draw(data: pd.DataFrame, evidence: Measured) -> Figure:
    """The picture of what `prepare` gives."""
    data = data.assign(label=data["depth"].map(str))
    every, cures, conditions = lines.looks(data), data["cure"].unique(), measured.conditions(evidence, data)
    head = Head(evidence.title, evidence.subtitle, lines.legend(data.drop(columns="state"), every))
    made = page.page(conditions, len(cures), head, evidence.notes, tall=0.75, most=ACROSS)
    size, room = 6.5 * style.look().scale, 0.85 * made.figure.get_figwidth() / made.across
    for row, condition in zip(made.panels, conditions, strict=True):
        own = data[data["condition"] == condition]
        lines.value_axis(row[0], own["value"], "log")
        for place, (axes, cure) in enumerate(zip(row, cures, strict=True)):
            here = own[own["cure"] == cure]
            lines.draw_lines(axes, here, "share", every)
            ratio = here["ratio"].iloc[0] if len(here) else math.nan
            title = f"{cure}: {number(ratio) if math.isfinite(ratio) else 'zeros'}"
            axes.set_title("\n".join(page.wrapped(title, room, size)), size=size)
            axes.set_xlim(0, 1)
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            axes.set_xlabel("share of the layers" if place >= len(cures) - made.across else "")
            axes.set_ylabel("" if place % made.across else "‖∂L/∂w‖")
    return made.figure
