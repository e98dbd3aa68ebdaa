"""`study report`, as a verb and as a function."""

from pathlib import Path

import pytest

import study as package
from study.config.sweep import load
from study.errors import StudyError
from study.reporting import report
from study.reporting.evidence import Picture, evidence, pictures
from study.store.layout import SweepFiles
from study.store.sweeps import write_sweep
from tests.helpers import RESULTS
from tests.launch.command import inside

COLLECTED = RESULTS / "quickstart"


@pytest.fixture
def collected(tmp_path: Path) -> SweepFiles:
    """The collected files of `results/quickstart`."""
    files = SweepFiles(tmp_path / "results", "quickstart")
    files.folder.mkdir(parents=True)
    for path in (files.curves, files.runs_table):
        path.write_bytes((COLLECTED / path.name).read_bytes())
    return files


@pytest.mark.slow
def test_the_verb_and_the_function_write_the_same(collected: SweepFiles, tmp_path: Path) -> None:
    code, out, err = inside(tmp_path, "report", "quickstart")
    assert code == 0 and err == ""
    path = tmp_path / "figures/quickstart/report.html"
    assert out == f"figures/quickstart/report.html ({path.stat().st_size / 1e6:.1f} MB): 30 of 30 runs done\n"
    assert package.report(collected.folder, "own.html") == Path("own.html")
    assert Path("own.html").read_bytes() == path.read_bytes()
    assert sorted(one.name for one in path.parent.iterdir()) == ["report.html"]


def test_what_cannot_be_written_is_one_clear_line(collected: SweepFiles, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no sweep 'quickstrat'"):
        report(collected.folder.with_name("quickstrat"))
    (tmp_path / "here").mkdir()
    code, out, err = inside(tmp_path, "report", "quickstart", "--out", "here")
    assert (code, out) == (2, "") and err.endswith("is a folder; give --out a file name\n") and err.count("\n") == 1


def test_a_sweep_records_its_command_and_file(tmp_path: Path) -> None:
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
def test_many_runs_get_only_the_first_pictures_of_curves(collected: SweepFiles) -> None:
    told = pictures(evidence(collected), most_runs=10)
    assert isinstance(told["degradation"], Picture)
    assert told["fig6"] == "too many runs for this page; `study figure fig6 quickstart` draws it"
