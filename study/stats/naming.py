"""Which fields distinguish runs, and the names of runs, networks and conditions in figures, tables and text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pandas as pd

from study.config import differences, run
from study.config.differences import TRAINED, USUAL, VARIANT, short, text
from study.config.stored import labels
from study.store.runs import LOST

NETWORKS = ("plain", "residual")  # the order of panels, lines and sections
WORDS = {"family": "{} family", "start_from": "from {}", "zero_gamma": "zero-gamma", **labels(),
         "recipe.stochastic_depth": "stochastic depth {}", "norm": "{} norm"}  # fmt: skip
FAMILIES = {"cifar": "CIFAR", "imagenet": "ImageNet", "vgg": "VGG"}

# A run that is not done is listed under its state; any other state counts as the last word.
ABSENT = (*LOST, "failed", "running", "interrupted", "missing")
ENDS = {"diverged": "diverged", "at_chance": "stopped at chance"}


def lost(states: Iterable[str]) -> str:
    """How runs of these states ended without a final error: `diverged`, `stopped at chance`, or both with `or`."""
    found = set(states)
    return " or ".join(words for state, words in ENDS.items() if state in found)


_families: ContextVar[tuple[str, ...]] = ContextVar("families", default=())


@contextmanager
def naming(families: Iterable[Any]) -> Iterator[None]:
    """Have `network_title` name networks of these families in this context."""
    token = _families.set(tuple(dict.fromkeys(map(str, families))))
    try:
        yield
    finally:
        _families.reset(token)


def network_title(network: str, *families: str) -> str:
    """`plain`, `ResNet`: as the papers call a network, with its depth `ResNet-56`.

    `plain mixer`, if all of these families, by default those of `naming`, are the user's own `mixer`. A network that was
    trained elsewhere has a name of its own.
    """
    families = families or _families.get()
    if network not in NETWORKS:
        return str(network)
    if FAMILIES.keys() >= set(families):
        return "ResNet" if network == "residual" else str(network)
    return run.network_title(network, families[0]) if len(families) == 1 else str(network)


def network_name(network: str, label: Any, *families: str) -> str:
    """`plain-56`, `ResNet-20 B`: the network with its depth and what else its `label` has; its own name needs no depth."""
    name = network_title(network, *families)
    return f"{name}-{label}" if network in NETWORKS else " ".join([name, *str(label).split(" ")[1:]])


def texts(runs: pd.DataFrame, fields: Iterable[str] = TRAINED) -> dict[str, list[str]]:
    """For each of these fields that the frame has, the text of its value in each row."""
    nothing = ["none"] * len(runs)  # most options are of components that no run has
    return {
        field: nothing if runs[field].isna().all() else differences.texts(runs[field])
        for field in fields
        if field in runs
    }


def varying(runs: pd.DataFrame) -> list[str]:
    """The fields in which these runs were trained differently, without those of their networks."""
    changed = {name for names in _changes(runs) for name in names}
    return differences.varying(texts(runs), changed)


def _changes(runs: pd.DataFrame) -> list[list[str]]:
    """The fields in which each run's recipe is not the named one."""
    column = runs["recipe_changes"] if "recipe_changes" in runs else [""] * len(runs)
    return [[name for name in text(value).split(", ") if name not in ("", "none")] for value in column]


