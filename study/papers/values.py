"""The papers' numbers, from `values.yaml`, and which of our runs follow the protocol of each.

A value is set beside runs of its network only if they were trained by its protocol on its data set: `match` selects them,
and `deviations` says why others do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from study.config.differences import VARIANT
from study.text import listed

EXACT = ("fp32", "tf32")
"""Precisions that count as the papers', which name none."""


@dataclass(frozen=True)
class Protocol:
    """How a paper trained; `values.yaml` explains the fields."""

    paper: str
    where: str
    dataset: str
    recipe: str
    changes: tuple[str, ...] = ("",)
    statistic: str = "one run"
    remarks: tuple[str, ...] = ()
    alike: tuple[tuple[str, Any, str], ...] = ()


class Value(NamedTuple):
    """One number of a paper, in percent of error; `values.yaml` explains the fields."""

    source: str
    protocol: Protocol
    network: str
    depth: int
    error: float | None
    std: float | None = None
    train: tuple[float, float] | None = None
    digitised: bool = False
    fields: Mapping[str, Any] = {}
    rate: float | None = None
    test: str = ""
    top5: float | None = None


def _protocol(fields: dict[str, Any]) -> Protocol:
    lists = {name: tuple(fields[name]) for name in ("changes", "remarks") if name in fields}
    alike = tuple((one["field"], one["value"], one["remark"]) for one in fields.get("alike", ()))
    return Protocol(**fields | lists | {"alike": alike})


def _value(fields: dict[str, Any]) -> Value:
    train = tuple(fields["train"]) if "train" in fields else None
    return Value(**fields | {"protocol": PROTOCOLS[fields["protocol"]], "train": train})


_DATA = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
USUAL: dict[str, Any] = _DATA["usual"]
ORDERS: dict[str, str] = _DATA["orders"]
SHORTCUTS: dict[str, str] = _DATA["shortcuts"]
PROTOCOLS = {name: _protocol(fields) for name, fields in _DATA["protocols"].items()}
R15, R15_IMAGENET, I16, I16_CIFAR100, L18 = PROTOCOLS.values()
VALUES = {name: tuple(map(_value, rows)) for name, rows in _DATA["tables"].items()}
"""The papers' test errors, by the table or figure of ours that shows them."""
VALUES["fig6"] = VALUES["table6"] + VALUES["fig6"]


def deviations(runs: pd.DataFrame, protocol: Protocol) -> list[str]:
    """In words, what about some of these runs was not trained as the paper says; empty if all follow it.

    `runs` has the columns of `study.stats.planned.planned`. Their networks do not matter.
    """
    words = []
    for name, column, wanted in (
        ("data set", runs["dataset"].map(str), (protocol.dataset,)),
        ("recipe", runs["recipe"].map(str), (protocol.recipe,)),
        ("changed in the recipe:", _changes(runs, protocol), protocol.changes),
        ("training images:", runs["train_subset"].map(lambda n: "all" if pd.isna(n) else f"{int(n):,}"), ("all",)),
        ("precision", runs["precision"].map(str), EXACT),
    ):
        others = sorted(set(column) - set(wanted))
        if name.startswith("changed"):  # a text has several fields, and several texts one
            others = sorted({field for text in others for field in text.split(", ")})
        if others:
            instead = "" if name.endswith(":") else f", not {wanted[0]}"
            words.append(f"{name} {listed(others)}{instead}")
    return words


def followed(runs: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Whether each run was trained as the paper says."""
    same = (runs["dataset"] == protocol.dataset) & (runs["recipe"] == protocol.recipe)
    same &= _changes(runs, protocol).isin(protocol.changes) & runs["train_subset"].isna()
    return same & runs["precision"].isin(EXACT)


def match(runs: pd.DataFrame, value: Value) -> pd.Series:
    """Whether each run is of the value's network and was trained by its protocol."""
    same = is_network(runs, value)
    if not same.any():
        return same
    same &= followed(runs, value.protocol)
    if value.rate is None:
        return same & (_changes(runs, value.protocol) == "")
    rates = runs["recipe.learning_rate"] if "recipe.learning_rate" in runs else pd.Series(None, index=runs.index)
    return same & (pd.to_numeric(rates) == value.rate)


def is_network(runs: pd.DataFrame, value: Value) -> pd.Series:
    """Whether each run is of the value's network, however it was trained."""
    deep = (runs["depth"] == value.depth).fillna(False).astype(bool)
    return deep & of_kind(runs, value.network, value.fields) if deep.any() else deep


def of_kind(runs: pd.DataFrame, network: str, fields: Mapping[str, Any] | None = None) -> pd.Series:
    """Whether each run is of this kind of network, of any depth: `USUAL` with option A but for these fields."""
    same = runs["network"] == network
    wanted = USUAL | ({"shortcut": "A"} if network == "residual" else {}) | dict(fields or {})
    for name in VARIANT:
        column = runs[name] if name in runs else pd.Series(None, index=runs.index, dtype=object)
        same &= column == wanted[name] if name in wanted else column.isna() | column.eq(False)
    return same.fillna(False).astype(bool)


def remarks(runs: pd.DataFrame, protocol: Protocol) -> list[str]:
    """Remarks on runs that follow a protocol: what the recipe had to choose, and where they differ but count."""
    mine = runs[runs["recipe"] == protocol.recipe]
    further = [remark for name, value, remark in protocol.alike if _has(mine, name, value).any()]
    return [*protocol.remarks, *further] if len(mine) else []


def _changes(runs: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """The changed fields of each run's recipe, without those whose value also counts as the paper's."""
    changes = runs["recipe_changes"].fillna("").map(str)
    for name, value, _ in protocol.alike:
        fewer = changes.map(lambda text, name=name: ", ".join(field for field in text.split(", ") if field != name))
        changes = changes.mask(_has(runs, name, value), fewer)
    return changes


def _has(runs: pd.DataFrame, name: str, value: Any) -> pd.Series:
    """Whether each run's recipe has this value, as far as known."""
    column = f"recipe.{name}"
    return (runs[column] == value).fillna(False).astype(bool) if column in runs else pd.Series(False, index=runs.index)
