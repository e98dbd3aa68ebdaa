"""From the frame of probes to what their figures need: labelled values of the runs measured, and what to say of the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from study.errors import StudyError, nearest
from study.plotting.base.frames import labelled
from study.plotting.surfaces.frames import is_finite
from study.stats.naming import absences, run_names
from study.stats.planned import planned, require
from study.text import listed

COLUMNS = ("run_id", "iteration", "probe", "measure", "layer", "place", "value", "images")
POINT = ["condition", "network", "depth", "label"]
LOST = ("diverged", "failed")


class Measured(NamedTuple):
    """What one probe measured.

    `rows` has one row per (run, iteration, measure, place, layer): the `value`, and its run's fields with `condition`
    and `label` (see `study.plotting.base.frames.Tidy`). `runs` has one row per run of the points that were measured.
    """

    rows: pd.DataFrame
    runs: pd.DataFrame
    title: str
    subtitle: str
    notes: list[str]


def measured(frame: pd.DataFrame, runs: pd.DataFrame | None, probe: str, measures: Sequence[str]) -> Measured:
    """Check the frames and label the runs.

    `probe, measures`: what to keep.
    """
    require(frame, COLUMNS, "probes")
    values = frame.loc[(frame["probe"] == probe) & frame["measure"].isin(list(measures)), [*COLUMNS]]
    if values.empty:
        raise StudyError(
            f"nothing to draw: no run was measured by the probe '{probe}'; `study probe SWEEP --probes {probe}` measures it"
        )
    ids = set(values["run_id"])
    every = planned(frame, runs, columns=COLUMNS, name="probes")
    # Points of which nothing was measured are named, but have no say in how the others are called.
    known = every["point_id"].isin(every.loc[every["run_id"].isin(ids), "point_id"])
    here, title, subtitle = labelled(every[known])
    fields = [column for column in here.columns if column not in ("iteration", "iterations")]
    rows = values.merge(here[fields], on="run_id").sort_values(
        ["run_id", "measure", "iteration", "place", "layer"], ignore_index=True
    )
    counts = listed(f"{int(count):,}" for count in sorted(rows["images"].unique()))
    subtitle = " · ".join(text for text in (subtitle, f"measured on {counts} training images") if text)
    return Measured(rows, here, title, subtitle, list(_lacking(every, here, set(rows["run_id"]))))


def _lacking(every: pd.DataFrame, here: pd.DataFrame, ids: Collection[str]) -> Iterator[str]:
    """Notes on runs that are not done, and on runs that are and were not measured."""
    others = every[~every["run_id"].isin(here["run_id"])]
    if not others.empty:
        condition = labelled(every)[0]["condition"].loc[others.index]
        others = labelled(others)[0].assign(condition=condition)
    runs = pd.concat([here, others]) if not others.empty else here
    yield from absences(runs)
    unmeasured = runs[(runs["state"] == "done") & ~runs["run_id"].isin(list(ids))]
    if not unmeasured.empty:
        yield f"not measured: {'; '.join(run_names(unmeasured))}"


def at(evidence: Measured, iteration: int | None) -> Measured:
    """What was measured after `iteration` steps; by default at the end of each run that is done."""
    rows, runs = evidence.rows, evidence.runs
    if iteration is None:
        ends = pd.to_numeric(runs.set_index("run_id")["iterations"])
        end = rows["run_id"].map(ends.fillna(rows.groupby("run_id")["iteration"].max()))
        chosen = rows[(rows["iteration"] == end) & (rows["state"] == "done")]
    else:
        chosen = rows[rows["iteration"] == iteration]
    subtitle = evidence.subtitle if iteration is None else f"{evidence.subtitle} · {when(iteration)}"
    if chosen.empty:
        there = sorted(rows["iteration"].unique())
        some = listed(f"{i:,}" for i in ([*there[:3], *there[-2:]] if len(there) > 5 else there))
        raise StudyError(f"nothing to draw: no run was measured {when(iteration)}; iteration= takes {some}")
    known = rows.loc[~rows["run_id"].isin(chosen["run_id"]), "run_id"]
    late = runs[runs["run_id"].isin(known) & ((runs["state"] == "done") | (iteration is not None))]
    notes = [f"not measured {when(iteration)}: {'; '.join(run_names(late))}"] if not late.empty else []
    return evidence._replace(rows=chosen.reset_index(drop=True), subtitle=subtitle, notes=[*evidence.notes, *notes])


def when(iteration: int | None) -> str:
    """In words, when what `at` gives was measured."""
    return "at the last iteration" if iteration is None else f"at iteration {iteration:,}"


def conditions(evidence: Measured, data: pd.DataFrame) -> list[str]:
    """The titles of the rows of panels that `data` has something for, in the order of the runs."""
    there = set(data["condition"])
    return list(dict.fromkeys(name for name in evidence.runs["condition"] if name in there))


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose mean a line over iterations shows: of the runs that are done; where none of a point is, of those
    under way. A mean over a changing set of seeds would jump where one stops."""
    done = rows["state"] == "done"
    any_done = done.groupby([rows[column] for column in POINT]).transform("any")
    return rows[done | (~any_done & ~rows["state"].isin(LOST))]


def means(rows: pd.DataFrame, by: Sequence[str], *, geometric: bool = False) -> pd.DataFrame:
    """The mean over the `n` runs of each point, where all of them have a value; NaN where one of these is not finite.

    `by`: what a mean is taken at, such as place and layer.
    """
    values = rows["value"].where(is_finite(rows["value"]))
    if geometric:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)  # of 0, minus infinity: the mean is 0
    table = rows.assign(value=values).groupby([*POINT, *by])["value"].agg(["mean", "count", "size"]).reset_index()
    table = table.merge(rows.groupby(POINT)["run_id"].nunique().rename("n").reset_index(), on=POINT)
    table = table[table["size"] == table["n"]]
    whole = table["mean"].where(table["count"] == table["size"])
    return table.assign(value=np.exp(whole) if geometric else whole).drop(columns=["mean", "count", "size"])


def not_finite(rows: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """A note on the runs some of whose values in `rows` are not finite."""
    lost = rows[~is_finite(rows["value"])].groupby("run_id").size()
    there = rows.groupby("run_id").size()
    named = [
        f"{next(run_names(runs[runs['run_id'] == run_id]))} ({lost[run_id]:,} of {there[run_id]:,} values)"
        for run_id in runs["run_id"]
        if run_id in lost.index
    ]
    return [f"not finite: {'; '.join(named)}"] if named else []


def chosen(name: str, value: str, known: Sequence[str]) -> str:
    """An option's value. Raises StudyError for one that is not known."""
    if value not in known:
        raise StudyError(f"unknown {name} '{value}'{nearest(str(value), known)}; there are {listed(known)}")
    return value