def condition_words(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """How each run was trained, in words for a header, by field; empty for what goes without saying.

    Data set, recipe and its changes, training images, precision, and each further field in which some runs differ. So runs
    with the same words differ only in network, seed, or what is kept.
    """
    further = [field for field in varying(runs) if field not in ("dataset", "recipe", "train_subset", "precision")]
    known = texts(runs, (*TRAINED, *VARIANT))
    apart = [field for field in VARIANT if len(set(known.get(field, ()))) > 1]  # which a network's name has
    words = {"dataset": known["dataset"], "recipe": _recipes(runs, known, [*further, *apart])}
    count = [f"{int(n):,} training images" if n != "none" else "all training images" for n in known["train_subset"]]
    words["train_subset"] = [""] * len(count) if set(count) == {"all training images"} else count
    words["precision"] = [""] * len(count) if set(known["precision"]) == {"fp32"} else known["precision"]
    words |= {field: [f"{short(field)} {value}" for value in known[field]] for field in further}
    return {field: pd.Series(column, index=runs.index, dtype=object) for field, column in words.items()}


def _recipes(runs: pd.DataFrame, known: Mapping[str, Sequence[str]], told: Sequence[str]) -> list[str]:
    """`quick (changed: momentum 0.8)`: each run's recipe, and its changes other than the fields in `told`."""
    names, unknown = [], ["none"] * len(runs)  # a frame may lack a field
    for place, (name, changes) in enumerate(zip(known["recipe"], _changes(runs), strict=True)):
        fields = {change: f"recipe.{change}" for change in changes}
        values = {change: known.get(field, unknown)[place] for change, field in fields.items() if field not in told}
        words = [change if value == "none" else f"{change} {value}" for change, value in values.items()]
        names.append(name + (f" (changed: {', '.join(words)})" if words else ""))
    return names


def distinguish(frame: pd.DataFrame, key: str, fields: Iterable[str] = VARIANT) -> pd.Series:
    """For each row the fewest field values that distinguish its `key` from others; the key's tail as a last resort."""
    words: dict[str, pd.Series] = {}
    told = pd.Series("", index=frame.index, dtype=object)
    wanted = frame[key].nunique()
    for field in fields:
        if told.nunique() == wanted:
            break
        own = frame[field].map(lambda v, field=field: _word(field, v))
        longer = joined([told, own], frame.index, " ")
        if longer.nunique() > told.nunique():
            told, words[field] = longer, own.where(frame[field] != USUAL.get(field), "")
    if len({field.partition(".")[0] for field in words}) > 2:  # of so many choices the usual ones go without saying
        brief = joined([*words.values()], frame.index, " ")
        told = brief if brief.nunique() == told.nunique() else told
    if told.nunique() < wanted:
        told = joined([told, frame[key].map(lambda v: str(v)[-4:])], frame.index, " ")
    return told


def kinds(runs: pd.DataFrame, fields: Sequence[str] = VARIANT) -> pd.Series:
    """The values of these fields as one text for each row: the same for networks of one kind."""
    columns = texts(runs, fields).values()
    return pd.Series([repr(row) for row in zip(*columns, strict=True)], index=runs.index, dtype=object)


def _word(field: str, value: Any) -> str:
    if text(value) in ("none", "false"):
        return "no norm" if (field, value) == ("norm", "none") else ""
    return WORDS.get(field, "{}").format(FAMILIES.get(value, value) if field == "family" else text(value))


def joined(parts: Sequence[pd.Series], index: pd.Index, glue: str = " · ") -> pd.Series:
    """The texts of each row as one, without the empty ones."""
    rows = zip(*parts, strict=True) if parts else ((),) * len(index)
    return pd.Series([glue.join(text for text in row if text) for row in rows], index=index, dtype=object)


def absences(runs: pd.DataFrame) -> list[str]:
    """One sentence per kind of absence that names every run without a final value.

    `runs` has one row per run: network, label, condition, seed, state, iteration.
    """
    lines = []
    states = runs["state"].map(lambda state: state if state in ("done", *ABSENT) else ABSENT[-1])
    for word in ABSENT:
        absent = runs[states == word]
        if not absent.empty:
            mark = " (×)" if word in LOST else ""
            lines.append(
                f"{ENDS.get(word, word)}{mark}: " + "; ".join(run_names(absent, word not in ("failed", "missing")))
            )
    return lines


def run_names(runs: pd.DataFrame, with_iteration: bool = False) -> Iterator[str]:
    """`plain-20 seeds 0, 1` for each point; of the same columns as `absences`."""
    keys = ["condition", "network", "label", *(["iteration"] if with_iteration else [])]
    for _, group in runs.groupby(keys, sort=False):
        one = group.iloc[0]
        where = f" ({one['condition']})" if one["condition"] else ""
        seeds = ", ".join(map(str, group["seed"]))
        when = f" at iteration {int(one['iteration']):,}" if with_iteration else ""
        yield f"{network_name(one['network'], one['label'])}{where} seed{'s' if len(group) > 1 else ''} {seeds}{when}"
