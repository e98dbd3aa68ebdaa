"""The state of a run, its record of attempts, and starting over."""

import pytest

from study.config.identity import point_id, run_id
from study.errors import StudyError
from study.store import lease
from study.store import runs as store
from study.store.files import read_lines
from study.store.find import find_run, run_of_point
from study.store.housekeeping import reset_run
from study.store.layout import SweepFiles
from tests.helpers import attempts, make_spec, open_run, seal_run


def test_the_states_of_a_run(tmp_path):
    files = open_run(tmp_path, make_spec())
    assert store.status(files).state == "pending"
    held = lease.claim(files)
    assert held is not None
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
    assert held is not None
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
    store.start_attempt(
        files, {}, last_sign=1000.0
    )  # the first was killed; its checkpoint is younger than its heartbeat
    store.write_failed(files, "out of memory")
    store.end_attempt(files, "failed", 3)
    killed, failed = attempts(files)
    assert (
        (killed["host"], killed["end"]) == ("here", None) and failed["from"] == 3 and failed["why"] == "out of memory"
    )
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
