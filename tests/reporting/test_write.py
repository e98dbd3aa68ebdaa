"""`study report`, once and watched."""

from __future__ import annotations

from pathlib import Path

import pytest

import study as package
from study.errors import StudyError
from study.reporting import report, write
from study.reporting.evidence import Evidence, evidence
from study.spec.sweep import load
from study.store import runs as store
from study.store.layout import SweepFiles
from tests.helpers import RESULTS, seal_run
from tests.launch.command import inside, sweep_file
from tests.plotting.conftest import study as synthetic

from .sweeps import found

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


@pytest.fixture
def going_on(monkeypatch: pytest.MonkeyPatch) -> list[Evidence]:
    """A sweep that goes on each time it is looked at, as if each look took no time; what there is yet to see."""
    curves, runs = synthetic(seeds=1, iterations=400, evaluations=8)
    states = [["running", "pending"], ["running", "pending"], ["done", "running"], ["done", "diverged"]]
    seen = [found(curves, runs.assign(state=[*["done"] * 2, *state])) for state in states]
    monkeypatch.setattr(write, "evidence", lambda files: seen.pop(0) if len(seen) > 1 else seen[0])
    monkeypatch.setattr(write, "EVERY", 0.0)
    monkeypatch.setattr(write, "REST", 0)
    monkeypatch.setattr(write.Album, "pictures", lambda self, found, say: [])
    return seen


def test_watching_ends_with_a_page_that_stands_still(going_on: list[Evidence], tmp_path: Path) -> None:
    out, told, reloading = tmp_path / "page.html", [], []

    def note(line: str) -> None:
        told.append(line.partition(": ")[2])
        reloading.append('"reload":15' in out.read_text("utf-8"))

    assert write.watch(SweepFiles(tmp_path, "tiny"), out, str, note)
    assert told == [  # the second look saw nothing new
        "2 of 4 runs done; 1 running, 1 pending",
        "3 of 4 runs done; 1 running",
        "3 of 4 runs done; 1 diverged",
    ]
    assert reloading == [True, True, False]


def test_ctrl_c_leaves_a_page_that_stands_still(
    going_on: list[Evidence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write.time, "sleep", stop)
    out, told = tmp_path / "page.html", []
    assert not write.watch(SweepFiles(tmp_path, "tiny"), out, str, told.append)
    assert len(told) == 2 and '"reload":0' in out.read_text("utf-8")


def test_a_failed_write_leaves_the_old_page(
    collected: SweepFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write.Album, "pictures", lambda self, found, say: [])
    path = report(collected.folder, tmp_path / "page.html")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        report(collected.folder, path)
    assert path.read_bytes() == before and [one.name for one in tmp_path.glob("*page*")] == ["page.html"]


@pytest.mark.parametrize("surfaces", ["", "surfaces: [{plane: random, points: 3}]\n"])
def test_what_a_sweep_has_left_to_do(surfaces: str, tmp_path: Path) -> None:
    name = sweep_file(
        tmp_path,
        "description: Does <b>depth</b> hurt?\nfixed: {data: digits, recipe: quick, depth: 8, network: plain, seed: 0}\n"
        + surfaces,
    )
    sweep, files = load(tmp_path / name), SweepFiles(tmp_path / "results", "tiny")
    store.write_sweep(files, sweep)
    page = report(files.folder, tmp_path / "page.html").read_text("utf-8")
    ((run_id, spec),) = sweep.runs.items()
    assert "Does &lt;b&gt;depth&lt;/b&gt; hurt?" in page and "0 of 1 run done; 1 pending" in page and run_id in page
    assert write.left(files, evidence(files))
    store.write_spec(files.run(run_id), spec)
    seal_run(files.run(run_id), iteration=200)
    assert write.left(files, evidence(files)) == bool(surfaces)
    seal_run(files.run(run_id), "diverged", iteration=7)  # which has no surface
    assert not write.left(files, evidence(files))
