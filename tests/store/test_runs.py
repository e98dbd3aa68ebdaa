from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from study.config.identity import run_id
from study.config.sweep import Sweep
from study.errors import StudyError
from study.store import lease
from study.store import runs as store
from study.store.collect import RUNS, collect
from study.store.files import write_bytes
from study.store.layout import SweepFiles
from study.store.read import read_curves, read_runs, read_tables
from study.store.tables import read_curve, read_table, to_bytes, write_rows
from tests.helpers import make_spec, open_run, seal_run
from tests.store.test_curves import ROW


def test_the_states_of_a_run(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec())
    assert store.status(files).state == "pending"
    held = lease.claim(files)
    assert held is not None
    held.beat(iteration=5, error=50.0)
    now = store.status(files)
    assert now.state == "running" and now.iteration == 5 and now.progress["error"] == 50.0
    store.start_attempt(files, {"host": "here"})
    files.checkpoint(30, "0" * 16).touch()
    held.beat()  # of an attempt that goes on from there, and has not come to a step yet
    assert store.status(files).iteration == 30
    files.checkpoint(30, "0" * 16).unlink()
    held.release()
    assert store.status(files).state == "interrupted" and store.status(files).attempts == 1
    files.checkpoint(30, "0" * 16).touch()
    assert store.status(files).iteration == 30
    store.write_failed(files, "out of memory")
    now = store.status(files)
    assert now.state == "failed" and now.message == "out of memory"
    store.start_attempt(files, {})
    assert store.status(files).state == "interrupted"  # what failed once is being tried again
    seal_run(files, iteration=60, warnings=["said aloud"])
    now = store.status(files)
    assert (now.state, now.iteration, now.attempts, now.message) == ("done", 60, 2, "said aloud")


def test_a_reset_run_starts_over_unless_it_is_being_trained(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec())
    seal_run(files, "diverged", iteration=3)
    assert store.status(files).state == "diverged"
    held = lease.claim(files)
    with pytest.raises(StudyError, match="is being trained"):
        store.reset(files)
    assert held is not None
    held.release()
    store.reset(files)
    assert store.status(files).state == "pending"


def test_a_reset_run_keeps_none_of_its_networks(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec(snapshot_every="epoch"))
    for path in (files.checkpoint(30, "0" * 16), files.snapshot(0, "1" * 16), files.snapshot(30, "2" * 16)):
        path.touch()
    assert [path.name for path in files.snapshots()] == [
        f"snapshot-{i:08d}-{d * 16}.pt" for i, d in ((0, "1"), (30, "2"))
    ]
    store.reset(files)
    assert [path.name for path in files.folder.iterdir()] == ["spec.json"]


def test_a_field_that_is_a_number_or_a_word_is_text_in_the_tables(tmp_path: Path) -> None:
    specs = [make_spec(seed=seed, snapshot_every=every) for seed, every in enumerate((None, "epoch", 500))]
    files = SweepFiles(tmp_path, "test")
    store.write_sweep(files, Sweep("test", "", {run_id(s): s for s in specs}, ()))
    for spec in specs:
        write_rows(open_run(tmp_path, spec).curves, [ROW | {"run_id": run_id(spec)}])
    collect(files)
    assert RUNS.field("snapshot_every").type == pa.string()
    for frame in (read_runs(files.folder), read_curves(files.folder)):
        found = dict(zip(frame["run_id"], frame["snapshot_every"].fillna(""), strict=True))
        assert [found[run_id(spec)] for spec in specs] == ["", "epoch", "500"]
    files.sweep.unlink()  # as collected, elsewhere
    assert sorted(read_runs(files.folder)["snapshot_every"].dropna()) == ["500", "epoch"]


def test_fruitless_attempts_are_those_that_ended_where_the_run_still_is(tmp_path: Path) -> None:
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


