"""Tell runs apart that were trained on different images under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from study.errors import StudyError
from study.store.runs import ENDED

if TYPE_CHECKING:
    import pandas as pd

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
