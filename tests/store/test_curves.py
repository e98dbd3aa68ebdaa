from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.errors import StudyError
from study.store import tables as curves
from study.store.probes import PROBES
from study.store.surfaces import POINTS
from tests.helpers import read_rows

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


def test_rows_come_back_as_they_were_nan_and_infinity_too(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"iteration": 2, "loss": math.inf}, ROW | {"iteration": 3, "loss": math.nan}]
    curves.write_rows(tmp_path / "c.parquet", rows)
    back = read_rows(tmp_path / "c.parquet")
    assert back[:2] == rows[:2] and math.isnan(back[2]["loss"])


@pytest.mark.parametrize("schema", [curves.CURVES, PROBES, POINTS])
@pytest.mark.parametrize("count", [0, 1, 8, 9, 100])
def test_rows_make_the_table_that_pyarrow_makes_of_them(schema: pa.Schema, count: int) -> None:
    random = Random(0)
    chosen = {
        pa.string(): lambda: random.choice(["", "residual-8", "é", None]),
        pa.int64(): lambda: random.choice([None, random.randrange(-(2**62), 2**62)]),
        pa.float64(): lambda: random.choice([None, 3, random.random(), math.nan, -math.inf]),
    }
    rows = [{f.name: chosen[f.type]() for f in schema if random.random() < 0.9} for _ in range(count)]
    ours, theirs = curves.table_of(rows, schema), pa.Table.from_pylist(rows, schema=schema)
    ours.validate(full=True)
    assert ours.schema == theirs.schema and curves.to_bytes(ours) == curves.to_bytes(theirs)


def test_what_is_no_number_is_none() -> None:
    with pytest.raises(ValueError):
        curves.table_of([ROW | {"loss": "much"}], curves.CURVES)


def test_curves_are_written_and_read_without_pandas(tmp_path: Path) -> None:
    """It takes half a second to import, in every process that trains."""
    code = (
        "import sys, pathlib; from study.store.tables import CURVES, of_run, write_rows; path = pathlib.Path(sys.argv[1])\n"
        "write_rows(path, [{'run_id': 'a', 'loss': 1.0}]); of_run(path, CURVES, 'a'); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.parquet")], check=True)


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ROW], schema=curves.CURVES)
    assert curves.to_bytes(table) == curves.to_bytes(table)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not parquet at all"])
def test_a_damaged_file_is_named(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "c.parquet"
    curves.write_rows(path, [ROW])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StudyError, match=r"c\.parquet: is damaged"):
        read_rows(path)


def test_a_newer_version_is_refused_by_its_number(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ROW], schema=curves.CURVES).replace_schema_metadata({"study_version": "99"})
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(StudyError, match="version 99; this program reads version 1"):
        read_rows(tmp_path / "c.parquet")


def test_damage_to_the_inner_parts_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise OSError("Couldn't deserialize thrift")  # what pyarrow makes of a flipped byte

    curves.write_rows(tmp_path / "curves.parquet", [])
    monkeypatch.setattr(pq, "ParquetFile", broken)
    with pytest.raises(StudyError, match=r"curves\.parquet: is damaged: Couldn't deserialize"):
        curves.read_table(tmp_path / "curves.parquet")


def test_reading_starts_no_thread(tmp_path: Path) -> None:
    """One that has just begun aborts a process that ends."""
    path = tmp_path / "curves.parquet"
    curves.write_rows(path, [])
    code = (
        "import os, sys, pathlib; from study.store.tables import read_table; count = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = count(); read_table(pathlib.Path(sys.argv[1])); assert count() == before"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
