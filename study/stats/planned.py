"""The collected frames, checked: one row per run that a sweep names, whether or not it has a curve."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.errors import StudyError
from study.stats.naming import VARIANT
from study.stats.twins import without_twins

CURVE_COLUMNS = ("run_id", "iteration", "split", "error", "lr")
RUN_COLUMNS = (
    "run_id", "point_id", "network", "family", "depth", "dataset", "recipe", "train_subset", "precision", "seed",
    "state",
)  # fmt: skip


def planned(curves: pd.DataFrame, runs: pd.DataFrame | None, further: Sequence[str] = ()) -> pd.DataFrame:
    """One row per run, also for a run that has a curve but is not in the plan; of twins (`study.stats.twins`) one alone.

    Parameters
    ----------
    curves
        One row per (run_id, iteration, split); the runs' fields on each row where `runs` is not given.
    runs
        One row per planned run, or None.
    further
        Columns to keep beside those that every figure needs, where the frames have them.

    Raises
    ------
    StudyError
        A frame that lacks columns, or a curve of a run that `runs` does not list.
    """
    require(curves, CURVE_COLUMNS if runs is not None else CURVE_COLUMNS + RUN_COLUMNS, "curves")
    reached = curves.groupby("run_id")["iteration"].max()
    if runs is None:
        known = curves.drop(columns="iteration")
    else:
        require(runs, RUN_COLUMNS, "runs")
        strangers = set(reached.index) - set(runs["run_id"])
        if strangers:
            raise StudyError(f"curves of {len(strangers)} runs that the runs frame does not list: {min(strangers)}")
        known = runs
    wanted = dict.fromkeys([*RUN_COLUMNS, *VARIANT, "recipe_changes", "iteration", "iterations", *further])
    distinct = without_twins(known.drop_duplicates("run_id"))
    table = distinct.reindex(columns=list(wanted)).astype(object)
    table["iteration"] = pd.to_numeric(table["iteration"]).fillna(table["run_id"].map(reached)).fillna(0)
    table[["depth", "seed"]] = table[["depth", "seed"]].astype(int)
    return table.sort_values(["dataset", "recipe", "depth", "network", "point_id", "seed"], ignore_index=True)


def require(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """A `StudyError` that names the columns which a frame lacks."""
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise StudyError(f"the {name} frame lacks {', '.join(absent)}; it is what `study collect` writes")
