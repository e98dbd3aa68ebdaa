"""Tables as Parquet: rows survive the round trip, damage is found; collected ones: when they still hold, what is read anew."""

import logging
import math
import os
import shutil
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import study
from study.config.identity import run_id
from study.config.sweep import Sweep
from study.errors import StudyError
from study.launch.status import report
from study.store import runs as store
from study.store.collect import Results, collect
from study.store.files import DamagedError
from study.store.layout import RunFiles, SweepFiles
from study.store.read import read_curves, read_probes, read_runs
from study.store.runs_table import RUNS
from study.store.surfaces import POINTS
from study.store.sweeps import write_sweep
from study.store.tables import CURVES, PROBES, add_probe, read_table, to_bytes
from tests.helpers import make_spec, open_run, python, seal_run

ROW = {
    "run_id": "a",
    "iteration": 1,
    "epoch": 0.5,
    "split": "train",
    "loss": 1.0,
    "error": 9.0,
    "lr": 0.1,
    "seconds": 2.0,
}


@pytest.mark.parametrize("table", [CURVES, PROBES, POINTS])
def test_tables_equal_those_of_pyarrow(table):
    random = Random(0)
    chosen = {
        pa.string(): lambda: random.choice(["", "residual-8", "é", None]),
        pa.int64(): lambda: random.choice([None, random.randrange(-(2**62), 2**62)]),
        pa.float64(): lambda: random.choice([None, 3, random.random(), math.nan, -math.inf]),
    }
    for count in (0, 1, 8, 9, 100):
        rows = [{f.name: chosen[f.type]() for f in table.schema if random.random() < 0.9} for _ in range(count)]
        ours, theirs = table.of(rows), pa.Table.from_pylist(rows, schema=table.schema)
        ours.validate(full=True)
        assert ours.schema == theirs.schema and to_bytes(ours) == to_bytes(theirs)
    with pytest.raises(ValueError):
        CURVES.of([ROW | {"loss": "much"}])


def test_reading_and_writing_imports_no_pandas_and_starts_no_thread(tmp_path):
    """Pandas takes half a second in every process that trains; a thread that has just begun aborts a process that ends."""
    code = (
        "import os, sys, pathlib; from study.store.tables import CURVES; path = pathlib.Path(sys.argv[1])\n"
        "before = len(os.listdir('/proc/self/task')); CURVES.write(path, [{'run_id': 'a', 'loss': 1.0}])\n"
        "CURVES.read(path, 'a'); assert 'pandas' not in sys.modules and len(os.listdir('/proc/self/task')) == before"
    )
    python(code, tmp_path / "c.parquet")


def test_a_table_is_checked_on_reading(tmp_path):
    path = tmp_path / "curves.parquet"
    sealed = CURVES.write(path, [ROW])
    assert CURVES.read(path, "a", sealed).to_pylist() == [ROW]
    with pytest.raises(DamagedError, match="rows of another run"):
        CURVES.read(path, "b")
    with pytest.raises(DamagedError, match="does not match its seal"):
        CURVES.read(path, "a", "0" * 16)
    with pytest.raises(DamagedError, match="is damaged"):
        PROBES.read(path)
    pq.write_table(read_table(path).replace_schema_metadata({"study_version": "99"}), path)
    with pytest.raises(StudyError, match="version 99; this program reads version 1"):
        CURVES.read(path)


def measurement(iteration, probe, values):
    common = {"run_id": "run", "iteration": iteration, "probe": probe, "measure": "norm", "images": 8, "seconds": 0.5}
    return [{**common, "layer": f"l{place}", "place": place, "value": value} for place, value in enumerate(values, 1)]


def present(files):
    return [(r["iteration"], r["probe"], r["place"], r["value"]) for r in read_table(files.probes).to_pylist()]


def test_a_measurement_replaces_its_earlier_self(tmp_path):
    files = RunFiles(tmp_path / "run")
    add_probe(files, measurement(10, "weights", [3.0, 4.0]))
    add_probe(files, measurement(0, "weights", [1.0, math.inf]))
    add_probe(files, measurement(10, "identity", [7.0]))
    add_probe(files, measurement(10, "weights", [5.0]))
    add_probe(files, [])
    assert present(files) == [
        (0, "weights", 1, 1.0), (0, "weights", 2, math.inf), (10, "identity", 1, 7.0), (10, "weights", 1, 5.0),
    ]  # fmt: skip


