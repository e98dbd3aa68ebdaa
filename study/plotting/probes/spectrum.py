"""Density of the eigenvalues of the Hessian, plain beside residual, as in Ghorbani et al. 2019 (arXiv 1901.10159)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import number
from study.plotting.base.frames import in_order
from study.plotting.base.page import Head, Plot
from study.plotting.probes import frames as measured
from study.plotting.probes import lines
from study.plotting.probes.frames import POINT, Measured
from study.plotting.surfaces.frames import is_finite
from study.stats.naming import network_title

Floats = NDArray[np.float64]

EXTREMES = ("largest", "smallest")
MEASURES = (*EXTREMES, "density_node", "density_weight")
POINTS = 800  # of a curve,
BROADENING = 1 / 250  # of the width of a row's axis: the standard deviation of the Gaussian around each node,
MARGIN = 0.03  # and how much of it is free at each side
DECADES = 7  # below the highest density, that are shown
TICKS = 0.035  # how high the mark of an eigenvalue is, of the panel, and how far the next depth's is above it
COLUMNS = ["kind", *POINT, "run_id", "seed", "n", "iteration", "images", "eigenvalue", "density"]


def plot(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, iteration: int | None = None, reach: float | None = None
) -> Plot:
    """Draw the figure: a panel for each kind of network, a row of them for each data set and recipe.

    `iteration`: when it was measured; by default at the end of the training. `reach`: how far the axis of eigenvalues
    goes to both sides of 0; by default to the outermost one. Eigenvalues beyond it are counted.
    """
    if reach is not None and not 0 < reach < math.inf:
        raise StudyError(f"reach must be a positive number, not {reach}")
    evidence = measured.at(measured.measured(frame, runs, "hessian", MEASURES), iteration)
    order = [*POINT, "seed", "run_id", "measure", "place"]
    rows = evidence.rows.astype({"value": float}).sort_values(order, ignore_index=True)
    data = prepare(rows, reach)
    beyond = _beyond(rows, reach) if reach is not None else ()
    evidence = evidence.noting(*measured.not_finite(rows, evidence.runs), *beyond, *lines.uneven(data))
    text = (
        f"{_finding(rows)}Density of the eigenvalues of the Hessian of the training loss (nats per squared unit of weight), "
        f"{measured.when(iteration)}, by stochastic Lanczos quadrature, each node broadened to a Gaussian (Ghorbani et al. 2019, "
        f"section 2; its standard deviation is 0.4 % of the axis); densities more than {DECADES} decades below the highest are "
        f"not shown. {lines.seeds_in_words(data)} Marks below: the largest and the smallest eigenvalues of every seed."
    )
    return Plot(draw(data, evidence), data, evidence.caption(text))


def _finding(rows: pd.DataFrame) -> str:
    """What the spectra show: their ends over all seeds."""
    found = rows[rows["measure"].isin(EXTREMES) & is_finite(rows["value"])]
    ends = found["value"].groupby(lines.names(found), sort=False).agg(["min", "max"])
    told = [f"{name} {number(low, '.3g')} to {number(high, '.3g')}" for name, low, high in ends.itertuples()]
    return f"Smallest to largest eigenvalue of any seed: {', '.join(told)}. " if told else ""


def _beyond(rows: pd.DataFrame, reach: float) -> Iterator[str]:
    """The number of eigenvalues beyond the axis."""
    far = rows[rows["measure"].isin(EXTREMES) & is_finite(rows["value"]) & (rows["value"].abs() > reach)]
    told = [f"{name}: {count}" for name, count in lines.names(far).value_counts(sort=False).items()]
    if told:
        yield f"eigenvalues found beyond {reach:g}: {'; '.join(told)}"


def prepare(rows: pd.DataFrame, reach: float | None = None) -> pd.DataFrame:
    """The tidy frame of what is drawn.

    Kind `seed` has each run's density at `eigenvalue`, kind `mean` that over the `n` runs of a line, kinds `largest` and
    `smallest` the eigenvalues of each run that are marked.
    """
    parts = []
    for _, row in rows.groupby("condition", sort=False):
        where = row.loc[is_finite(row["value"]) & (row["measure"] != "density_weight"), "value"]
        if where.empty:
            continue
        room = MARGIN * (where.max() - where.min() or 1.0)
        ends = (where.min() - room, where.max() + room)
        if reach is not None:
            ends = (max(min(ends[0], 0.0), -reach), min(max(ends[1], 0.0), reach))
        grid = np.linspace(*ends, POINTS)
        for _, line in row.groupby(["network", "label"], sort=False):
            parts += list(_line(line, grid))
    if not parts:
        raise StudyError("nothing to draw: no measured eigenvalue is finite")
    data = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    return data.astype({"n": "Int64", "seed": "Int64", "images": "Int64"})


def _line(line: pd.DataFrame, grid: Floats) -> Iterator[pd.DataFrame]:
    """What is drawn of one network of one depth."""
    first = {field: line[field].iloc[0] for field in POINT}
    width = BROADENING * (grid[-1] - grid[0])
    densities = []
    for run_id, run in line.groupby("run_id", sort=False):
        own = first | {field: run[field].iloc[0] for field in ("seed", "iteration", "images")} | {"run_id": run_id}
        found = density(run, grid, width)
        if found is not None:
            densities.append(found)
            yield pd.DataFrame({"eigenvalue": grid, "density": found}).assign(kind="seed", **own)
        marks = run[run["measure"].isin(EXTREMES) & run["value"].between(grid[0], grid[-1])]
        yield pd.DataFrame({"kind": marks["measure"], "eigenvalue": marks["value"]}).assign(**own)
    if densities:
        shared = {field: line[field].iloc[0] for field in ("iteration", "images") if line[field].nunique() == 1}
        mean = pd.DataFrame({"eigenvalue": grid, "density": np.mean(densities, axis=0), "n": len(densities)})
        yield mean.assign(kind="mean", **first, **shared)


def density(run: pd.DataFrame, grid: Floats, width: float) -> Floats | None:
    """(G,) the density at `grid` (G,), of Gaussians of this standard deviation around the nodes; None without all of them."""
    nodes, weights = (
        run[run["measure"] == f"density_{name}"].set_index("place")["value"] for name in ("node", "weight")
    )
    weights = weights.reindex(nodes.index)
    if nodes.empty or not np.isfinite([*nodes, *weights]).all():
        return None
    away = (grid[:, None] - nodes.to_numpy()) / width
    bells = np.exp(-0.5 * away**2) / (width * math.sqrt(2 * math.pi))
    found: Floats = bells @ weights.to_numpy()
    return found


def draw(data: pd.DataFrame, evidence: Measured) -> Figure:
    """The picture of what `prepare` gives."""
    networks, conditions = in_order(data["network"]), measured.conditions(evidence, data)
    every = lines.looks(data)
    mark: dict[str, Any] = {"marker": "|", "markersize": 6, "markeredgewidth": 0.7, "linestyle": "none"}
    extremes = style.entry("extreme eigenvalues", **mark)
    head = Head(evidence.title, evidence.subtitle, [*lines.legend(data, every), extremes])
    made = page.page(conditions, len(networks), head, evidence.notes, tall=1.8)
    for row, condition in zip(made.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        top = 2 * (here["density"].max() if here["density"].notna().any() else 0.5)
        room = TICKS * here.groupby("network")["label"].nunique().max() + 0.03  # of the panel, for the marks below
        powers = range(math.ceil(math.log10(top) - DECADES), math.floor(math.log10(top)) + 1)
        row[0].set(yscale="log", ylim=(top / 2 * 10 ** (-DECADES / (1 - room)), top), ylabel="density")
        row[0].set_yticks([10.0**power for power in powers])
        row[0].set_yticks([], minor=True)
        for axes, network in zip(row, networks, strict=True):
            own = here[here["network"] == network]
            _panel(axes, own, every, room)
            axes.set(xlim=(here["eigenvalue"].min(), here["eigenvalue"].max()), xlabel="eigenvalue of the Hessian")
            axes.set_title(network_title(network) + lines.counts(own[own["kind"] == "mean"]))
    return made.figure


def _panel(axes: Axes, data: pd.DataFrame, every: Mapping[str, dict[str, Any]], room: float) -> None:
    curves = data[data["density"].notna()]
    lines.draw_lines(axes, curves.assign(value=curves["density"], state="done"), "eigenvalue", every)
    above = Rectangle((0, room), 1, 1 - room, transform=axes.transAxes)
    for drawn in axes.lines:
        drawn.set_clip_path(above)
    for slot, (label, line) in enumerate(data.groupby("label", sort=False)):
        marks = line.loc[line["kind"].isin(EXTREMES), "eigenvalue"]
        axes.vlines(
            marks, TICKS * slot + 0.01, TICKS * (slot + 0.85) + 0.01, transform=axes.get_xaxis_transform(),
            color=every[str(label)]["color"], linewidth=0.7, zorder=4, gid=f"extremes {label}",
        )  # fmt: skip
