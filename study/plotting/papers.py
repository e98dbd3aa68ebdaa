"""What the papers report, and the protocol that each number belongs to.

A value is only ever set beside runs that were trained by its protocol on its data set: `match` says which those are,
`deviations` in words why others are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from study.plotting.phrases import listed
from study.stats.naming import VARIANT

EXACT = ("fp32", "tf32")
"""Precisions that count as the papers', which name none."""
USUAL: dict[str, Any] = {
    "family": "cifar", "block": "basic", "order": "original", "stem": "cifar", "width": 1, "initialisation": "he_fan_in",
}  # fmt: skip
"""What a value's network is where the value says nothing else; a field of `VARIANT` that is not here is not set."""


@dataclass(frozen=True)
class Protocol:
    """How a paper trained: data set and recipe; `where` is the section that says so."""

    paper: str
    where: str
    dataset: str
    recipe: str
    changes: tuple[str, ...] = ("",)
    """Of the recipe's fields, as `recipe_changes` names them, that still make it the paper's."""
    statistic: str = "one run"
    """What a value is over runs."""
    remarks: tuple[str, ...] = field(default=())
    """What the recipe had to choose, because the paper does not say it or we do otherwise."""


R15 = Protocol(
    "He et al. 2015", "section 4.2", "cifar10", "he2015_cifar",
    remarks=("every network of 110 layers or more warms up, plain ones too; the paper warms up its ResNet-110 alone",),
)  # fmt: skip
R15_IMAGENET = Protocol(
    "He et al. 2015", "section 3.4", "imagenet", "he2015_imagenet",
    remarks=("the rate falls where the running training error has not improved for five epochs; the paper does not say "
             "which error has to come to a plateau, nor for how long",),
)  # fmt: skip
I16 = Protocol("He et al. 2016", "section 3 and appendix", "cifar10", "he2016_cifar", statistic="median of 5 runs")
I16_CIFAR100 = Protocol("He et al. 2016", "appendix", "cifar100", "he2016_cifar", statistic="median of 5 runs")
L18 = Protocol(
    "Li et al. 2018", "section 5 and appendix", "cifar10", "li2018_cifar", changes=("", "learning_rate"),
    remarks=("the paper's networks with shortcuts have 1x1 convolutions between the stages (option B), and its deep "
             "networks without shortcuts start at a rate of 0.01",),
)  # fmt: skip


class Value(NamedTuple):
    """One number of a paper, in percent of error."""

    source: str
    protocol: Protocol
    network: str
    depth: int
    error: float | None
    """Test error; None where the paper says that the network fails to train (an error above 20 %)."""
    std: float | None = None
    train: tuple[float, float] | None = None
    """Training error, as a range, where it was read off."""
    digitised: bool = False
    """Read off a published picture, to 0.2 points."""
    fields: Mapping[str, Any] = {}
    """Of the network, where it is not `USUAL` with option A."""


def _table6() -> Iterator[Value]:
    for depth, error in {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 1202: 7.93}.items():
        yield Value("table 6", R15, "residual", depth, error)
    yield Value("table 6", R15, "residual", 110, 6.61, 0.16)  # mean and spread of 5; the best is 6.43


def _figure6() -> Iterator[Value]:
    read_off = {20: (9.6, (1.0, 1.5)), 32: (10.1, (1.0, 1.5)), 44: (11.3, (2.0, 3.0)), 56: (13.2, (5.0, 6.0))}
    for depth, (error, train) in read_off.items():
        yield Value("figure 6", R15, "plain", depth, error, train=train, digitised=True)


def _tables_2_and_3() -> Iterator[Value]:
    """ImageNet, top-1, ten crops."""
    family = {"family": "imagenet", "stem": "imagenet"}
    for network, depth, error in (
        ("plain", 18, 27.94), ("plain", 34, 28.54), ("residual", 18, 27.88), ("residual", 34, 25.03),
    ):  # fmt: skip
        yield Value("tables 2 and 3", R15_IMAGENET, network, depth, error, fields=family)
    for option, error in (("B", 24.52), ("C", 24.19)):
        yield Value("table 3", R15_IMAGENET, "residual", 34, error, fields=family | {"shortcut": option})
    deep = family | {"shortcut": "B", "block": "bottleneck", "stride_in": "1x1"}
    for depth, error in {50: 22.85, 101: 21.75, 152: 21.43}.items():
        yield Value("table 3", R15_IMAGENET, "residual", depth, error, fields=deep)


def _i16_table1() -> Iterator[Value]:
    def value(error: float | None, **fields: Any) -> Value:
        return Value("table 1", I16, "residual", 110, error, fields=fields)

    yield value(6.61)
    for shortcut, branch, error in ((0.0, 1.0, None), (0.5, 1.0, None), (0.5, 0.5, 12.35)):
        yield value(error, shortcut="scaled", shortcut_scale=shortcut, branch_scale=branch)
    for bias, error in ((0.0, None), (-5.0, None), (-6.0, 8.70), (-7.0, 9.81)):
        yield value(error, shortcut="exclusive_gate", gate_bias=bias)
    for bias, error in ((0.0, 12.86), (-6.0, 6.91)):
        yield value(error, shortcut="shortcut_gate", gate_bias=bias)
    yield value(12.22, shortcut="C")
    yield value(None, shortcut="dropout", dropout=0.5)


