"""From the collected frames to what every figure needs: labelled runs, their curves, the header and the notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from study.errors import StudyError

NETWORKS = ("plain", "residual")  # the order of panels and lines
CURVE_COLUMNS = ("run_id", "iteration", "split", "error", "lr")
RUN_COLUMNS = (
    "run_id", "point_id", "network", "family", "depth", "dataset", "recipe", "train_subset", "precision", "seed",
    "state",
)  # fmt: skip
CONDITION = ("dataset", "recipe", "train_subset", "precision")  # runs that share these share a row of panels
VARIANT = ("family", "block", "shortcut", "stem", "width")  # what tells networks of one depth apart
WORDS = {"family": "{} family", "stem": "{} stem", "width": "×{}"}
FAMILIES = {"cifar": "CIFAR", "imagenet": "ImageNet"}

# A run that is not done is named on the figure under its state, or under the last word for any other state.
ABSENT = ("diverged", "failed", "running", "interrupted", "missing")


class Tidy(NamedTuple):
    """The frames, checked and labelled.

    `runs` has one row per planned run and, beside its fields, `condition` (the title of its row of panels, empty where
    there is one row only) and `label` (its depth, and what else tells it apart). `curves` has one row per
    (run, iteration, split) with finite error, in percent, and the run's fields joined on.
    """

    curves: pd.DataFrame
    runs: pd.DataFrame
    title: str
    subtitle: str
    notes: list[str]


def tidy(curves: pd.DataFrame, runs: pd.DataFrame | None) -> Tidy:
    """Check the frames and label the runs.

    Raises
    ------
    StudyError
        A frame that lacks columns, or no curve at all.
    """
    _require(curves, CURVE_COLUMNS if runs is not None else CURVE_COLUMNS + RUN_COLUMNS, "curves")
    runs = _planned(curves, runs)
    values = curves.loc[curves["error"].notna(), [*CURVE_COLUMNS]]
    if values.empty:
        raise StudyError(f"nothing to draw: none of the {len(runs)} runs has been evaluated yet")
    words = _condition_words(runs)
    common = {field: texts.iloc[0] for field, texts in words.items() if texts.nunique() == 1}
    runs["condition"] = _joined([texts for field, texts in words.items() if field not in common], runs.index)
    runs["label"] = _labels(runs)
    fields = [column for column in runs.columns if column not in ("iteration", "iterations")]
    merged = values.merge(runs[fields], on="run_id").sort_values(["run_id", "split", "iteration"])
    title = common.pop("dataset", "")
    subtitle = " · ".join(text for text in common.values() if text)
    return Tidy(merged.reset_index(drop=True), runs, title, subtitle, _notes(runs))


def final_values(evidence: Tidy) -> pd.DataFrame:
    """The last iteration's error of every run that is done: one row per (run, split)."""
    done = evidence.curves[evidence.curves["state"] == "done"]
    return done.sort_values("iteration", kind="stable").groupby(["run_id", "split"], as_index=False).tail(1)


def _require(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise StudyError(f"the {name} frame lacks {', '.join(absent)}; it is what `study collect` writes")


def _planned(curves: pd.DataFrame, runs: pd.DataFrame | None) -> pd.DataFrame:
    """One row per run, also for a run that has a curve but is not in the plan."""
    reached = curves.groupby("run_id")["iteration"].max()
    if runs is None:
        known = curves.drop(columns="iteration")
    else:
        _require(runs, RUN_COLUMNS, "runs")
        strangers = set(reached.index) - set(runs["run_id"])
        if strangers:
            raise StudyError(f"curves of {len(strangers)} runs that the runs frame does not list: {min(strangers)}")
        known = runs
    wanted = [
        *RUN_COLUMNS,
        *(c for c in (*VARIANT, "recipe_changes", "iteration", "iterations") if c not in RUN_COLUMNS),
    ]
    table = known.drop_duplicates("run_id").reindex(columns=wanted).astype(object)
    table["iteration"] = pd.to_numeric(table["iteration"]).fillna(table["run_id"].map(reached)).fillna(0)
    table[["depth", "seed"]] = table[["depth", "seed"]].astype(int)
    return table.sort_values(["dataset", "recipe", "depth", "network", "point_id", "seed"], ignore_index=True)


def _condition_words(runs: pd.DataFrame) -> dict[str, pd.Series]:
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


def _labels(runs: pd.DataFrame) -> pd.Series:
    """The depth, and where several points of a panel share it, the fewest further fields that tell them apart."""
    groups = runs.groupby(["condition", "network", "depth"])
    more = pd.concat([distinguish(group, "point_id") for _, group in groups]).reindex(runs.index)
    return _joined([runs["depth"].map(str), more], runs.index, " ")


def distinguish(frame: pd.DataFrame, key: str, fields: Iterable[str] = VARIANT) -> pd.Series:
    """For each row the fewest field values that tell its `key` from the others; the key's tail as a last resort."""
    texts = pd.Series("", index=frame.index, dtype=object)
    wanted = frame[key].nunique()
    for field in fields:
        if texts.nunique() == wanted:
            return texts
        longer = _joined([texts, frame[field].map(lambda v, field=field: _word(field, v))], frame.index, " ")
        if longer.nunique() > texts.nunique():
            texts = longer
    if texts.nunique() < wanted:
        texts = _joined([texts, frame[key].map(lambda v: str(v)[-4:])], frame.index, " ")
    return texts


def _word(field: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    return WORDS.get(field, "{}").format(FAMILIES.get(str(value), value) if field == "family" else value)


def _joined(parts: Sequence[pd.Series], index: pd.Index, glue: str = " · ") -> pd.Series:
    rows = zip(*parts, strict=True) if parts else ((),) * len(index)
    return pd.Series([glue.join(text for text in row if text) for row in rows], index=index, dtype=object)


def _notes(runs: pd.DataFrame) -> list[str]:
    """One sentence per kind of absence that names every run without a final value."""
    lines = []
    states = runs["state"].map(lambda state: state if state in ("done", *ABSENT) else ABSENT[-1])
    for word in ABSENT:
        absent = runs[states == word]
        if not absent.empty:
            mark = " (×)" if word == "diverged" else ""
            lines.append(f"{word}{mark}: " + "; ".join(_named(absent, word not in ("failed", "missing"))))
    return lines


def _named(runs: pd.DataFrame, with_iteration: bool) -> Iterator[str]:
    keys = ["condition", "network", "label", *(["iteration"] if with_iteration else [])]
    for _, group in runs.groupby(keys, sort=False):
        run = group.iloc[0]
        where = f" ({run['condition']})" if run["condition"] else ""
        seeds = ", ".join(map(str, group["seed"]))
        when = f" at iteration {int(run['iteration']):,}" if with_iteration else ""
        yield f"{run['network']}-{run['label']}{where} seed{'s' if len(group) > 1 else ''} {seeds}{when}"


def in_order(networks: Iterable[str]) -> list[str]:
    """Networks in the order of panels: plain first, unknown ones last."""
    present = set(networks)
    return [n for n in NETWORKS if n in present] + sorted(present - set(NETWORKS))
