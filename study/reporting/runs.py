"""The runs of a sweep as plain data for the page: state, facts, and a table to search and sort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from study.config.differences import VARIANT, short
from study.config.differences import text as exact
from study.plotting.surfaces.frames import network_labels
from study.stats.naming import varying
from study.stats.planned import OBSERVED, RUN_COLUMNS, require
from study.text import counted, duration

STATES = ("done", "diverged", "at_chance", "failed", "running", "interrupted", "pending")
FACTS = {
    "data": "dataset", "recipe": "recipe", "seeds": "seed", "device": "device", "processor": "cpu", "torch": "torch",
    "commit": "commit",
}  # fmt: skip


def listed(curves: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """The table of runs: `heads`, the name and kind (`text`, `number`) of each column; `rows` of values and their texts.

    `common` has the fields that all runs share, as pairs of a name and a text.
    """
    require(runs, RUN_COLUMNS, "runs")
    table = runs.reindex(columns=list(dict.fromkeys([*runs.columns, *VARIANT, "recipe_changes"])))
    table = table.assign(label=network_labels(table.astype(object)))
    table = table.sort_values(["network", "depth", "label", "seed", "run_id"], ignore_index=True)
    heads, cells = zip(*_columns(table, _last_errors(curves)), strict=True)
    texts = {str(name): runs[name].map(text).unique() for name in runs.columns}
    common = [(name, values[0]) for name, values in texts.items() if len(values) == 1]
    return {"heads": heads, "rows": list(zip(*cells, strict=True)), "common": common}


def state_line(runs: pd.DataFrame) -> str:
    """`12 of 18 runs done; 1 diverged, 5 pending`."""
    counts = Counter(map(str, runs["state"]))
    others = [f"{counts[state]:,} {state}" for state in (*STATES, *counts) if counts[state] and state != "done"]
    head = f"{counts['done']:,} of {counted(len(runs), 'run')} done"
    return f"{head}; {', '.join(dict.fromkeys(others))}" if others else head


def facts(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """On what, how and where the runs were trained, as pairs of a name and a text."""
    found = [(name, _values(runs[column])) for name, column in FACTS.items() if column in runs]
    if "seconds" in runs and runs["seconds"].notna().any():
        found.append(("training time", f"{duration(float(runs['seconds'].sum()))} in all"))
    return [(name, value) for name, value in found if value]


def _values(column: pd.Series, most: int = 4) -> str:
    distinct = sorted(column.dropna().unique(), key=lambda value: (str(type(value)), value))
    texts = [text(value)[:12] if column.name == "commit" else text(value) for value in distinct]
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _last_errors(curves: pd.DataFrame) -> pd.DataFrame:
    """The error at the end of each curve, by run and split."""
    valued = curves[curves["error"].notna()].sort_values("iteration", kind="stable")
    last = valued.drop_duplicates(["run_id", "split"], keep="last")
    return last.pivot(index="run_id", columns="split", values="error")


def _columns(table: pd.DataFrame, errors: pd.DataFrame) -> Iterator[tuple[tuple[str, str], list[tuple[Any, str]]]]:
    """Name, kind and cells of each column. What all runs share has none."""
    yield ("run", "text"), _texts(table["label"])
    yield ("seed", "number"), _numbers(table["seed"], "{:.0f}".format)
    further = [name for name in (*OBSERVED, "device", "host") if name in table and table[name].map(text).nunique() > 1]
    for name in [*varying(table), *further]:
        yield (short(name), "text"), _texts(table[name])
    yield ("state", "text"), _texts(table["state"])
    if "iteration" in table:
        yield ("iteration", "number"), _numbers(table["iteration"], "{:,.0f}".format)
    training = "train_clean" if "train_clean" in errors else "train"
    for split, name in ((training, "training error (%)"), ("test", "test error (%)")):
        if split in errors:
            yield (name, "number"), _numbers(table["run_id"].map(errors[split]), "{:.2f}".format)
    if "seconds" in table:
        yield ("training time", "number"), _numbers(table["seconds"], duration)
    if "message" in table and table["message"].fillna("").ne("").any():
        yield ("message", "text"), _texts(table["message"].fillna(""))


def _texts(column: pd.Series) -> list[tuple[Any, str]]:
    return [(shown, shown) for shown in column.map(text)]


def _numbers(column: pd.Series, how: Callable[[float], str]) -> list[tuple[Any, str]]:
    values = pd.to_numeric(column).astype("Float64").to_numpy(float, na_value=np.nan).tolist()
    return [(value, how(value)) if np.isfinite(value) else ("", "–") for value in values]


def text(value: Any) -> str:
    """A field's value for people."""
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(text, value)) or "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return "–" if pd.isna(value) else exact(value)
