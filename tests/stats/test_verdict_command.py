"""`study verdict`, as a user has it."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from study.store.runs_table import RUNS
from study.store.tables import CURVES, to_bytes
from tests.launch.command import inside, study
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


@pytest.mark.slow
def test_in_words(tmp_path):
    collected(tmp_path)
    code, out, err = study(tmp_path, "verdict", "known")
    assert (code, err) == (0, "")
    assert "1. Does depth raise the training error of the plain networks? Yes.\n" in out
    assert "2. Does the shortcut mend it? Yes.\n" in out
    assert inside(tmp_path, "verdict", "known", "--format", "md")[1].startswith("## cifar10, he2015_cifar\n")


def test_for_programs_and_from_another_folder(tmp_path):
    collected(tmp_path)
    code, out, _ = inside(ROOT, "verdict", "known", "--format", "json", "--results", str(tmp_path / "results"))
    assert code == 0
    assert json.loads(out)["findings"][0]["answers"][0]["answer"] == "Yes"


def test_without_curves_it_is_one_clear_line(tmp_path):
    collected(tmp_path, empty=True)
    code, out, err = inside(tmp_path, "verdict", "known")
    assert (code, out) == (2, "")
    assert err == "study: nothing to judge: none of the 24 runs has been evaluated yet\n"
    code, _, err = inside(tmp_path, "verdict", "unknown")
    assert code == 2 and len(err.splitlines()) == 1
