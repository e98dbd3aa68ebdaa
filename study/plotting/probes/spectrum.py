"""Density of the eigenvalues of the Hessian, plain beside residual, as in Ghorbani et al. 2019 (arXiv 1901.10159)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from study.errors import StudyError
from study.plotting.base import frames, page, style
from study.plotting.base.caption import caption
from study.plotting.base.page import Head, Plot
from study.plotting.probes import lines as probe_lines
from study.stats.naming import absences
from study.stats.planned import RUN_COLUMNS, planned, require
from study.text import listed

Floats = NDArray[np.float64]

NEEDED = ("run_id", "iteration", "probe", "measure", "place", "value", "images")
EXTREMES = ("largest", "smallest")
POINTS = 800  # of a curve,
BROADENING = 1 / 250  # of the width of a row's axis: the standard deviation of the Gaussian around each node,
MARGIN = 0.03  # and how much of it is free at each side
DECADES = 7  # below the highest density, that are shown
TICKS = 0.035  # how high the mark of an eigenvalue is, of the panel, and how far the next depth's is above it
COLUMNS = ["kind", "condition", "network", "depth", "label", "run_id", "seed", "n", "iteration", "images", "eigenvalue",
           "density"]  # fmt: skip


class Spectra(NamedTuple):
    """What was measured, a row a value: the run's fields, `measure`, `place` and `value`; and all runs, labelled."""

    values: pd.DataFrame
    runs: pd.DataFrame
    title: str
    subtitle: str
    notes: list[str]


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    iteration: int | None = None,
    reach: float | None = None,
) -> Plot:
    """Draw the figure: a panel for each kind of network, a row of them for each data set and recipe.

    `iteration`: when it was measured; by default the last iteration at which any run of a row was. `reach`: how far
    the axis of eigenvalues goes to both sides of 0; by default to the outermost one. What lies beyond is counted.
    """
    if reach is not None and not 0 < reach < math.inf:
        raise StudyError(f"reach must be a positive number, not {reach}")
    evidence = gather(frame, runs, iteration)
    if reach is not None:
        evidence = evidence._replace(notes=[*evidence.notes, *_beyond(evidence.values, reach)])
    data = prepare(evidence, reach)
    shows = (
        f"{_finding(evidence.values)}Density of the eigenvalues of the Hessian of the training loss (nats per squared unit of "
        "weight), by stochastic Lanczos quadrature, each node broadened to a Gaussian (Ghorbani et al. 2019, section 2; its "
        f"standard deviation is 0.4 % of the axis); densities more than {DECADES} decades below the highest are not shown. "
        f"{probe_lines.seeds_in_words(data)} Marks below: the largest and the smallest eigenvalues of every seed."
    )
    text = caption(
        shows, frames.named(evidence.runs), protocol=(evidence.title, evidence.subtitle), notes=evidence.notes
    )
    return Plot(draw(data, evidence), data, text)


def _finding(values: pd.DataFrame) -> str:
    """What the spectra show: the largest eigenvalue of the deepest network of each kind."""
    largest = values[(values["measure"] == "largest") & np.isfinite(values["value"].astype(float))]
    deep = largest[largest["depth"] == largest["depth"].max()]
    told = [f"{name} {mine['value'].astype(float).max():.3g}" for name, mine in frames.named(deep).groupby("name")]
    return f"Largest eigenvalue of any seed: {', '.join(told)}. " if told else ""


def gather(frame: pd.DataFrame, runs: pd.DataFrame | None, iteration: int | None) -> Spectra:
    """Check the frames, label the runs, and take what was measured at one iteration."""
    if frame.empty:
        raise StudyError(_NOTHING)
    require(frame, NEEDED if runs is not None else (*NEEDED, *RUN_COLUMNS), "probes")
    found = frame[frame["probe"] == "hessian"]
    if found.empty:
        raise StudyError(_NOTHING)
    table, title, said_of_all = frames.labelled(planned(found, runs, columns=NEEDED, name="probes"))
    kept = ["run_id", "network", "depth", "seed", "state", "condition", "label"]
    values = found[list(NEEDED)].merge(table[kept], on="run_id")
    if iteration is None:
        values = values[values["iteration"] == values.groupby("condition")["iteration"].transform("max")]
    elif iteration in set(values["iteration"]):
        values = values[values["iteration"] == iteration]
    else:
        there = listed(f"{n:,}" for n in sorted(set(values["iteration"])))
        raise StudyError(f"nothing to draw: the Hessian was not measured at iteration {iteration!r}; it was at {there}")
    values = values.sort_values(["condition", "network", "depth", "label", "seed", "run_id", "measure", "place"])
    images = values["images"].dropna().astype(int).unique()
    said = [f"Hessian of the loss of {images[0]:,} training images"] if len(images) == 1 else []
    whens = values["iteration"].unique()
    said += [f"iteration {whens[0]:,}"] if len(whens) == 1 else []
    subtitle = " · ".join([*said, *([said_of_all] if said_of_all else [])])
    return Spectra(values, table, title, subtitle, list(_notes(values, table)))


