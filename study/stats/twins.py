"""Runs that differ in what is kept of them alone: one experiment that was run twice, with equal curves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from study.spec.differences import KEPT
from study.spec.run import RunSpec
from study.store.images import ENDED


def without_twins(runs: pd.DataFrame, preferred: Collection[str] = ()) -> pd.DataFrame:
    """The runs, of which no two differ in the fields of `KEPT` alone.

    Of several the one stays that has ended, else that got furthest; of several that have ended, one of `preferred`. How a
    run ended has no say, or divergences would be chosen away. What is left of one experiment has one `point_id`, though
    some seeds were kept and others not.

    Parameters
    ----------
    runs
        One row per run, with the fields of its spec.
    preferred
        Ids of runs, such as those that were measured.
    """
    fields = [field for field in KEPT if field in runs]
    kept = _texts(runs, fields)
    if kept.nunique() < 2:
        return runs
    spec = [f for f in map(str, runs.columns) if f in RunSpec.model_fields or f.startswith("recipe.")]
    same = ["dataset", *(field for field in spec if field not in (*KEPT, "seed"))]
    ended = runs["state"].isin(ENDED)
    reached = runs["iteration"].where(~ended, 0) if "iteration" in runs else pd.Series(0, runs.index)
    table = pd.DataFrame({
        "point": _texts(runs, same), "seed": runs["seed"], "kept": kept, "ended": ended, "reached": reached,
        "preferred": runs["run_id"].isin(list(preferred)) & ended, "point_id": runs["point_id"], "run_id": runs["run_id"],
    })  # fmt: skip
    order = ["ended", "preferred", "reached", "kept", "run_id"]
    ranked = table.sort_values(order, ascending=[False, False, False, True, True])
    first = ranked.groupby(["point", "seed"])["kept"].transform("first").reindex(runs.index)
    plainest = table.sort_values(["kept", "point_id"]).groupby("point")["point_id"].transform("first")
    return runs.assign(point_id=plainest.reindex(runs.index))[kept == first]


def _texts(runs: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """The values of some fields of each run, to compare; nothing is nothing in every type of column."""
    columns = [runs[field].map(lambda value: "" if _is_none(value) else str(value)) for field in fields]
    rows = zip(*columns, strict=True) if columns else ((),) * len(runs)
    return pd.Series([tuple(row) for row in rows], index=runs.index, dtype=object)


def _is_none(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))
