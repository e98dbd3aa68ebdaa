"""The collected frames, checked: one row per run that a sweep names, whether or not it has a curve."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.config.differences import TRAINED, VARIANT, text
from study.errors import StudyError
from study.stats.naming import varying
from study.store.images import told_apart

CURVE_COLUMNS = ("run_id", "iteration", "split", "error", "lr")
RUN_COLUMNS = (
    "run_id", "point_id", "network", "family", "depth", "dataset", "recipe", "train_subset", "precision", "seed",
    "state",
)  # fmt: skip

PROTOCOL = ("recipe_changes", "recipe.learning_rate", "recipe.bn_groups")
"""What a run has to be asked, beside its recipe's name, to know whether it follows a paper's."""


def planned(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None,
    further: Sequence[str] = (),
    *,
    columns: Sequence[str] = CURVE_COLUMNS,
    name: str = "curves",
) -> pd.DataFrame:
    """One row per run, also for a run that has a curve but is not in the plan.

    Parameters
    ----------
    curves
        One row per (run_id, iteration, split), or another frame with several rows a run; the runs' fields on each row
        where `runs` is not given.
    runs
        One row per planned run, or None.
    further
        Columns to keep beside those that every figure needs, where the frames have them.
    columns, name
        What the frame `curves` must have, and what errors call it.

    Raises
    ------
    StudyError
        A frame that lacks columns, or a curve of a run that `runs` does not list.
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
    distinct = told_apart(known.drop_duplicates("run_id", ignore_index=True))
    table = fields_of(distinct, ("iteration", "iterations", *further))
    table["iteration"] = pd.to_numeric(table["iteration"]).fillna(table["run_id"].map(reached)).fillna(0)
    table[["depth", "seed"]] = table[["depth", "seed"]].astype(int)
    return in_order(table)


def fields_of(runs: pd.DataFrame, further: Sequence[str] = ()) -> pd.DataFrame:
    """What a figure may say of each run, as objects: `RUN_COLUMNS`, its network, how it was trained, and further columns."""
    trained = [field for field in TRAINED if field in runs]
    wanted = dict.fromkeys([*RUN_COLUMNS, *VARIANT, *PROTOCOL, *trained, *further])
    return runs.reindex(columns=list(wanted)).astype(object)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """By data set and recipe, what else differs in how runs were trained, depth, network and seed."""
    keys = ["dataset", "recipe", *varying(table), "depth", "network", "point_id", "seed"]

    def comparable(column: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(column, errors="coerce")
        return numbers if (numbers.isna() == column.isna()).all() else column.map(text)

    return table.sort_values(list(dict.fromkeys(keys)), key=comparable, ignore_index=True)


def require(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """A `StudyError` that names the columns which a frame lacks."""
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise StudyError(f"the {name} frame lacks {', '.join(absent)}; it is what `study collect` writes")
