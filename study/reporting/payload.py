"""The runs of a sweep as plain data for the page: a table to search and sort, and every field of each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from study.config.differences import VARIANT, short
from study.config.differences import text as exact
from study.plotting.surfaces.frames import network_labels
from study.stats.naming import varying
from study.stats.planned import RUN_COLUMNS, require
from study.store.collect import ATTEMPT_COLUMNS
from study.text import counted, duration

STATES = ("done", "diverged", "failed", "running", "interrupted", "pending")
GROUPS = {
    "result": ("state", "iteration", "iterations", "seconds", "message"),
    "data": ("dataset", "data", "data.folder", "data.image_size", "train_subset", "train_subset_seed", "data_digest"),
    "provenance": ("run_id", "point_id", "attempts", "started", "finished", "threads", *ATTEMPT_COLUMNS),
}
"""Where fields stand in a run's details; those of the recipe are `recipe...`, and the rest is the network's."""
ORDER = ("network", "recipe", "data", "result", "provenance")


def payload(curves: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """What `runs.js` shows.

    Returns
    -------
    `columns`: name and kind (`text`, `number`) of each. `rows`: a run's `cells`, each the text that is shown, and
    for numbers the value that it is sorted by; and its fields in the order of `fields`, those in which all runs are
    alike left out. `fields` has the group and name of each, `common` the group, name and text of those.

    Raises
    ------
    StudyError
        A frame that lacks columns.
    """
    require(runs, RUN_COLUMNS, "runs")
    table = runs.reindex(columns=list(dict.fromkeys([*runs.columns, *VARIANT, "recipe_changes"])))
    table = table.assign(label=network_labels(table.astype(object)))
    table = table.sort_values(["network", "depth", "label", "seed", "run_id"], ignore_index=True)
    errors = _last_errors(curves)
    columns, cells = zip(*_columns(table, errors), strict=True)
    fields = [(group, name) for group in ORDER for name in runs.columns if _group(str(name)) == group]
    texts = {name: table[name].map(text) for _, name in fields}
    common = [(group, name) for group, name in fields if len(table) > 1 and texts[name].nunique() == 1]
    own = [field for field in fields if field not in common]
    rows = [
        {"cells": list(shown), "fields": list(values)}
        for shown, values in zip(
            zip(*cells, strict=True),
            zip(*(texts[name] for _, name in own), strict=True) if own else [()] * len(table),
            strict=True,
        )
    ]
    return {
        "columns": [{"name": name, "kind": kind} for name, kind in columns],
        "fields": [[group, name] for group, name in own],
        "common": [[group, name, texts[name].iloc[0]] for group, name in common],
        "rows": rows,
    }


def state_line(runs: pd.DataFrame) -> str:
    """`12 of 18 runs done; 1 diverged, 5 pending`."""
    counts = Counter(map(str, runs["state"]))
    others = [f"{counts[state]:,} {state}" for state in (*STATES, *counts) if counts[state] and state != "done"]
    head = f"{counts['done']:,} of {counted(len(runs), 'run')} done"
    return f"{head}; {', '.join(dict.fromkeys(others))}" if others else head


def facts(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """What a reader asks first: on what, how, and where it was trained."""
    wanted = {
        "data": "dataset",
        "recipe": "recipe",
        "seeds": "seed",
        "device": "device",
        "processor": "cpu",
        "torch": "torch",
        "commit": "commit",
    }
    found = [(name, _values(runs[column])) for name, column in wanted.items() if column in runs]
    if "seconds" in runs and runs["seconds"].notna().any():
        found.append(("training time", f"{duration(float(runs['seconds'].sum()))} in all"))
    return [(name, value) for name, value in found if value]


def _values(column: pd.Series, most: int = 4) -> str:
    distinct = sorted({value for value in column if not _is_none(value)}, key=lambda value: (str(type(value)), value))
    texts = [text(value)[:12] if column.name == "commit" else text(value) for value in distinct]
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _last_errors(curves: pd.DataFrame) -> pd.DataFrame:
    """(run, split) -> the error where its curve ends."""
    valued = curves[curves["error"].notna()].sort_values("iteration", kind="stable")
    last = valued.drop_duplicates(["run_id", "split"], keep="last")
    return last.pivot(index="run_id", columns="split", values="error")


def _columns(table: pd.DataFrame, errors: pd.DataFrame) -> Iterator[tuple[tuple[str, str], Iterable[Any]]]:
    """Name, kind and cells of each column; what is the same for all runs, and goes without saying, has none."""
    yield ("run", "text"), table["label"]
    yield ("seed", "number"), _numbers(table["seed"], "{:.0f}".format)
    told = varying(table)
    for name in [
        *told,
        *(name for name in ("device", "host") if name in table and table[name].nunique(dropna=False) > 1),
    ]:
        yield (short(name), "text"), table[name].map(text)
    yield ("state", "text"), table["state"].map(text)
    if "iteration" in table:
        yield ("iteration", "number"), _numbers(table["iteration"], "{:,.0f}".format)
    training = next((split for split in ("train_clean", "train") if split in errors), "train_clean")
    for split, name in ((training, "training error (%)"), ("test", "test error (%)")):
        if split in errors:
            yield (name, "number"), _numbers(table["run_id"].map(errors[split]), "{:.2f}".format)
    if "seconds" in table:
        yield ("training time", "number"), _numbers(table["seconds"], duration)
    if "message" in table and table["message"].fillna("").ne("").any():
        yield ("message", "text"), table["message"].fillna("").map(str)


def _numbers(column: pd.Series, how: Callable[[float], str]) -> list[list[Any]]:
    return [[value, how(value)] if np.isfinite(value) else [None, "–"] for value in _floats(column)]


def _floats(column: pd.Series) -> list[float]:
    numbers: list[float] = pd.to_numeric(column).astype("Float64").to_numpy(float, na_value=np.nan).tolist()
    return numbers


def _group(name: str) -> str:
    if name == "recipe" or name.startswith(("recipe.", "recipe_")):
        return "recipe"
    return next((group for group, names in GROUPS.items() if name in names), "network")


def text(value: Any) -> str:
    """A field's value for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(text, value)) or "–"
    if _is_none(value):
        return "–"
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return exact(value)
    return str(value)


def _is_none(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))
