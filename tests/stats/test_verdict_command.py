"""`study verdict`, as a user has it."""

import json
from pathlib import Path

import pyarrow as pa

from study.store.runs_table import RUNS
from study.store.tables import CURVES, to_bytes
from tests.launch.command import output
from tests.stats.conftest import degrades, sweep

ROOT = Path(__file__).parents[2]


def collected(folder, empty=False):
    """A sweep's two files in `results/known`, as `study collect` writes them."""
    curves, runs = sweep(degrades, seeds=6)
    curves = curves[:0] if empty else curves
    (folder / "results" / "known").mkdir(parents=True)
    for name, frame, schema in (("curves", curves, CURVES.schema), ("runs", runs, RUNS.schema)):
        rows = frame.reindex(columns=schema.names).astype(object)
        records = rows.where(rows.notna(), None).to_dict("records")
        table = pa.Table.from_pylist(records, schema=schema)
        (folder / "results" / "known" / f"{name}.parquet").write_bytes(to_bytes(table))


def test_in_words_and_for_programs_from_another_folder(tmp_path):
    collected(tmp_path)
    out = output(tmp_path, "verdict", "known")
    assert "1. Does depth raise the training error of the plain networks? Yes.\n" in out
    assert output(tmp_path, "verdict", "known", "--format", "md").startswith("## cifar10, he2015_cifar\n")
    out = output(ROOT, "verdict", "known", "--format", "json", "--results", tmp_path / "results")
    assert json.loads(out)["findings"][0]["answers"][0]["answer"] == "Yes"


def test_without_curves_it_is_one_clear_line(tmp_path):
    collected(tmp_path, empty=True)
    assert "nothing to judge: none of the 24 runs" in output(tmp_path, "verdict", "known", code=2)
    output(tmp_path, "verdict", "unknown", code=2)