_NOTHING = "nothing to draw: no Hessian has been measured; `study probe SWEEP --probes hessian` measures it"


def _notes(values: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    """Runs without a final value, and those of which nothing is drawn."""
    yield from absences(runs)
    table = frames.named(runs)
    lost = values[~np.isfinite(values["value"].astype(float))]
    density, extremes = lost["measure"].str.startswith("density"), lost["measure"].isin(EXTREMES)
    absent = ~table["run_id"].isin(values["run_id"]) & (table["state"] == "done")
    for where, said in (
        (absent, "not measured at this iteration"),
        (table["run_id"].isin(lost.loc[density, "run_id"]), "no finite density"),
        (table["run_id"].isin(lost.loc[extremes, "run_id"]), "eigenvalues not found"),
    ):
        names = [
            f"{name}{f' ({condition})' if condition else ''} seed{'s' if len(group) > 1 else ''} {listed(group['seed'])}"
            for (condition, name), group in table[where].groupby(["condition", "name"], sort=False)
        ]
        if names:
            yield f"{said}: {'; '.join(names)}"


def _beyond(values: pd.DataFrame, reach: float) -> Iterator[str]:
    """Which eigenvalues a shorter axis does not show."""
    far = values[values["measure"].isin(EXTREMES) & values["value"].abs().between(reach, math.inf, inclusive="neither")]
    if not far.empty:
        names = [f"{name}: {len(group)}" for name, group in frames.named(far).groupby("name", sort=False)]
        yield f"eigenvalues found beyond {reach:g}: {'; '.join(names)}"


def prepare(evidence: Spectra, reach: float | None = None) -> pd.DataFrame:
    """The tidy frame of what is drawn.

    Kind `seed` has each run's density at `eigenvalue`, kind `mean` that over the `n` runs of a line, kinds `largest` and
    `smallest` the eigenvalues of each run that are marked.
    """
    parts = []
    for _, row in evidence.values.groupby("condition", sort=False):
        kept = row[np.isfinite(row["value"].astype(float))]
        where = kept.loc[kept["measure"].isin(["density_node", *EXTREMES]), "value"].to_numpy(float)
        if not len(where):
            continue
        least, most = float(where.min()), float(where.max())
        room = MARGIN * (most - least or 1.0)
        ends = (least - room, most + room)
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
    first = {field: line[field].iloc[0] for field in ("condition", "network", "depth", "label")}
    width = BROADENING * (grid[-1] - grid[0])
    densities = []
    for run_id, run in line.groupby("run_id", sort=False):
        own = first | {field: run[field].iloc[0] for field in ("seed", "iteration", "images")} | {"run_id": run_id}
        found = density(run, grid, width)
        if found is not None:
            densities.append(found)
            yield pd.DataFrame({"eigenvalue": grid, "density": found}).assign(kind="seed", **own)
        marks = run[run["measure"].isin(EXTREMES) & run["value"].astype(float).between(grid[0], grid[-1])]
        yield pd.DataFrame({"kind": marks["measure"], "eigenvalue": marks["value"].astype(float)}).assign(**own)
    if densities:
        shared = {field: line[field].iloc[0] for field in ("iteration", "images") if line[field].nunique() == 1}
        mean = pd.DataFrame({"eigenvalue": grid, "density": np.mean(densities, axis=0), "n": len(densities)})
        yield mean.assign(kind="mean", **first, **shared)


def density(run: pd.DataFrame, grid: Floats, width: float) -> Floats | None:
    """(G,) the density at `grid` (G,), of Gaussians of this standard deviation around the nodes; None without all of them."""
    nodes, weights = (
        run.loc[run["measure"] == f"density_{name}"].set_index("place")["value"].astype(float)
        for name in ("node", "weight")
    )
    weights = weights.reindex(nodes.index)
    if nodes.empty or not np.isfinite([*nodes, *weights]).all():
        return None
    away = (grid[:, None] - nodes.to_numpy()) / width
    bells = np.exp(-0.5 * away**2) / (width * math.sqrt(2 * math.pi))
    found: Floats = bells @ weights.to_numpy()
    return found


def draw(data: pd.DataFrame, evidence: Spectra) -> Figure:
    """The picture of what `prepare` gives."""
    networks, conditions = frames.in_order(data["network"]), list(dict.fromkeys(data["condition"]))
    every = probe_lines.looks(data)
    head = Head(evidence.title, evidence.subtitle, list(_legend(data, every)))
    made = page.page(conditions, len(networks), head, evidence.notes, tall=1.8)
    for row, condition in zip(made.panels, conditions, strict=True):
        here = data[data["condition"] == condition]
        top = float(here["density"].max()) if here["density"].notna().any() else 1.0
        room = TICKS * here.groupby("network")["label"].nunique().max() + 0.03  # of the panel, for the marks below
        row[0].set_yscale("log")
        row[0].set_ylim(top * 10 ** (-DECADES / (1 - room)), top * 2)
        row[0].yaxis.set_major_locator(FixedLocator(_powers(top)))
        row[0].yaxis.set_minor_locator(NullLocator())
        for axes, network in zip(row, networks, strict=True):
            own = here[here["network"] == network]
            _panel(axes, own, every, room)
            axes.set(
                xlim=(here["eigenvalue"].min(), here["eigenvalue"].max()), xlabel="eigenvalue of the Hessian", ylabel=""
            )
            axes.set_title(frames.network_title(network) + probe_lines.counts(own[own["kind"] == "mean"]))
            values = evidence.values
            _ends(axes, own, values[(values["condition"] == condition) & (values["network"] == network)])
        row[0].set_ylabel("density")
    return made.figure


def _powers(top: float) -> list[float]:
    """The powers of ten that are shown."""
    highest = math.log10(top * 2)
    return [10.0**power for power in range(math.ceil(highest - DECADES), math.floor(highest) + 1)]


def _panel(axes: Axes, data: pd.DataFrame, every: Mapping[str, Mapping[str, Any]], room: float) -> None:
    palette = {label: look["color"] for label, look in every.items()}
    same: dict[str, Any] = {
        "x": "eigenvalue", "y": "density", "hue": "label", "palette": palette, "estimator": None, "errorbar": None,
        "legend": False, "ax": axes,
    }  # fmt: skip
    seeds, means = data[data["kind"] == "seed"], data[data["kind"] == "mean"]
    if data["n"].max() > 1:
        sns.lineplot(seeds, units="run_id", linewidth=0.6, alpha=0.4, zorder=2, **same)
    if len(means):
        sns.lineplot(means, linewidth=1.3, zorder=3, **same)
    above = Rectangle((0, room), 1, 1 - room, transform=axes.transAxes)
    for drawn in axes.lines:
        drawn.set_clip_path(above)
    for slot, (label, line) in enumerate(data.groupby("label", sort=False)):
        look, own = every[str(label)], means[means["label"] == label]
        if look["marker"]:
            axes.plot(own["eigenvalue"][::60], own["density"][::60], linestyle="none", gid=f"mark {label}", **look)
        marks = line.loc[line["kind"].isin(EXTREMES), "eigenvalue"]
        axes.vlines(
            marks, TICKS * slot + 0.01, TICKS * (slot + 0.85) + 0.01, transform=axes.get_xaxis_transform(),
            color=look["color"], linewidth=0.7, zorder=4, gid=f"extremes {label}",
        )  # fmt: skip


def _ends(axes: Axes, data: pd.DataFrame, values: pd.DataFrame) -> None:
    """In the panel's corner `56 (n = 4): −1.2 to 76`: the ends of each spectrum over all seeds, on the axis or beyond."""
    lines = ["smallest to largest eigenvalue"]
    uneven = data["n"].nunique() > 1
    for label, line in data.groupby("label", sort=False):
        own = values[(values["label"] == label) & np.isfinite(values["value"].astype(float))]
        least, most = (own.loc[own["measure"] == kind, "value"].astype(float) for kind in reversed(EXTREMES))
        n = f" (n = {line['n'].max()})" if uneven and line["n"].notna().any() else ""
        lines.append(f"{label}{n}: {least.min():.3g} to {most.max():.3g}".replace("-", "−").replace("nan", "?"))
    axes.text(
        0.99,
        0.99,
        "\n".join(lines),
        transform=axes.transAxes,
        ha="right",
        va="top",
        size=6.5,
        linespacing=1.3,
        gid="ends",
    )


def _legend(data: pd.DataFrame, every: Mapping[str, Mapping[str, Any]]) -> Iterator[Artist]:
    for label, look in every.items():
        yield Line2D([], [], linewidth=1.3, label=f"depth {label}", **look)
    if data["n"].max() > 1:
        yield Line2D([], [], color=style.INK, linewidth=0.6, alpha=0.5, label="single seeds")
    mark: dict[str, Any] = {"marker": "|", "markersize": 6, "markeredgewidth": 0.7, "linestyle": "none"}
    yield Line2D([], [], color=style.INK, label="extreme eigenvalues", **mark)