def test_a_damaged_probe_file_is_put_aside(tmp_path, caplog):
    files = RunFiles(tmp_path / "run")
    files.folder.mkdir()
    files.probes.write_bytes(b"no parquet at all")
    with caplog.at_level(logging.WARNING, "study"):
        add_probe(files, measurement(0, "weights", [1.0]))
    assert present(files) == [(0, "weights", 1, 1.0)] and "probes.parquet: is damaged" in caplog.text
    assert (files.folder / "damaged-probes.parquet").read_bytes() == b"no parquet at all"


# -- collected tables --------------------------------------------------------------------------------------------------


def swept(results, *specs, name="test"):
    """A sweep of runs that were not started."""
    files = SweepFiles(results, name)
    write_sweep(files, Sweep(name, "", {run_id(spec): spec for spec in specs}, ()))
    return files, [open_run(results, spec, name) for spec in specs]


def two_runs(results):
    """One run that is done, and one that was not started."""
    files, runs = swept(results, make_spec(seed=0), make_spec(seed=1))
    seal_run(runs[0], error=12.5)
    return files, runs


def test_runs_without_a_curve_are_listed(tmp_path):
    files, _ = two_runs(tmp_path)
    for _ in range(2):  # from the runs, and as they were collected
        curves, runs = read_curves(files.folder), read_runs(files.folder)
        assert len(curves) == 1 and curves["seed"].tolist() == [0]
        assert runs["state"].tolist() == ["done", "pending"] and runs["seed"].tolist() == [0, 1]
        assert runs["recipe.schedule.at"].iloc[0].tolist() == [150]
        before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in [*collect(files), files.collected]]
        assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in [*collect(files), files.collected]] == before


def trained_again(run):
    run.curves.unlink()
    CURVES.write(run.curves, [ROW | {"run_id": run.run_id, "error": 77.0}])
    seal_run(run)


