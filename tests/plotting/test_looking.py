"""The verbs for figures, tables and surfaces, on a sweep that was trained and measured."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from study.config.registry import FIGURES
from study.plotting.every import refresh
from study.store.layout import SweepFiles
from tests.launch.command import inside, output


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> SweepFiles:
    """A copy of the trained sweep in the results folder of a test."""
    shutil.copytree(trained, tmp_path / "results" / "tiny")
    return SweepFiles(tmp_path / "results", "tiny")


def test_a_figure_a_table_and_a_verdict(sweep: SweepFiles, tmp_path: Path) -> None:
    out = output(tmp_path, "figure", "contours", "tiny", "of=error", "split=test", "--formats", "svg")
    assert "figures/tiny/contours.svg" in out
    drawn = pd.read_csv(tmp_path / "figures/tiny/contours.csv")
    assert set(drawn["split"]) == {"test"} and "error" in drawn
    code, out, err = inside(tmp_path, "table", "errors", "tiny", "--format", "md")
    assert code == 0 and out.startswith("| network | depth | n |"), err
    assert "ResNet" in output(tmp_path, "verdict", "tiny")


def test_surfaces_are_exported(sweep: SweepFiles, tmp_path: Path) -> None:
    assert "have no shape" in output(tmp_path, "export", "tiny", "--out", "shapes")
    assert [path.suffix for path in (tmp_path / "shapes").iterdir()] == [".vts"] * 2


@pytest.mark.slow
def test_all_figures_that_the_data_allow(sweep: SweepFiles, tmp_path: Path) -> None:
    out = output(tmp_path, "figures", "tiny", "--formats", "svg", "--style", "talk", "--out", "all")
    drawn = {line.partition(":")[0] for line in out.splitlines() if not line.startswith("not drawn")}
    said = {name for name in FIGURES if any(name in line for line in out.splitlines() if line.startswith("not drawn"))}
    assert drawn >= {"degradation", "depth_error", "contours", "line1d", "gradients"} and said >= {"fig4", "orders"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        f"{n}.{e}" for n in drawn for e in ("svg", "txt", "csv")
    }
    assert drawn | said == set({entry.target: name for name, entry in reversed(FIGURES.items())}.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("figure spectrum tiny", "no run was measured by the probe 'hessian'; `study probe SWEEP --probes hessian`"),
        ("figure contours tiny off=loss", "unknown option 'off' of figure 'contours'; did you mean 'of'?"),
        ("figure contours of=loss", "name at least one sweep"),
        ("figure fig1 tiny --style papr", "unknown style 'papr'; did you mean 'paper'?"),
        ("figures tiny --formats pgn", "unknown figure format 'pgn'; did you mean 'png'?"),
        ("table tabel6 tiny", "unknown table 'tabel6'; did you mean 'table6'?"),
        ("table table6 tiny", "nothing to set beside He et al. 2015, table 6: none of its networks"),
        ("table imagenet tiny", "no run was tested with ten crops"),
    ],
)
def test_mistakes_are_one_line(words: str, message: str, sweep: SweepFiles, tmp_path: Path) -> None:
    assert message in output(tmp_path, *words.split(), code=2)


@pytest.mark.slow
def test_figures_are_drawn_again_only_if_their_data_changed(sweep: SweepFiles, tmp_path: Path) -> None:
    names, csv = ["degradation", "spectrum"], tmp_path / "out" / "degradation.csv"
    first, second = refresh(sweep, names, tmp_path / "out")
    assert first == f"figure: {tmp_path / 'out' / 'degradation'}.pdf"
    assert second.startswith("note: no figure spectrum: nothing to draw: no run was measured by the probe 'hessian'")
    before = csv.stat().st_mtime_ns
    list(refresh(sweep, names, tmp_path / "out"))
    assert csv.stat().st_mtime_ns == before
    sweep.curves.touch()
    list(refresh(sweep, names, tmp_path / "out"))
    assert csv.stat().st_mtime_ns > before
