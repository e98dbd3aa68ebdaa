"""`study report`, as a verb and as a function."""

from __future__ import annotations

from pathlib import Path

import pytest

import study as package
from study.errors import StudyError
from study.reporting import report, write
from study.store.layout import SweepFiles
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


def test_the_verb_and_the_function_write_the_same(collected: SweepFiles, tmp_path: Path) -> None:
    code, out, err = inside(tmp_path, "report", "quickstart")
    assert code == 0 and err == ""
    path = tmp_path / "figures/quickstart/report.html"
    assert out == f"figures/quickstart/report.html ({path.stat().st_size / 1e6:.1f} MB): 30 of 30 runs done\n"
    assert package.report(collected.folder, "own.html") == Path("own.html")
    assert Path("own.html").read_bytes() == path.read_bytes()
    assert sorted(one.name for one in path.parent.iterdir()) == ["report.html"]
    with pytest.raises(StudyError, match="no sweep 'quickstrat'"):
        report(collected.folder.with_name("quickstrat"))


def test_a_failed_write_leaves_the_old_page(
    collected: SweepFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "pictures", lambda found, say: [])
    path = report(collected.folder, tmp_path / "page.html")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        report(collected.folder, path)
    assert path.read_bytes() == before and [one.name for one in tmp_path.glob("*page*")] == ["page.html"]