CHANGES = {
    "trained again": (trained_again, "done", ""),
    "seal gone": (lambda run: run.done.unlink(), "pending", ""),
    "curves gone": (lambda run: run.curves.unlink(), "pending", "curves.parquet: is gone"),
    "curves cut": (lambda run: run.curves.write_bytes(run.curves.read_bytes()[:-1]), "pending", "is not what"),
    "attempts damaged": (lambda run: run.attempts.write_text("{half\n"), "done", "attempts.jsonl are damaged"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_after_collecting_are_noticed(name, tmp_path):
    files, [run, _] = two_runs(tmp_path)
    collect(files)
    assert Results(files).unchanged({run.run_id: run}).keys() == {run.run_id}
    change, state, message = CHANGES[name]
    change(run)
    assert not Results(files).unchanged({run.run_id: run})
    said = report(files)[0]
    assert said["state"] == state and message in said["message"]
    row = read_runs(files.folder).iloc[0]
    assert row["state"] == state and message in row["message"]
    shown = read_curves(files.folder)["error"].tolist()
    assert shown == {"done": [77.0 if name == "trained again" else 12.5], "pending": []}[state] or name == "seal gone"
    collect(files)
    assert read_table(files.runs_table)["state"].to_pylist()[0] == state


@pytest.mark.parametrize("damaged", ["curves.parquet", "runs.parquet", "collected.json"])
def test_damaged_tables_are_rebuilt_or_refused(damaged, tmp_path):
    files, runs = two_runs(tmp_path)
    collect(files)
    path = files.folder / damaged
    sound, right = path.read_bytes(), read_curves(files.folder)
    path.write_bytes(sound[: len(sound) // 2] + b"\0" + sound[len(sound) // 2 + 1 :])
    assert read_curves(files.folder).equals(right) and report(files)[0]["state"] == "done"
    collect(files)
    assert path.read_bytes() == sound
    files.sweep.unlink()
    path.write_bytes(sound + b"\0")  # behind what Parquet itself checks
    if path != files.collected:
        with pytest.raises(DamagedError, match=f"{damaged}: is damaged"):
            read_curves(files.folder)
    assert len(runs) == 2


def test_a_run_without_folder_is_as_collected(tmp_path):
    files, [run, _] = two_runs(tmp_path)
    collect(files)
    before = read_curves(files.folder), read_runs(files.folder), report(files)
    shutil.rmtree(run.folder)
    assert read_curves(files.folder).equals(before[0]) and read_runs(files.folder).equals(before[1])
    assert report(files) == before[2]
    collect(files)
    files.sweep.unlink()  # as it comes to another machine
    shutil.rmtree(files.runs)
    assert read_curves(files.folder).equals(before[0])
    assert [record["state"] for record in report(files)] == ["done", "pending"]


def test_a_copy_with_other_times_and_inodes_reads_the_same(tmp_path):
    files, [run, _] = two_runs(tmp_path / "here")
    collect(files)
    before = read_runs(files.folder)
    copy = SweepFiles(Path(shutil.copytree(files.results, tmp_path / "there")), files.name)
    os.utime(copy.run(run.run_id).done, (1, 1))
    assert read_runs(copy.folder).equals(before)
    tables = [path.read_bytes() for path in collect(copy)]
    assert tables == [path.read_bytes() for path in collect(files)]


def test_several_sweeps_read_as_one_count_a_shared_run_once(tmp_path):
    files, _ = two_runs(tmp_path)
    other, _ = swept(tmp_path, make_spec(seed=0), name="other")
    shutil.rmtree(other.runs)
    assert len(read_runs([files.folder, other.folder])) == 2
    assert len(read_curves([files.folder, other.folder])) == 1
    with pytest.raises(StudyError, match="did you mean 'test'"):
        read_curves(tmp_path / "tset")


def test_a_field_of_mixed_type_is_text_in_tables(tmp_path):
    specs = [make_spec(snapshot_every=every, seed=seed) for seed, every in enumerate((None, "epoch", 500))]
    files, _ = swept(tmp_path, *specs)
    found = read_runs(files.folder).set_index("run_id")["snapshot_every"].fillna("")
    assert [found[run_id(spec)] for spec in specs] == ["", "epoch", "500"]


def test_columns_that_older_tables_lack_are_null(tmp_path):
    files = SweepFiles(tmp_path, "old")
    row = dict.fromkeys(RUNS.schema.names) | {"run_id": "plain-8-digits-s0-000000000000", "network": "plain"}
    later = ["order", "probes", "snapshot_every", "recipe.bn_groups", "initialisation", "shortcut.rate"]
    RUNS.write(files.runs_table, pa.Table.from_pylist([row], schema=RUNS.schema).drop_columns(later))
    CURVES.write(files.curves, [])
    (found,) = Results(files).table(RUNS).to_pylist()
    assert {name: found[name] for name in later} == dict.fromkeys(later)
    assert (found["network"], found["depth"]) == ("plain", None)


def test_measurements_are_collected_and_read_with_the_fields_of_their_runs(tmp_path):
    files, runs = swept(tmp_path, *(make_spec(seed=seed, probes=["weights"]) for seed in (0, 1)))
    assert collect(files) == [files.curves, files.runs_table] and read_probes(files.folder).empty
    for run, values in zip(runs, ([2.0, 3.0], [1.0]), strict=True):
        add_probe(run, [row | {"run_id": run.run_id} for row in measurement(0, "weights", values)])
    assert collect(files) == [files.curves, files.runs_table, files.probes]
    frame = study.read_probes(files.folder)
    assert dict(zip(frame["value"], frame["seed"], strict=True)) == {1.0: 1, 2.0: 0, 3.0: 0}
    assert list(frame["probes"].iloc[0]) == ["weights"]
    seal_run(runs[0])
    collect(files)
    runs[0].probes.unlink()  # of a finished run: what was collected is kept; of an unfinished one it is not
    runs[1].probes.unlink()
    assert sorted(read_probes(files.folder)["value"]) == [2.0, 3.0] and store.status(runs[0]).state == "done"
