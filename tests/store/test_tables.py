"""Tables as Parquet: rows survive the round trip, and damage is found."""

import logging
import math
import subprocess
import sys
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.errors import StudyError
from study.store.files import DamagedError
from study.store.layout import RunFiles
from study.store.surfaces import POINTS
from study.store.tables import CURVES, PROBES, add_probe, read_table, to_bytes

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
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.parquet")], check=True)


def test_a_flipped_bit_never_changes_a_value(tmp_path):
    path = tmp_path / "curves.parquet"
    rows = [ROW | {"iteration": i, "loss": 1 / i} for i in range(1, 20)]
    CURVES.write(path, rows)
    sound, right = path.read_bytes(), CURVES.of(rows)
    for place in range(0, len(sound), 3):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << place % 8]) + sound[place + 1 :])
        try:
            assert CURVES.read(path).equals(right), place
        except StudyError as error:
            assert "curves.parquet: " in str(error)
    for content in (sound[: len(sound) // 2], b"", b"not parquet at all"):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match=r"curves\.parquet: is damaged"):
            CURVES.read(path)


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
