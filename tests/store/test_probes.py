"""The rows of `probes.parquet`: added, replaced, gathered, read."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

import study
from study.config.identity import run_id
from study.config.sweep import Sweep
from study.store import runs as store
from study.store.collect import collect
from study.store.layout import RunFiles, SweepFiles
from study.store.probes import PROBES, add
from study.store.tables import read_table
from tests.helpers import make_spec


def rows(files: RunFiles, iteration: int, probe: str, values: list[float], **other: object) -> list[dict[str, object]]:
    common = {"run_id": files.run_id, "iteration": iteration, "probe": probe, "measure": "norm", "images": 8}
    return [
        {**common, "layer": f"l{place}", "place": place, "value": value, "seconds": 0.5, **other}
        for place, value in enumerate(values, 1)
    ]


def present(files: RunFiles) -> list[tuple[object, ...]]:
    return [(r["iteration"], r["probe"], r["place"], r["value"]) for r in read_table(files.probes).to_pylist()]


def test_rows_are_added_in_order_and_a_measurement_replaces_its_earlier_self(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "run")
    add(files, rows(files, 10, "weights", [3.0, 4.0]))
    add(files, rows(files, 0, "weights", [1.0, 2.0]))
    add(files, rows(files, 10, "identity", [7.0]))
    add(files, rows(files, 10, "weights", [5.0]))
    assert present(files) == [
        (0, "weights", 1, 1.0), (0, "weights", 2, 2.0), (10, "identity", 1, 7.0), (10, "weights", 1, 5.0),
    ]  # fmt: skip
    assert read_table(files.probes).schema.equals(PROBES)
    add(files, [])
    assert len(present(files)) == 4


def test_what_is_no_number_is_kept(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "run")
    add(files, rows(files, 0, "weights", [math.nan, math.inf]))
    [(*_, first), (*_, second)] = present(files)
    assert math.isnan(first) and second == math.inf  # type: ignore[arg-type]


def test_a_damaged_file_is_put_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = RunFiles(tmp_path / "run")
    files.folder.mkdir()
    files.probes.write_bytes(b"no parquet at all")
    with caplog.at_level(logging.WARNING, "study"):
        add(files, rows(files, 0, "weights", [1.0]))
    assert present(files) == [(0, "weights", 1, 1.0)]
    assert "probes.parquet: is damaged" in caplog.text and "damaged-probes.parquet" in caplog.text
    assert (files.folder / "damaged-probes.parquet").read_bytes() == b"no parquet at all"


def sweep(tmp_path: Path) -> tuple[SweepFiles, list[RunFiles]]:
    specs = [make_spec(seed=seed, probes=["weights"]) for seed in (0, 1)]
    files = SweepFiles(tmp_path / "results", "mine")
    store.write_sweep(files, Sweep("mine", "", {run_id(spec): spec for spec in specs}, ()))
    for spec in specs:
        store.write_spec(files.run(run_id(spec)), spec)
    return files, [files.run(run_id(spec)) for spec in specs]


def test_a_sweep_gathers_what_was_measured_and_nothing_where_nothing_was(tmp_path: Path) -> None:
    files, (first, second) = sweep(tmp_path)
    assert collect(files) == [files.curves, files.runs_table] and not files.probes.exists()
    assert study.read_probes(files.folder).empty
    add(second, rows(second, 0, "weights", [1.0]))
    add(first, rows(first, 0, "weights", [2.0, 3.0]))
    assert collect(files) == [files.curves, files.runs_table, files.probes]
    frame = study.read_probes(files.folder)
    assert sorted(frame["value"]) == [1.0, 2.0, 3.0]
    assert dict(zip(frame["value"], frame["seed"], strict=True)) == {1.0: 1, 2.0: 0, 3.0: 0}
    assert set(frame["depth"]) == {8} and list(frame["probes"].iloc[0]) == ["weights"]
    # Elsewhere the collected files are enough.
    other = tmp_path / "elsewhere/mine"
    other.mkdir(parents=True)
    for path in (files.curves, files.runs_table, files.probes):
        (other / path.name).write_bytes(path.read_bytes())
    assert study.read_probes(other).equals(frame)
    assert len(study.read_probes([files.folder, other])) == 3


def test_starting_over_forgets_what_was_measured(tmp_path: Path) -> None:
    files, (first, _) = sweep(tmp_path)
    add(first, rows(first, 0, "weights", [2.0]))
    collect(files)
    store.reset(first)
    collect(files)
    assert not first.probes.exists() and study.read_probes(files.folder).empty
