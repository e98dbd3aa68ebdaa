"""The table of runs: a row each, made of a run's spec, its state and its attempts; and which images they were trained on."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from study.config import recipes
from study.config.fields import flat
from study.config.identity import point_id
from study.config.stored import columns, recorded, upgraded
from study.errors import StudyError
from study.store.runs import ENDED, RunStatus
from study.store.tables import Table

if TYPE_CHECKING:
    import pandas as pd


def _arrow_type(annotation: Any) -> pa.DataType:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    for kind in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(kind) is tuple:
            # The name that Parquet gives, so that tables have the same bytes whether rows were read from one or not.
            return pa.list_(pa.field("element", _arrow_type(typing.get_args(kind)[0])))
    named = [kind for kind in typing.get_args(annotation) or (annotation,) if kind is not type(None)]
    found = {kinds.get(kind, pa.string()) for kind in named}
    return found.pop() if len(found) == 1 else pa.string()  # text, where a field is a number or a word


ATTEMPT_COLUMNS = (
    "executor", "host", "job", "node", "device", "driver", "cpu", "python", "torch", "code", "commit", "dirty",
)  # fmt: skip
"""Hardware and software of the last attempt."""

RUNS = Table(
    pa.schema(
        [
            ("run_id", pa.string()),
            ("point_id", pa.string()),
            ("dataset", pa.string()),
            ("recipe_changes", pa.string()),  # fields in which the recipe differs from the named one
            *((name, _arrow_type(column.field.annotation)) for name, column in columns().items()),
            ("state", pa.string()),
            ("iteration", pa.int64()),  # reached
            ("iterations", pa.int64()),  # planned
            ("attempts", pa.int64()),
            ("seconds", pa.float64()),  # of training, over all attempts
            ("data_digest", pa.string()),  # of the images that it was trained on
            ("message", pa.string()),  # why it failed, or a warning about its result
            ("started", pa.timestamp("ms", tz="UTC")),
            ("finished", pa.timestamp("ms", tz="UTC")),
            ("threads", pa.int64()),
            *[(name, pa.string()) for name in ATTEMPT_COLUMNS],
        ]
    ),
    key=("run_id",),
    neutral={},
)


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of any version as `RUNS`."""
    listed = list(rows)
    found = [_column([row.get(column.name) for row in listed], column.type) for column in RUNS.schema]
    return pa.Table.from_arrays(found, schema=RUNS.schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError):
        return pa.array([_fitting(value, kind) for value in values], kind)


def _fitting(value: Any, kind: pa.DataType) -> Any:
    """A value as its column holds it: a number as text if it could be a word; None for one that does not fit."""
    try:
        return pa.scalar(str(value) if isinstance(value, int) and kind == pa.string() else value, kind).as_py()
    except (pa.ArrowException, OverflowError):
        return None


def row(spec: Mapping[str, Any], now: RunStatus) -> dict[str, Any]:
    """A row of `RUNS`; `spec` is a stored spec."""
    starts = [line for line in now.record if line.get("event") == "start"]
    first, last = (starts[0], starts[-1]) if starts else ({}, {})
    fields = upgraded(spec)
    own = flat(fields)
    if own.get("recipe") == recipes.ELSEWHERE:  # most of it is unknown, so null
        known = ("recipe.iterations", "recipe.normalise")
        own = {name: value for name, value in own.items() if not name.startswith("recipe.") or name in known}
    return {
        "run_id": now.run_id,
        **_point(json.dumps(fields | {"seed": None})),
        **own,
        "state": now.state,
        "iteration": now.iteration,
        "iterations": own.get("recipe.iterations"),
        "attempts": now.attempts,
        "seconds": now.seal.get("seconds"),
        "data_digest": now.data_digest,
        "message": now.message,
        "started": _milliseconds(first.get("time")),
        "finished": _milliseconds(now.seal.get("time")),
        "threads": last.get("threads"),
        **{name: last.get(name) for name in ATTEMPT_COLUMNS},
    }


@cache
def _point(spec: str) -> dict[str, str]:
    """What the rows of all seeds of a point share: found once for all of them, which saves most of the time."""
    fields = json.loads(spec)
    changes = ", ".join(recipes.changes(fields.get("recipe", {})))
    return {"point_id": point_id(fields), "dataset": recorded(fields).dataset, "recipe_changes": changes}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


# -- images of one name ---------------------------------------------------------------------------------------------------

ONE_SET = ("data", "data.folder", "data.image_size", "train_subset", "train_subset_seed")
"""The fields of a run that name what it is trained on."""


def told_apart(runs: pd.DataFrame) -> pd.DataFrame:
    """Rename runs that were trained on other images: `dataset` becomes `pets (images 3fa9c1d2)`, `point_id` likewise.

    So they are another condition wherever runs are sorted, averaged or paired. Nothing changes if all runs of a data set have
    one `data_digest`. A run without one counts to the images that were trained on last, or, if it ended and has a folder of
    the user's, to `unknown` ones.
    """
    if "data_digest" not in runs:  # of another program
        return runs
    runs = runs.assign(dataset=runs["dataset"].astype(object), point_id=runs["point_id"].astype(object))
    names = [runs[field].map(str) for field in ("dataset", *ONE_SET) if field in runs]  # once told apart, they stay so
    for _, mine in runs.groupby(names, sort=False):
        digests = mine["data_digest"].astype(object)
        oldest_first = mine.sort_values("finished", kind="stable", na_position="first") if "finished" in mine else mine
        known = digests[oldest_first.index].dropna()
        own = "data.folder" in mine and mine["data.folder"].notna()
        unknown = digests.isna() & mine["state"].isin(ENDED) & own
        if known.nunique() + int(unknown.any()) < 2 or known.empty:
            continue
        words = digests.where(~unknown, "unknown").fillna(known.iloc[-1]).map(lambda digest: digest[:8])
        runs.loc[mine.index, "dataset"] = mine["dataset"] + words.map(" (images {})".format)
        runs.loc[mine.index, "point_id"] = mine["point_id"] + words.map("-{}".format)
    return runs


def refuse_conflict(runs: pd.DataFrame) -> None:
    """Raise StudyError if two rows are of one run, trained on different images in two results folders."""
    counts = runs.groupby("run_id")["data_digest"].nunique()
    if (counts > 1).any():
        raise StudyError(
            f"{counts.idxmax()} was trained on different images in two of these results; name one of them, or train it again "
            "on the same images"
        )
