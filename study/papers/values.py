"""What the papers report, and the protocol that each number belongs to.

A value is only ever set beside runs that were trained by its protocol on its data set: `match` says which those are,
`deviations` in words why others are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from study.config.differences import VARIANT
from study.text import listed

EXACT = ("fp32", "tf32")
"""Precisions that count as the papers', which name none."""
USUAL: dict[str, Any] = {
    "family": "cifar", "family.width": 1, "block": "basic", "order": "original", "norm": "batch", "activation": "relu",
    "initialisation": "he_fan_in",
}  # fmt: skip
"""What a value's network is where the value says nothing else; a field of `VARIANT` that is not here is not set."""


ORDERS = {
    "original": "original",
    "bn_after_add": "BN after addition",
    "relu_before_add": "ReLU before addition",
    "relu_only_pre": "ReLU-only pre-activation",
    "pre": "full pre-activation",
}
SHORTCUTS = {
    "B": "1×1 conv between stages",
    "C": "1×1 conv",
    "projection": "projection",
    "scaled": "scaled",
    "exclusive_gate": "exclusive gate",
    "shortcut_gate": "shortcut-only gate",
    "dropout": "dropout",
}
"""What I16 calls our shortcuts and orders."""


@dataclass(frozen=True)
class Protocol:
    """How a paper trained: data set and recipe; `where` is the section that says so."""

    paper: str
    where: str
    dataset: str
    recipe: str
    changes: tuple[str, ...] = ("",)
    """What `recipe_changes` may say of a run that still follows the paper; a value's `rate` says more."""
    statistic: str = "one run"
    """What a value is over runs."""
    remarks: tuple[str, ...] = ()
    """What the recipe had to choose, because the paper does not say it or we do otherwise."""
    alike: tuple[tuple[str, Any, str], ...] = ()
    """Fields of the recipe that may have another value than it says, that value, and what is remarked of such runs."""


ONE_DEVICE = (("bn_groups", 1, "BN sees the whole batch, as on one GPU; the paper trains on two, with 64 images each"),)
R15 = Protocol(
    "He et al. 2015", "section 4.2", "cifar10", "he2015_cifar", alike=ONE_DEVICE,
    remarks=("every network of 110 layers or more warms up, plain ones too; the paper warms up its ResNet-110 alone",),
)  # fmt: skip
R15_IMAGENET = Protocol(
    "He et al. 2015", "section 3.4", "imagenet", "he2015_imagenet",
    remarks=("the rate falls where the running training error has not improved for five epochs; the paper does not say "
             "which error has to come to a plateau, nor for how long",),
)  # fmt: skip
I16 = Protocol(
    "He et al. 2016", "section 3 and appendix", "cifar10", "he2016_cifar", statistic="median of 5 runs", alike=ONE_DEVICE,
)  # fmt: skip
I16_CIFAR100 = replace(I16, where="appendix", dataset="cifar100")
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
    rate: float | None = None
    """The learning rate, where it is not the recipe's."""
    test: str = ""
    """The probe that tests as the paper did; empty for the single view of each image."""
    top5: float | None = None


def _table6() -> Iterator[Value]:
    for depth, error in {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97}.items():
        yield Value("table 6", R15, "residual", depth, error)
    yield Value("table 6", R15, "residual", 110, 6.61, 0.16)  # mean and spread of 5; the best is 6.43
    yield Value("table 6", R15, "residual", 1202, 7.93)


def _figure6() -> Iterator[Value]:
    read_off = {20: (9.6, (1.0, 1.5)), 32: (10.1, (1.0, 1.5)), 44: (11.3, (2.0, 3.0)), 56: (13.2, (5.0, 6.0))}
    for depth, (error, train) in read_off.items():
        yield Value("figure 6", R15, "plain", depth, error, train=train, digitised=True)


def _imagenet() -> Iterator[Value]:
    """Tables 2 and 3: top-1, and where given top-5, over ten crops; table 4: single models at five scales."""
    deep = {"block": "bottleneck", "block.stride_in": "1x1", "shortcut": "B"}
    kinds: dict[str, dict[str, Any]] = {"A": {}, "B": {"shortcut": "B"}, "C": {"shortcut": "C"}, "deep": deep}

    def value(table: str, network: str, depth: int, kind: str, errors: tuple[float, float | None], test: str) -> Value:
        fields = {"family": "imagenet", "family.stem": "imagenet"} | kinds[kind]
        return Value(table, R15_IMAGENET, network, depth, errors[0], fields=fields, test=test, top5=errors[1])

    yield value("table 2", "plain", 18, "A", (27.94, None), "ten_crop")
    yield value("table 2", "residual", 18, "A", (27.88, None), "ten_crop")
    yield value("table 3", "plain", 34, "A", (28.54, 10.02), "ten_crop")
    for depth, kind, ten_crop, scales in (
        (34, "A", (25.03, 7.76), None), (34, "B", (24.52, 7.46), (21.84, 5.71)), (34, "C", (24.19, 7.40), (21.53, 5.60)),
        (50, "deep", (22.85, 6.71), (20.74, 5.25)), (101, "deep", (21.75, 6.05), (19.87, 4.60)),
        (152, "deep", (21.43, 5.71), (19.38, 4.49)),
    ):  # fmt: skip
        yield value("table 3", "residual", depth, kind, ten_crop, "ten_crop")
        if scales is not None:
            yield value("table 4", "residual", depth, kind, scales, "multi_scale")


