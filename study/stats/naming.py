"""Which fields tell runs apart, and how runs, networks and conditions are called in figures, tables and words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from study.spec.run import BLOCK_OPTIONS, SHORTCUT_OPTIONS

NETWORKS = ("plain", "residual")  # the order of panels, lines and sections
CONDITION = ("dataset", "recipe", "train_subset", "precision")  # runs that share these share a row of panels
VARIANT = ("family", "block", *BLOCK_OPTIONS, "shortcut", *SHORTCUT_OPTIONS, "order", "stem", "width", "initialisation",
           "start_from")  # fmt: skip
"""What tells networks of one depth apart."""
KEPT = ("snapshot_every",)
"""What is kept of a run, and changes nothing of it: runs that differ in these alone are the same experiment."""
WORDS = {
    "family": "{} family",
    "stride_in": "stride in {}",
    "shortcut_scale": "shortcut ×{:g}",
    "branch_scale": "branch ×{:g}",
    "gate_bias": "bias {:g}",
    "dropout": "{:g}",
    "stem": "{} stem",
    "width": "×{}",
    "start_from": "from {}",
}
FAMILIES = {"cifar": "CIFAR", "imagenet": "ImageNet", "vgg": "VGG"}

# A run that is not done is named under its state, or under the last word for any other state.
ABSENT = ("diverged", "failed", "running", "interrupted", "missing")


def condition_words(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """For each field of the condition, the text that a header shows for it; nothing where it goes without saying."""
    words = {field: runs[field].map(str) for field in ("dataset", "recipe")}
    changes = runs["recipe_changes"].fillna("").map(str)
    words["recipe"] += changes.map(lambda names: f" (changed: {names})" if names else "")
    words["train_subset"] = runs["train_subset"].map(
        lambda count: "all training images" if pd.isna(count) else f"{int(count):,} training images"
    )
    words["precision"] = runs["precision"].map(str)
    for field, usual in (("train_subset", "all training images"), ("precision", "fp32")):
        if (words[field] == usual).all():
            words[field] = words[field].map(lambda _: "")
    return words


def distinguish(frame: pd.DataFrame, key: str, fields: Iterable[str] = VARIANT) -> pd.Series:
    """For each row the fewest field values that tell its `key` from the others; the key's tail as a last resort."""
    texts = pd.Series("", index=frame.index, dtype=object)
    wanted = frame[key].nunique()
    for field in fields:
        if texts.nunique() == wanted:
            return texts
        longer = joined([texts, frame[field].map(lambda v, field=field: _word(field, v))], frame.index, " ")
        if longer.nunique() > texts.nunique():
            texts = longer
    if texts.nunique() < wanted:
        texts = joined([texts, frame[key].map(lambda v: str(v)[-4:])], frame.index, " ")
    return texts


def _word(field: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if field == "family":
        value = FAMILIES.get(value, value)
    return WORDS.get(field, "{}").format(value)


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
            mark = " (×)" if word == "diverged" else ""
            lines.append(f"{word}{mark}: " + "; ".join(run_names(absent, word not in ("failed", "missing"))))
    return lines


def run_names(runs: pd.DataFrame, with_iteration: bool = False) -> Iterator[str]:
    """`plain-20 seeds 0, 1` for each point; of the same columns as `absences`."""
    keys = ["condition", "network", "label", *(["iteration"] if with_iteration else [])]
    for _, group in runs.groupby(keys, sort=False):
        run = group.iloc[0]
        where = f" ({run['condition']})" if run["condition"] else ""
        seeds = ", ".join(map(str, group["seed"]))
        when = f" at iteration {int(run['iteration']):,}" if with_iteration else ""
        yield f"{run['network']}-{run['label']}{where} seed{'s' if len(group) > 1 else ''} {seeds}{when}"
