"""`study report` and `study export`: what is written, in the formats of other programs read back."""

import sys
from pathlib import Path

import pandas as pd
import pytest

import study
import study as package
from study.config.sweep import load
from study.errors import StudyError
from study.reporting import report
from study.reporting.evidence import Picture, evidence, pictures
from study.store.layout import SweepFiles
from study.store.sweeps import write_sweep
from tests.helpers import RESULTS
from tests.launch.command import inside, output

COLLECTED = RESULTS / "quickstart"


@pytest.fixture
def collected(tmp_path):
    """The collected files of `results/quickstart`."""
    files = SweepFiles(tmp_path / "results", "quickstart")
    files.folder.mkdir(parents=True)
    for path in (files.curves, files.runs_table):
        path.write_bytes((COLLECTED / path.name).read_bytes())
    return files


@pytest.mark.slow
def test_the_verb_and_the_function_write_the_same(collected, tmp_path):
    code, out, err = inside(tmp_path, "report", "quickstart")
    assert code == 0 and err == ""
    path = tmp_path / "figures/quickstart/report.html"
    assert out == f"figures/quickstart/report.html ({path.stat().st_size / 1e6:.1f} MB): 30 of 30 runs done\n"
    assert package.report(collected.folder, "own.html") == Path("own.html")
    assert Path("own.html").read_bytes() == path.read_bytes()
    assert sorted(one.name for one in path.parent.iterdir()) == ["report.html"]


def test_what_cannot_be_written_is_one_clear_line(collected, tmp_path):
    with pytest.raises(StudyError, match="no sweep 'quickstrat'"):
        report(collected.folder.with_name("quickstrat"))
    (tmp_path / "here").mkdir()
    code, out, err = inside(tmp_path, "report", "quickstart", "--out", "here")
    assert (code, out) == (2, "") and err.endswith("is a folder; give --out a file name\n") and err.count("\n") == 1


def test_a_sweep_records_its_command_and_file(tmp_path):
    path, text = (
        tmp_path / "mine.yaml",
        "fixed: {data: digits, recipe: quick, network: plain, depth: 8}\ngrid: {seed: [0, 1, 2]}\n",
    )
    path.write_text(text)
    sweep = load(path, ["name=other", "seed=5"])
    files = SweepFiles(tmp_path / "results", sweep.name)
    write_sweep(files, sweep)
    record = evidence(files).record
    assert (record["command"], record["file"]) == ("study sweep mine.yaml name=other seed=5", text)
    assert record["study"] == package.__version__
    assert load(path, ["seed=0"]).command == "study sweep mine.yaml"  # the record keeps all three runs


@pytest.mark.slow
def test_many_runs_get_only_the_first_pictures_of_curves(collected):
    told = pictures(evidence(collected), most_runs=10)
    assert isinstance(told["degradation"], Picture)
    assert told["fig6"] == "too many runs for this page; `study figure fig6 quickstart` draws it"


# -- export ------------------------------------------------------------------------------------------------------------


def exported(trained, tmp_path, fmt):
    out = output(tmp_path, "export", trained, "--format", fmt, "--out", "out")
    assert sorted(out.split()) == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("out/**/*") if p.is_file())
    return tmp_path / "out"


def test_csv_has_every_row(trained, tmp_path):
    out = exported(trained, tmp_path, "csv")
    curves = pd.read_csv(out / "curves.csv")
    whole = study.read_curves(trained)
    pd.testing.assert_frame_equal(curves, whole[curves.columns], check_dtype=False)
    assert pd.read_csv(out / "runs.csv")["recipe.schedule.at"].tolist() == [150] * 4
    assert len(pd.read_csv(out / "probes.csv")) == len(study.read_probes(trained)) > 0


def test_tensorboard_reads_every_point(trained, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = exported(trained, tmp_path, "tensorboard")
    curves, probes = study.read_curves(trained), study.read_probes(trained)
    for run, rows in curves.groupby("run_id"):
        events = accumulator.EventAccumulator(str(out / "tensorboard" / run), size_guidance={"scalars": 0})
        events.Reload()
        tags = events.Tags()["scalars"]
        for split, part in rows.groupby("split"):
            found = events.Scalars(f"error/{split}")
            assert [event.step for event in found] == part["iteration"].tolist()
            assert [event.value for event in found] == pytest.approx(part["error"].tolist())
        measured = probes[probes["run_id"] == run]
        points = 2 * len(rows) + (rows["split"] == "train").sum() + len(measured)
        assert sum(len(events.Scalars(tag)) for tag in tags) == points


def test_xarray_has_the_points_and_the_fields_of_the_runs(trained, tmp_path):
    xarray = pytest.importorskip("xarray")
    out, curves = exported(trained, tmp_path, "xarray"), study.read_curves(trained)
    cube = xarray.load_dataset(out / "curves.nc")
    assert dict(cube.sizes) == {"run_id": 4, "iteration": 4, "split": 3}
    for row in curves.to_dict("records"):
        point = cube.sel(run_id=row["run_id"], iteration=row["iteration"], split=row["split"])
        assert point["error"] == row["error"] and point["network"] == row["network"] and point["seed"] == row["seed"]
    assert int(cube["error"].notnull().sum()) == len(curves)
    assert xarray.load_dataset(out / "probes.nc").sizes["row"] == len(study.read_probes(trained))


def test_collected_tables_suffice(tmp_path):
    for fmt in ("csv", "xarray"):
        (tmp_path / fmt).mkdir()
        exported(RESULTS / "quickstart", tmp_path / fmt, fmt)


@pytest.mark.parametrize("name", ["tensorboard", "xarray"])
def test_a_missing_package_is_named_before_anything_is_written(name, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    said = output(tmp_path, "export", trained, "--format", name, code=2)
    assert said == f"study: --format {name} needs a package: pip install 'degradation-study[{name}]'\n"
    assert not list(tmp_path.iterdir())
