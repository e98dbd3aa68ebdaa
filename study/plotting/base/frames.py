"""From the collected frames to what every figure needs: labelled runs, their curves, the header and the notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import pandas as pd

from study.errors import StudyError
from study.papers.values import Protocol
from study.plotting.base.caption import caption
from study.plotting.base.drops import drops
from study.stats.naming import NETWORKS, absences, condition_words, distinguish, joined, kinds, network_name
from study.stats.planned import CURVE_COLUMNS, planned

NAMES = ["run_id", "point_id", "condition", "network", "label", "state"]
ON_CURVES = [*NAMES, "depth", "seed"]
"""The fields of a run that stand on each row of its curves: all of them take many times the room of the curves."""


class Tidy(NamedTuple):
    """The frames, checked and labelled.

    `runs` has one row per planned run and, beside its fields, `condition` (the title of its row of panels, empty where
    there is one row only) and `label` (its depth, and what else tells it apart). `curves` has one row per
    (run, split, iteration), in that order, with finite error, in percent, and `ON_CURVES` of its run joined on; texts are
    categorical, since those of a million rows take half a gigabyte. `drops` has one row per (run, iteration) after which the
    learning rate is lower.
    """

    curves: pd.DataFrame
    runs: pd.DataFrame
    drops: pd.DataFrame
    title: str
    subtitle: str
    notes: list[str]

    def caption(self, shows: str, paper: Protocol | None = None) -> str:
        """The text under a figure; see `study.plotting.base.caption.caption`."""
        return caption(shows, named(self.runs), protocol=(self.title, self.subtitle), notes=self.notes, paper=paper)


_kept: ContextVar[dict[tuple[int, int], tuple[Any, Any, Tidy]] | None] = ContextVar("kept", default=None)


@contextmanager
def tidied_once() -> Iterator[None]:
    """Check and label equal frames once in this context, in which nobody changes them: for a report of many figures."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def tidy(curves: pd.DataFrame, runs: pd.DataFrame | None) -> Tidy:
    """Check the frames and label the runs."""
    kept = _kept.get()
    if kept is None:
        return _tidied(curves, runs)
    key = (id(curves), id(runs))
    if key not in kept:
        kept[key] = (curves, runs, _tidied(curves, runs))  # with the frames, so that no other has their ids
    return kept[key][2]


def _tidied(curves: pd.DataFrame, runs: pd.DataFrame | None) -> Tidy:
    runs = planned(curves, runs)
    curves = curves[[name for name in (*CURVE_COLUMNS, "loss") if name in curves]]
    if curves["error"].isna().all():
        raise StudyError(f"nothing to draw: none of the {len(runs)} runs has been evaluated yet")
    runs, title, subtitle = labelled(runs)
    labels = runs[ON_CURVES].astype(dict.fromkeys(NAMES, "category"))
    known = curves[curves["run_id"].isin(runs["run_id"])]
    curves = known.astype({"run_id": labels["run_id"].dtype, "split": "category"})
    curves = curves.sort_values(["run_id", "split", "iteration"], ignore_index=True)
    values = curves[curves["error"].notna()].merge(labels, on="run_id")
    return Tidy(values, runs, drops(curves, runs), title, subtitle, absences(runs))


def labelled(runs: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """The planned runs with `condition` and `label` (see `Tidy`), and the title and subtitle of what they share."""
    words = condition_words(runs)
    common = {field: texts.iloc[0] for field, texts in words.items() if texts.nunique() == 1}
    differing = [texts for field, texts in words.items() if field not in common]
    runs = runs.assign(condition=joined(differing, runs.index), label=labels_of)
    title = common.pop("dataset", "")
    return runs, title, " · ".join(text for text in common.values() if text)


def final_values(evidence: Tidy) -> pd.DataFrame:
    """The last iteration's error of every run that is done: one row per (run, split)."""
    done = evidence.curves[evidence.curves["state"] == "done"]
    return uncoded(done.drop_duplicates(["run_id", "split"], keep="last"))


def uncoded(frame: pd.DataFrame) -> pd.DataFrame:
    """With texts in place of categories."""
    coded = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(coded, object))


def labels_of(runs: pd.DataFrame) -> pd.Series:
    """The depth, and where several kinds of network share it, the fewest further fields that tell them apart."""
    alike = runs.assign(kind=kinds(runs)).groupby(["network", "depth"])
    more = pd.concat([distinguish(group, "kind") for _, group in alike]).reindex(runs.index)
    # Points that no field of the frame tells apart.
    alike = runs.assign(more=more).groupby(["condition", "network", "depth", "more"])
    rest = pd.concat([distinguish(group, "point_id", ()) for _, group in alike]).reindex(runs.index)
    return joined([runs["depth"].map(str), more, rest], runs.index, " ")


def restricted(evidence: Tidy, runs: pd.DataFrame, what: str) -> Tidy:
    """The evidence of these of its runs alone, with a note that names the others. `what` these are, for the refusal."""
    curves = evidence.curves[evidence.curves["run_id"].isin(runs["run_id"])]
    if curves.empty:
        raise StudyError(f"nothing to draw: there are no {what}, or none of them has been evaluated yet")
    others = named(evidence.runs[~evidence.runs["run_id"].isin(runs["run_id"])])["name"].unique()
    left_out = [f"left out: {', '.join(others)}"] if len(others) else []
    return evidence._replace(curves=curves, runs=runs.reset_index(drop=True), notes=[*absences(runs), *left_out])


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """With `name`, such as `plain-56` or `ResNet-20 B`, for a caption."""
    return runs.assign(name=list(map(network_name, runs["network"], runs["label"])))


def conditions_of(evidence: Tidy, drawn: pd.Series) -> list[str]:
    """The conditions of what is drawn, in the order of the runs."""
    present = set(drawn.dropna().unique())
    return [condition for condition in evidence.runs["condition"].unique() if condition in present]


def in_order(networks: Iterable[str]) -> list[str]:
    """Networks in the order of panels: plain first, unknown ones last."""
    present = set(networks)
    return [network for network in NETWORKS if network in present] + sorted(present - set(NETWORKS))