def _i16_table2() -> Iterator[Value]:
    rows = {"original": (6.61, 5.93), "bn_after_add": (8.17, 6.50), "relu_before_add": (7.84, 6.14),
            "relu_only_pre": (6.71, 5.91), "pre": (6.37, 5.46)}  # fmt: skip
    for order, (basic, bottleneck) in rows.items():
        yield Value("table 2", I16, "residual", 110, basic, fields={"order": order})
        yield Value("table 2", I16, "residual", 164, bottleneck, fields=_deep(order))


def _i16_table3() -> Iterator[Value]:
    for order, single, basic in (("original", 9.90, 6.61), ("pre", 8.91, 6.37)):
        yield Value("table 3", I16, "residual", 110, single, fields={"block": "single", "order": order})
        yield Value("table 3", I16, "residual", 110, basic, fields={"order": order})
    for protocol, depth, original, pre in (
        (I16, 164, 5.93, 5.46), (I16, 1001, 7.61, 4.92), (I16_CIFAR100, 164, 25.16, 24.33),
        (I16_CIFAR100, 1001, 27.82, 22.71),
    ):  # fmt: skip
        yield Value("table 3", protocol, "residual", depth, original, fields=_deep("original"))
        yield Value("table 3", protocol, "residual", depth, pre, fields=_deep("pre"))


def _deep(order: str) -> dict[str, Any]:
    return {"block": "bottleneck", "stride_in": "1x1", "order": order}


def _l18_figure5() -> Iterator[Value]:
    for depth, residual, plain in ((20, 7.37, 8.18), (56, 5.89, 13.31), (110, 5.79, 16.44)):
        yield Value("figure 5", L18, "residual", depth, residual, fields={"shortcut": "B"})
        yield Value("figure 5", L18, "plain", depth, plain)


VALUES: dict[str, tuple[Value, ...]] = {
    "table6": tuple(_table6()),
    "fig6": (*_table6(), *_figure6()),
    "imagenet": tuple(_tables_2_and_3()),
    "i16_table1": tuple(_i16_table1()),
    "i16_table2": tuple(_i16_table2()),
    "i16_table3": tuple(_i16_table3()),
    "l18_fig5": tuple(_l18_figure5()),
}
"""The papers' numbers, by the table or figure of ours that shows them."""


def deviations(runs: pd.DataFrame, protocol: Protocol) -> list[str]:
    """In words, what about some of these runs was not trained as the paper says; empty where all follow it.

    Parameters
    ----------
    runs
        A row a run, with the columns of `study.stats.planned.planned`. What their networks are is not looked at.
    """
    words = []
    for name, column, wanted in (
        ("data set", runs["dataset"].map(str), (protocol.dataset,)),
        ("recipe", runs["recipe"].map(str), (protocol.recipe,)),
        ("changed in the recipe:", _changes(runs), protocol.changes),
        ("training images:", runs["train_subset"].map(lambda n: "all" if pd.isna(n) else f"{int(n):,}"), ("all",)),
        ("precision", runs["precision"].map(str), EXACT),
    ):
        others = sorted(set(column) - set(wanted))
        if others:
            instead = "" if name.endswith(":") else f", not {wanted[0]}"
            words.append(f"{name} {listed(others)}{instead}")
    return words


def followed(runs: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Whether each run was trained as the paper says."""
    same = (runs["dataset"] == protocol.dataset) & (runs["recipe"] == protocol.recipe)
    same &= _changes(runs).isin(protocol.changes) & runs["train_subset"].isna()
    return same & runs["precision"].isin(EXACT)


def match(runs: pd.DataFrame, value: Value) -> pd.Series:
    """Whether each run is of the network that the value is of, and was trained by its protocol."""
    return is_network(runs, value) & followed(runs, value.protocol)


def is_network(runs: pd.DataFrame, value: Value) -> pd.Series:
    """Whether each run is of the network that the value is of, however it was trained."""
    same = (runs["network"] == value.network) & (runs["depth"] == value.depth)
    shortcut = {"shortcut": "A"} if value.network == "residual" else {}
    wanted = USUAL | shortcut | dict(value.fields)
    for name in VARIANT:
        column = runs[name] if name in runs else pd.Series(None, index=runs.index, dtype=object)
        same &= column == wanted[name] if name in wanted else column.isna()
    return same.fillna(False).astype(bool)


def _changes(runs: pd.DataFrame) -> pd.Series:
    return runs["recipe_changes"].fillna("").map(str)
