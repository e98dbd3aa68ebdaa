"""Runs and surfaces on disk: their states and records, starting over, and which runs are of which images."""

import pandas as pd
import pytest

from study.config.identity import point_id, run_id
from study.config.surface import Surface, surface_id
from study.errors import StudyError
from study.store import lease
from study.store import runs as store
from study.store.files import read_lines, write_json
from study.store.find import find_run, run_of_point
from study.store.housekeeping import reset_run
from study.store.layout import SurfaceFiles, SweepFiles
from study.store.runs_table import refuse_conflict, told_apart
from study.store.surfaces import gather, save_points, write_spec
from tests.helpers import attempts, make_spec, open_run, seal_run


def test_the_states_of_a_run(tmp_path):
    files = open_run(tmp_path, make_spec())
    assert store.status(files).state == "pending"
    held = lease.claim(files)
    held.beat(iteration=5, error=50.0)
    now = store.status(files)
    assert now.state == "running" and now.iteration == 5 and now.progress["error"] == 50.0
    store.start_attempt(files, {"host": "here"})
    files.checkpoint(30, "0" * 16).touch()
    held.beat()  # of an attempt that continues from there, before its first report
    assert store.status(files).iteration == 30
    held.release()
    now = store.status(files)
    assert (now.state, now.attempts, now.iteration) == ("interrupted", 1, 30)
    store.write_failed(files, "out of memory")
    now = store.status(files)
    assert now.state == "failed" and now.message == "out of memory"
    store.start_attempt(files, {})
    assert store.status(files).state == "interrupted"  # it is being tried again
    seal_run(files, iteration=60, warnings=["a warning"])
    now = store.status(files)
    assert (now.state, now.iteration, now.attempts, now.message) == ("done", 60, 2, "a warning")


def test_reset_removes_all_results_unless_the_run_is_held(tmp_path):
    files = open_run(tmp_path, make_spec(snapshot_every="epoch"))
    seal_run(files, "diverged", iteration=3)
    for path in (files.checkpoint(30, "0" * 16), files.snapshot(0, "1" * 16), files.snapshot(30, "2" * 16)):
        path.touch()
    assert store.status(files).state == "diverged" and len(files.snapshots()) == 2
    held = lease.claim(files)
    with pytest.raises(StudyError, match="is being trained"):
        reset_run(files)
    held.release()
    reset_run(files)
    assert [path.name for path in files.folder.iterdir()] == ["spec.json"]


def test_fruitless_attempts(tmp_path):
    files = open_run(tmp_path, make_spec())
    for _ in range(3):  # trained to its end and reset, three times
        store.start_attempt(files, {})
        store.end_attempt(files, "done", 60)
    assert store.fruitless_attempts(files) == 0
    store.start_attempt(files, {})  # killed
    store.start_attempt(files, {})
    store.end_attempt(files, "interrupted", 0)
    assert store.fruitless_attempts(files) == 2
    store.end_attempt(files, "failed", 0)
    assert store.fruitless_attempts(files) == 0


def test_attempts_record_last_sign_and_failure(tmp_path):
    files = open_run(tmp_path, make_spec())
    store.start_attempt(files, {"host": "here"})
    files.checkpoint(3, "0" * 16).touch()
    # The first was killed; its checkpoint is younger than its heartbeat.
    store.start_attempt(files, {}, last_sign=1000.0)
    store.write_failed(files, "out of memory")
    store.end_attempt(files, "failed", 3)
    killed, failed = attempts(files)
    assert (killed["host"], killed["end"]) == ("here", None)
    assert (failed["from"], failed["why"]) == (3, "out of memory")
    assert read_lines(files.attempts)[1]["last_sign"] > 1000.0


def test_find_a_run_by_id_or_point(tmp_path):
    spec = make_spec()
    first = open_run(tmp_path, spec, "first")
    assert SweepFiles(tmp_path, "second").run(run_id(spec)).folder == first.folder
    own = open_run(tmp_path, spec, "second")
    assert SweepFiles(tmp_path, "second").run(run_id(spec)).folder == own.folder
    open_run(tmp_path, make_spec(seed=1))
    assert find_run(tmp_path, run_id(spec)[:-6]).run_id == run_id(spec)
    found = run_of_point(tmp_path, point_id(spec), 1)
    assert found is not None and found.run_id == run_id(make_spec(seed=1))
    assert run_of_point(tmp_path, point_id(spec), 2) is None
    with pytest.raises(StudyError, match=r"'residual-8' fits 2 runs"):
        find_run(tmp_path, "residual-8")
    with pytest.raises(StudyError, match="did you mean"):
        find_run(tmp_path, run_id(spec) + "0")


# -- images ------------------------------------------------------------------------------------------------------------


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


def test_built_in_data_sets_and_subsets_are_no_different_images():
    found = told_apart(frame((None, "done"), (A, "done"), folder=None))
    assert set(found["dataset"]) == {"digits"} and set(found["point_id"]) == {"plain-8"}
    whole, part = frame((A, "done")), frame((B, "done")).assign(train_subset=10)
    assert set(told_apart(pd.concat([whole, part], ignore_index=True))["dataset"]) == {"pets"}


def test_a_run_on_different_images_in_two_folders_is_refused():
    runs = frame((A, "done"), (B, "done")).assign(run_id="run-0")
    with pytest.raises(StudyError, match="run-0 was trained on different images"):
        refuse_conflict(runs)
    refuse_conflict(runs.assign(data_digest=[A, None]))


# -- surfaces ----------------------------------------------------------------------------------------------------------

RANGES = {"range_a_low": -1.0, "range_a_high": 3.0, "range_b_low": 10.0, "range_b_high": 14.0}


def row(i, j, iteration=None):
    place = {"i": i, "j": j, "level": 0, "alpha": i - 1.0, "beta": 10 + 2.0 * j}
    rest = {"residual": None, "loss": 1.0, "error": 1.0, "images": 1, "lambda_max": None, "lambda_min": None}
    return {**place, "iteration": iteration, "split": "train", **rest}


@pytest.mark.parametrize("count", [15, 2, 0])
@pytest.mark.parametrize("facts", [True, False])
def test_ranges_of_an_unfinished_plane(count, facts, tmp_path):
    """Or, where the facts about the plane are lost, as long as they are measured; snapshots do not count."""
    surface = Surface.model_validate({"run": "a-000000000000", "plane": "pca", "points": [5, 3]})
    files = SurfaceFiles(tmp_path / surface_id(surface))
    write_spec(files, surface)
    if facts:
        write_json(files.facts, {"ranges": [[-1.0, 3.0], [10.0, 14.0]]})
    save_points(files.chunk("path"), 1, [row(0, 0, iteration=7) | {"alpha": 99.0, "beta": 99.0}])
    save_points(files.chunk("c000"), count, [row(i, j) for i in range(5) for j in range(3)][:count])
    found = gather(files).to_pylist()[0]
    measured = {15: (-1.0, 3.0, 10.0, 14.0), 2: (-1.0, -1.0, 10.0, 12.0), 0: (0.0, 0.0, 0.0, 0.0)}[count]
    assert {name: found[name] for name in RANGES} == (RANGES if facts else dict(zip(RANGES, measured, strict=True)))