def _i16_table1() -> Iterator[Value]:
    def value(error: float | None, **fields: Any) -> Value:
        return Value("table 1", I16, "residual", 110, error, fields=fields)

    yield value(6.61)
    for shortcut, branch, error in ((0.0, 1.0, None), (0.5, 1.0, None), (0.5, 0.5, 12.35)):
        yield value(error, **{"shortcut": "scaled", "shortcut.scale": shortcut, "shortcut.branch": branch})
    for bias, error in ((0.0, None), (-5.0, None), (-6.0, 8.70), (-7.0, 9.81)):
        yield value(error, **{"shortcut": "exclusive_gate", "shortcut.bias": bias})
    for bias, error in ((0.0, 12.86), (-6.0, 6.91)):
        yield value(error, **{"shortcut": "shortcut_gate", "shortcut.bias": bias})
    yield value(12.22, shortcut="C")
    yield value(None, **{"shortcut": "dropout", "shortcut.rate": 0.5})


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
    """I16, appendix: bottlenecks have projections between the stages, "with pre-activation" where that is used."""
    return {"block": "bottleneck", "block.stride_in": "1x1", "order": order, "shortcut": "projection"}


def _l18_figure5() -> Iterator[Value]:
    for depth, residual, plain in ((20, 7.37, 8.18), (56, 5.89, 13.31), (110, 5.79, 16.44)):
        yield Value("figure 5", L18, "residual", depth, residual, fields={"shortcut": "B"})
        yield Value("figure 5", L18, "plain", depth, plain, rate=None if depth == 20 else 0.01)


VALUES: dict[str, tuple[Value, ...]] = {
    "table6": tuple(_table6()),
    "fig6": (*_table6(), *_figure6()),
    "imagenet": tuple(_imagenet()),
    "i16_table1": tuple(_i16_table1()),
    "i16_table2": tuple(_i16_table2()),
    "i16_table3": tuple(_i16_table3()),
    "l18_fig5": tuple(_l18_figure5()),
}
"""The papers' numbers, by the table or figure of ours that shows them. Test errors, in percent."""


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
    """Whether each run is of the network that the value is of, and was trained by its protocol."""
    same = is_network(runs, value)
    if not same.any():
        return same
    same &= followed(runs, value.protocol)
    if value.rate is None:
        return same & (_changes(runs, value.protocol) == "")
    rates = runs["recipe.learning_rate"] if "recipe.learning_rate" in runs else pd.Series(None, index=runs.index)
    return same & (pd.to_numeric(rates) == value.rate)


def is_network(runs: pd.DataFrame, value: Value) -> pd.Series:
    """Whether each run is of the network that the value is of, however it was trained."""
    deep = (runs["depth"] == value.depth).fillna(False).astype(bool)
    return deep & of_kind(runs, value.network, value.fields) if deep.any() else deep


def of_kind(runs: pd.DataFrame, network: str, fields: Mapping[str, Any] | None = None) -> pd.Series:
    """Whether each run is of this network, of whatever depth, and in all but these fields `USUAL` with option A."""
    same = runs["network"] == network
    wanted = USUAL | ({"shortcut": "A"} if network == "residual" else {}) | dict(fields or {})
    for name in VARIANT:
        column = runs[name] if name in runs else pd.Series(None, index=runs.index, dtype=object)
        same &= column == wanted[name] if name in wanted else column.isna()
    return same.fillna(False).astype(bool)


def remarks(runs: pd.DataFrame, protocol: Protocol) -> list[str]:
    """What has to be said of runs that follow a protocol: where the recipe had to choose, and where they differ but count.

    Parameters
    ----------
    runs
        As for `deviations`.
    """
    mine = runs[runs["recipe"] == protocol.recipe]
    further = [remark for name, value, remark in protocol.alike if _has(mine, name, value).any()]
    return [*protocol.remarks, *further] if len(mine) else []


def _changes(runs: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """The changed fields of each run's recipe, without those whose value counts as the paper's, too."""
    changes = runs["recipe_changes"].fillna("").map(str)
    for name, value, _ in protocol.alike:
        fewer = changes.map(lambda text, name=name: ", ".join(field for field in text.split(", ") if field != name))
        changes = changes.mask(_has(runs, name, value), fewer)
    return changes


def _has(runs: pd.DataFrame, name: str, value: Any) -> pd.Series:
    """Whether each run's recipe is known to have this value."""
    column = f"recipe.{name}"
    return (runs[column] == value).fillna(False).astype(bool) if column in runs else pd.Series(False, index=runs.index)
