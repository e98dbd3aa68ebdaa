"""What the figures of probes share: the labelled values of the runs measured, their means, notes, and the caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.errors import StudyError
from study.papers.values import Protocol
from study.plotting.base.caption import caption
from study.plotting.base.frames import labelled, named
from study.plotting.surfaces.frames import is_finite
from study.stats.naming import absences, run_names
from study.stats.planned import planned, require
from study.store.runs import LOST
from study.text import listed

COLUMNS = ("run_id", "iteration", "probe", "measure", "layer", "place", "value", "images")
POINT = ["condition", "network", "depth", "label"]
GONE = (*LOST, "failed")


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

    def noting(self, *notes: str) -> Measured:
        """The same with further notes."""
        return self._replace(notes=[*self.notes, *notes])

    def caption(self, shows: str, paper: Protocol | None = None) -> str:
        """See `study.plotting.base.caption`."""
        return caption(shows, named(self.runs), protocol=(self.title, self.subtitle), notes=self.notes, paper=paper)


def measured(frame: pd.DataFrame, runs: pd.DataFrame | None, probe: str, measures: Sequence[str]) -> Measured:
    """Check the frames, label the runs, and keep these measures of a probe."""
    values = pd.DataFrame()
    if not frame.empty:
        require(frame, COLUMNS, "probes")
        values = frame.loc[(frame["probe"] == probe) & frame["measure"].isin(list(measures)), [*COLUMNS]]
    if values.empty:
        raise StudyError(
            f"nothing to draw: no run was measured by the probe '{probe}'; `study probe SWEEP --probes {probe}` measures it"
        )
    every, title, subtitle = labelled(planned(frame, runs, columns=COLUMNS, name="probes"))
    here = every["run_id"].isin(values["run_id"])
    fields = [column for column in every if column not in ("iteration", "iterations")]
    order = ["run_id", "measure", "iteration", "place", "layer"]
    rows = values.merge(every[fields], on="run_id").sort_values(order, ignore_index=True)
    counts = listed(f"{int(count):,}" for count in sorted(rows["images"].unique()))
    subtitle = " · ".join(text for text in (subtitle, f"measured on {counts} training images") if text)
    notes = [*absences(every), *_named("not measured", every[(every["state"] == "done") & ~here])]
    return Measured(rows, every[every["point_id"].isin(every.loc[here, "point_id"])], title, subtitle, notes)


def _named(what: str, runs: pd.DataFrame) -> list[str]:
    return [] if runs.empty else [f"{what}: {'; '.join(run_names(runs))}"]


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
    notes = _named(f"not measured {when(iteration)}", late)
    return evidence._replace(rows=chosen.reset_index(drop=True), subtitle=subtitle).noting(*notes)


def when(iteration: int | None) -> str:
    """When the rows that `at` chooses were measured."""
    return "at the last iteration" if iteration is None else f"at iteration {iteration:,}"


def conditions(evidence: Measured, data: pd.DataFrame) -> list[str]:
    """The titles of the rows of panels, in the order of the runs."""
    there = set(data["condition"])
    return list(dict.fromkeys(name for name in evidence.runs["condition"] if name in there))


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows to average at each iteration: of the finished runs, or of those under way while a point has none.

    A mean over a changing set of seeds would jump where one stops.
    """
    done = rows["state"] == "done"
    any_done = done.groupby([rows[column] for column in POINT]).transform("any")
    return rows[done | (~any_done & ~rows["state"].isin(GONE))]


def means(rows: pd.DataFrame, by: Sequence[str], *, geometric: bool = False) -> pd.DataFrame:
    """The mean over the `n` runs of each point at each value of `by`, such as place and layer.

    Only where all its runs have a value; NaN where one of these is not finite.
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


def seeds_and_mean(rows: pd.DataFrame, by: Sequence[str], **fields: Any) -> list[pd.DataFrame]:
    """The rows as kind `seed`, and their means as kind `mean`, all with these fields."""
    return [rows.assign(kind="seed", **fields), means(rows, by).assign(kind="mean", **fields)]


def table(parts: Iterable[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The parts as one frame of these columns."""
    alike = [part.reindex(columns=columns).astype(object) for part in parts]
    return pd.concat(alike, ignore_index=True).astype({"depth": int, "value": float})


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
