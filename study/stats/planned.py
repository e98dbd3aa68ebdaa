"""The collected frames, checked: one row per run that a sweep names, whether or not it has a curve."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from study.errors import StudyError
from study.stats.naming import VARIANT
from study.stats.twins import without_twins

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
    preferred: Collection[str] = (),
) -> pd.DataFrame:
    """One row per run, also for a run that has a curve but is not in the plan; of twins (`study.stats.twins`) one alone.

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
    preferred
        Of twins that have ended, these runs stay.

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
    wanted = dict.fromkeys([*RUN_COLUMNS, *VARIANT, *PROTOCOL, "iteration", "iterations", *further])
    distinct = without_twins(known.drop_duplicates("run_id", ignore_index=True), preferred)
    table = distinct.reindex(columns=list(wanted)).astype(object)
    table["iteration"] = pd.to_numeric(table["iteration"]).fillna(table["run_id"].map(reached)).fillna(0)
    table[["depth", "seed"]] = table[["depth", "seed"]].astype(int)
    return table.sort_values(["dataset", "recipe", "depth", "network", "point_id", "seed"], ignore_index=True)


def require(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """A `StudyError` that names the columns which a frame lacks."""
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise StudyError(f"the {name} frame lacks {', '.join(absent)}; it is what `study collect` writes")
