"""Which runs are of which images, in frames of all ages."""

import pandas as pd
import pytest

from study.errors import StudyError
from study.store.runs_table import refuse_conflict, told_apart


def frame(*rows, folder="pets", **fields):
    """Runs, each with the digest of its images and its state; the later ones finished later."""
    runs = pd.DataFrame(rows, columns=["data_digest", "state"])
    data = "image_folder" if folder else "digits"
    own = {"data": data, "data.folder": folder, "data.image_size": None, "train_subset": None, "train_subset_seed": 0}
    runs = runs.assign(**own, **fields)
    finished = pd.Series(pd.date_range("2026-01-01", periods=len(runs), tz="UTC")).where(runs["state"] == "done")
    named = runs.assign(dataset=folder or data, point_id="plain-8", finished=finished)
    return named.assign(run_id=[f"run-{i}" for i in range(len(runs))])


A, B = "a" * 16, "b" * 16
OF_A, OF_B, UNKNOWN = "pets (images aaaaaaaa)", "pets (images bbbbbbbb)", "pets (images unknown)"


@pytest.mark.parametrize(
    "rows, names",
    [
        ([(A, "done"), (A, "diverged"), (None, "pending")], ["pets"] * 3),
        ([(None, "done"), (None, "done"), (None, "failed")], ["pets"] * 3),  # collected before digests were
        ([(A, "done"), (B, "diverged")], [OF_A, OF_B]),
        ([(B, "done"), (A, "done"), (None, "pending"), (None, "failed")], [OF_B, OF_A, OF_A, OF_A]),
        ([(None, "running"), (A, "done"), (B, "done")], [OF_B, OF_A, OF_B]),
        ([(None, "done"), (A, "done"), (None, "interrupted")], [UNKNOWN, OF_A, OF_A]),
    ],
)
def test_runs_on_different_images_get_different_names(rows, names):
    found = told_apart(frame(*rows))
    assert found["dataset"].tolist() == names
    assert found["point_id"].nunique() == len(set(names))


def test_built_in_data_sets_are_never_split():
    found = told_apart(frame((None, "done"), (A, "done"), folder=None))
    assert set(found["dataset"]) == {"digits"} and set(found["point_id"]) == {"plain-8"}


def test_subsets_do_not_count_as_different_images():
    whole, part = frame((A, "done")), frame((B, "done")).assign(train_subset=10)
    assert set(told_apart(pd.concat([whole, part], ignore_index=True))["dataset"]) == {"pets"}


def test_a_run_on_different_images_in_two_folders_is_refused():
    runs = frame((A, "done"), (B, "done")).assign(run_id="run-0")
    with pytest.raises(StudyError, match="run-0 was trained on different images"):
        refuse_conflict(runs)
    refuse_conflict(runs.assign(data_digest=[A, None]))
