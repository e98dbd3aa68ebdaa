"""Runs of one name and other images: the images of a data set may change between the runs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from study.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

ONE_SET = ("data", "data.folder", "data.image_size", "train_subset", "train_subset_seed")
"""The fields of a run that name what it is trained on."""
ENDED = ("done", "diverged")


def told_apart(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, those of other images under another name: `dataset` is `pets (images 3fa9c1d2)`, `point_id` ends likewise.

    So they are another condition wherever runs are sorted, averaged or paired. Nothing changes where all runs of a data set
    have one `data_digest`. A run that was not begun counts to the images that were trained on last; one that was
    collected before digests were, likewise where its data set is none of the user's own, else to images of its own, `unknown`.

    Parameters
    ----------
    runs
        As `study.read_runs`: a row a run.
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
    """Raise StudyError where two rows are of one run, trained on different images in two results folders."""
    counts = runs.groupby("run_id")["data_digest"].nunique()
    if (counts > 1).any():
        raise StudyError(
            f"{counts.idxmax()} was trained on different images in two of these results; name one of them, or train it again "
            "on the same images"
        )