def test_a_run_is_found_in_the_sweep_that_had_it_first(tmp_path: Path) -> None:
    spec = make_spec()
    first = open_run(tmp_path, spec, "first")
    assert SweepFiles(tmp_path, "second").run(run_id(spec)).folder == first.folder
    own = open_run(tmp_path, spec, "second")
    assert SweepFiles(tmp_path, "second").run(run_id(spec)).folder == own.folder


def two_runs(results: Path) -> SweepFiles:
    """A sweep of one run with a curve, and one that was not started."""
    specs = [make_spec(seed=seed) for seed in (0, 1)]
    files = SweepFiles(results, "test")
    store.write_sweep(files, Sweep("test", "", {run_id(s): s for s in specs}, ()))
    write_rows(open_run(results, specs[0]).curves, [ROW | {"run_id": run_id(specs[0])}])
    return files


def test_collecting_lists_runs_that_have_no_curve_too(tmp_path: Path) -> None:
    files = two_runs(tmp_path)
    collect(files)
    curves, runs = read_curves(files.folder), read_runs(files.folder)
    assert len(curves) == 1 and curves["seed"].tolist() == [0]
    assert runs["state"].tolist() == ["pending", "pending"] and runs["seed"].tolist() == [0, 1]
    assert runs["recipe.schedule.at"].iloc[0].tolist() == [150]


def test_collecting_twice_writes_once(tmp_path: Path) -> None:
    files = two_runs(tmp_path)
    before = [path.stat().st_mtime_ns for path in collect(files)]
    assert [path.stat().st_mtime_ns for path in collect(files)] == before


def test_what_was_collected_of_a_sealed_run_is_not_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, [run, _] = two_runs(tmp_path), [open_run(tmp_path, make_spec(seed=seed)) for seed in (0, 1)]
    seal_run(run)
    collect(files)
    before = files.curves.read_bytes()
    parsed: list[str] = []
    monkeypatch.setattr(
        "study.store.collect.read_curve", lambda files, seal: parsed.append(files.run_id) or read_curve(files, seal)
    )
    collect(files)
    assert files.curves.read_bytes() == before and run.run_id not in parsed
    write_rows(run.curves, [ROW | {"run_id": run.run_id, "error": 77.0}])  # it was trained again
    seal_run(run)
    collect(files)
    assert read_table(files.curves)["error"].to_pylist() == [77.0] and run.run_id in parsed
    run.curves.write_bytes(
        run.curves.read_bytes()[:-1]
    )  # what lies in the run's folder still has to be what was sealed
    collect(files)
    [row] = [row for row in read_table(files.runs_table).to_pylist() if row["run_id"] == run.run_id]
    assert row["state"] != "done" and "is not what the run was sealed with" in row["message"]


def test_several_sweeps_read_as_one_count_a_shared_run_once(tmp_path: Path) -> None:
    files = two_runs(tmp_path)
    spec = make_spec(seed=0)
    other = SweepFiles(tmp_path, "other")
    store.write_sweep(other, Sweep("other", "", {run_id(spec): spec}, ()))
    assert len(read_runs([files.folder, other.folder])) == 2
    assert len(read_curves([files.folder, other.folder])) == 1


def test_an_unknown_sweep_is_answered_with_the_nearest(tmp_path: Path) -> None:
    two_runs(tmp_path)
    with pytest.raises(StudyError, match="did you mean 'test'"):
        read_curves(tmp_path / "tset")


def test_tables_that_were_collected_before_a_column_was_there_have_it(tmp_path: Path) -> None:
    files = SweepFiles(tmp_path, "old")
    row = dict.fromkeys(RUNS.names) | {
        "run_id": "plain-8-digits-s0-000000000000",
        "network": "plain",
        "family.width": 1,
    }
    write_bytes(files.runs_table, to_bytes(pa.Table.from_pylist([row], schema=RUNS).drop_columns(["order", "probes"])))
    write_rows(files.curves, [])
    (runs,) = read_tables(files)[1].to_pylist()
    assert (runs["network"], runs["family.width"], runs["depth"], runs["order"]) == ("plain", 1, None, None)
