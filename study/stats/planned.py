"""The collected frames, checked: one row per run of a sweep, with or without a curve."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.config.differences import TRAINED, VARIANT, text
from study.config.recipes import ELSEWHERE
from study.errors import StudyError
from study.stats.naming import varying
from study.store.runs import ENDED
from study.store.runs_table import told_apart

CURVE_COLUMNS = ("run_id", "iteration", "split", "error", "lr")
RUN_COLUMNS = (
    "run_id", "point_id", "network", "family", "depth", "dataset", "recipe", "train_subset", "precision", "seed",
    "state",
)  # fmt: skip

PROTOCOL = ("recipe_changes", "recipe.learning_rate", "recipe.bn_groups")
"""Columns that tell, beside the recipe's name, whether a run follows a paper's protocol."""
OBSERVED = tuple(field for field in ("snapshot_every", "probes", "probe_every", "probe_images") if field not in TRAINED)
"""Columns that change nothing that is trained. In older results they are part of a run's id."""


def planned(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None,
    further: Sequence[str] = (),
    *,
    columns: Sequence[str] = CURVE_COLUMNS,
    name: str = "curves",
) -> pd.DataFrame:
    """One row per run, also for a run that has a curve but is not in the plan, and only one per experiment.

    `curves` may be any frame with several rows a run, of these `columns`, called `name` in errors; without `runs` it has the
    runs' fields on each row. `further` columns are kept if the frames have them. Raises a StudyError for a frame that lacks
    columns, or curves of unlisted runs. The `network` of a run that was trained elsewhere is its own name.
    """
    require(curves, tuple(columns) + (() if runs is not None else RUN_COLUMNS), name)
    reached = curves.groupby("run_id")["iteration"].max()
    if runs is None:
        known = curves.drop(columns="iteration")
    else:
        require(runs, RUN_COLUMNS, "runs")
        strangers = set(reached.index) - set(runs["run_id"])
        if strangers:
            raise StudyError(f"{name} of {len(strangers)} runs that the runs frame does not list: {min(strangers)}")
        known = runs
    distinct = _without_twins(told_apart(known.drop_duplicates("run_id", ignore_index=True)))
    table = fields_of(distinct, ("iteration", "iterations", *further))
    table["network"] = table["network"].mask(table["recipe"] == ELSEWHERE, table["family"])  # of which there is one
    table["iteration"] = pd.to_numeric(table["iteration"]).fillna(table["run_id"].map(reached)).fillna(0)
    table[["depth", "seed"]] = table[["depth", "seed"]].astype(int)
    return in_order(table)


def _without_twins(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep one of several runs that differ in `OBSERVED` columns alone; all seeds of an experiment get one `point_id`.

    The run that ended stays, else the one that got furthest. How a run ended does not matter, or lost runs would be
    selected away.
    """
    observed = _rows(runs, OBSERVED)
    if observed.nunique() < 2:
        return runs
    ended = runs["state"].isin(ENDED)
    reached = runs["iteration"].where(~ended, 0) if "iteration" in runs else 0
    point = _rows(runs, ("network", "depth", *VARIANT, *TRAINED))
    table = runs[["seed", "point_id"]].assign(point=point, observed=observed, ended=ended, reached=reached)
    ranked = table.sort_values(["ended", "reached", "observed"], ascending=[False, False, True])
    first = ranked.groupby(["point", "seed"])["observed"].transform("first").reindex(runs.index)
    plainest = table.sort_values(["observed", "point_id"]).groupby("point")["point_id"].transform("first")
    return runs.assign(point_id=plainest.reindex(runs.index))[observed == first]


def _rows(runs: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """The texts of these fields of each run, as tuples."""
    known = [field for field in fields if field in runs and not runs[field].isna().all()]
    columns = [runs[field].map(text).replace("none", "") for field in known]  # "" sorts first
    rows = list(zip(*columns, strict=True)) if columns else [()] * len(runs)
    return pd.Series(rows, index=runs.index, dtype=object)


def fields_of(runs: pd.DataFrame, further: Sequence[str] = ()) -> pd.DataFrame:
    """The columns that figures may mention: `RUN_COLUMNS`, the network, how it was trained, and `further` ones."""
    trained = [field for field in TRAINED if field in runs]
    wanted = dict.fromkeys([*RUN_COLUMNS, *VARIANT, *PROTOCOL, *trained, *further])
    return runs.reindex(columns=list(wanted)).astype(object).copy()  # as one block, so that adding columns is fast


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by data set, recipe, other differences in training, depth, network and seed."""
    keys = ["dataset", "recipe", *varying(table), "depth", "network", "point_id", "seed"]

    def comparable(column: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(column, errors="coerce")
        return numbers if (numbers.isna() == column.isna()).all() else column.map(text)

    return table.sort_values(list(dict.fromkeys(keys)), key=comparable, ignore_index=True)


def require(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise a StudyError that names the columns that a frame lacks."""
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise StudyError(f"the {name} frame lacks {', '.join(absent)}; it is what `study collect` writes")
