"""The verbs for figures, tables and surfaces, on a sweep that was trained and measured."""

import json

import pandas as pd
import pytest

from study.config.registry import FIGURES
from study.plotting.every import refresh
from study.store.layout import SweepFiles
from tests.launch.command import output


def test_a_figure_a_table_and_a_verdict(copied):
    out = output(copied, "figure", "contours", "tiny", "of=error", "split=test", "--formats", "svg")
    assert "figures/tiny/contours.svg" in out
    drawn = pd.read_csv(copied / "figures/tiny/contours.csv")
    assert set(drawn["split"]) == {"test"} and "error" in drawn
    assert output(copied, "table", "errors", "tiny", "--format", "md").startswith("| network | depth | n |")
    assert "1. Does depth raise the training error of the plain" in output(copied, "verdict", "tiny")
    assert output(copied, "verdict", "tiny", "--format", "md").startswith("## digits, quick")
    elsewhere = output(copied / "figures", "verdict", "tiny", "--format", "json", "--results", copied / "results")
    assert json.loads(elsewhere)["findings"][0]["answers"][0]["question"].startswith("1. Does depth raise")


def test_surfaces_are_exported(copied):
    assert "have no shape" in output(copied, "export", "tiny", "--out", "shapes")
    assert [path.suffix for path in (copied / "shapes").iterdir()] == [".vts"] * 2


@pytest.mark.slow
def test_all_figures_that_the_data_allow(copied):
    out = output(copied, "figures", "tiny", "--formats", "svg", "--style", "talk", "--out", "all")
    drawn = {line.partition(":")[0] for line in out.splitlines() if not line.startswith("not drawn")}
    said = {name for name in FIGURES if any(name in line for line in out.splitlines() if line.startswith("not drawn"))}
    assert drawn >= {"degradation", "depth_error", "contours", "line1d", "gradients"} and said >= {"fig4", "orders"}
    assert {path.name for path in (copied / "all").iterdir()} == {
        f"{n}.{e}" for n in drawn for e in ("svg", "txt", "csv")
    }
    assert drawn | said == set({entry.target: name for name, entry in reversed(FIGURES.items())}.values())


@pytest.mark.slow
def test_figures_are_drawn_again_only_if_their_data_changed(copied):
    sweep = SweepFiles(copied / "results", "tiny")
    names, csv = ["degradation", "spectrum"], copied / "out" / "degradation.csv"
    first, second = refresh(sweep, names, copied / "out")
    assert first == f"figure: {copied / 'out' / 'degradation'}.pdf"
    assert second.startswith("note: no figure spectrum: nothing to draw: no run was measured by the probe 'hessian'")
    before = csv.stat().st_mtime_ns
    list(refresh(sweep, names, copied / "out"))
    assert csv.stat().st_mtime_ns == before
    sweep.curves.touch()
    list(refresh(sweep, names, copied / "out"))
    assert csv.stat().st_mtime_ns > before
