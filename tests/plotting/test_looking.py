"""The verbs that draw and export surfaces, on a collected sweep with synthetic surfaces beside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import study as package
from study.config.registry import FIGURES
from study.plotting import save
from study.plotting.refresh import refresh
from study.store.layout import SweepFiles
from study.store.tables import to_bytes
from tests.helpers import RESULTS
from tests.launch.command import inside, study

from .planes import surface, together

COLLECTED = RESULTS / "quickstart"


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFiles:
    """The collected files of `results/quickstart`."""
    files = SweepFiles(tmp_path / "results", "quickstart")
    files.folder.mkdir(parents=True)
    for path in (files.curves, files.runs_table):
        path.write_bytes((COLLECTED / path.name).read_bytes())
    return files


def measured(files: SweepFiles) -> pd.DataFrame:
    """Write `surfaces.parquet`: a plane and a line for the first run of each point; returns its rows."""
    runs = package.read_runs(files.folder)
    frames = []
    for run in runs.drop_duplicates("point_id").to_dict("records"):
        for shape in ((5, 3), (7, 1)):
            own = surface(run["network"], run["depth"], shape=shape, run_id=run["run_id"])
            frames.append(
                own.drop(columns=[c for c in own if c in runs and c not in ("run_id", "precision", "iteration")])
            )
    table = together(*frames).drop(columns=["point_id"], errors="ignore").astype({"subset": "Int64"})
    files.surfaces_table.write_bytes(to_bytes(pa.Table.from_pandas(table, preserve_index=False)))
    return table


def test_read_surfaces_joins_the_fields_of_the_runs(sweep: SweepFiles) -> None:
    assert package.read_surfaces(sweep.folder).empty
    rows = measured(sweep)
    frame = package.read_surfaces([sweep.folder])
    assert len(frame) == len(rows) and {"point_id", "network", "depth", "dataset", "recipe", "seed"} <= set(frame)
    assert str(frame["iteration"].dtype) == str(frame["subset"].dtype) == "Int64"
    assert frame["loss"].isna().sum() == rows["loss"].isna().sum()
    assert len(package.read_surfaces([sweep.folder, sweep.folder])) == len(rows)  # two sweeps that share their runs
    pd.testing.assert_series_equal(frame["alpha"], rows["alpha"], check_index=False)


def test_figure_and_export_of_a_sweep_with_surfaces(sweep: SweepFiles, tmp_path: Path) -> None:
    measured(sweep)
    code, out, err = study(tmp_path, "figure", "contours", "quickstart", "of=error", "split=test", "--formats", "png")
    assert code == 0 and "figures/quickstart/contours.png" in out, err
    drawn = pd.read_csv(tmp_path / "figures/quickstart/contours.csv")
    assert set(drawn["split"]) == {"test"} and "error" in drawn
    code, out, err = inside(tmp_path, "export", "quickstart", "--out", "shapes")
    assert code == 0 and "have no shape" in out, err
    written = sorted(path.suffix for path in (tmp_path / "shapes").iterdir())
    assert written and set(written) == {".vts"}


def test_all_figures_that_the_data_can_feed(sweep: SweepFiles, tmp_path: Path) -> None:
    measured(sweep)
    code, out, err = inside(tmp_path, "figures", "quickstart", "--formats", "svg", "--style", "talk", "--out", "all")
    assert code == 0, err
    drawn = {line.partition(":")[0] for line in out.splitlines() if not line.startswith("not drawn")}
    said = {line.split(":")[1].strip() for line in out.splitlines() if line.startswith("not drawn")}
    assert drawn >= {"degradation", "depth_error", "fig1", "fig6", "contours", "line1d"} and said >= {"fig4", "orders"}
    endings = {f"{name}.{ending}" for name in drawn for ending in ("svg", "txt", "csv")}
    assert {path.name for path in (tmp_path / "all").iterdir()} == endings
    first = {FIGURES[name].target: name for name in reversed(FIGURES)}
    assert drawn | said == set(first.values()), "a figure of two names is drawn once"


def test_a_table_in_each_format(sweep: SweepFiles, tmp_path: Path) -> None:
    for fmt, begin in (("md", "| network"), ("latex", "% Errors"), ("csv", "network,"), ("text", "network")):
        code, out, err = inside(tmp_path, "table", "errors", "quickstart", "--format", fmt)
        assert code == 0 and out.startswith(begin), err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("figure", "contours", "quickstart"), "no surface has been measured; `study surface SWEEP` measures them"),
        (("export", "quickstart"), "no surface has been measured; `study surface SWEEP` measures them"),
        (
            ("figure", "contours", "quickstart", "off=loss"),
            "unknown option 'off' of figure 'contours'; did you mean 'of'?",
        ),
        (("figure", "contours", "of=loss"), "name at least one sweep"),
        (("figure", "fig1", "quickstart", "--style", "papr"), "unknown style 'papr'; did you mean 'paper'?"),
        (("figures", "quickstart", "--style", "papr"), "unknown style 'papr'; did you mean 'paper'?"),
        (("figures", "quickstart", "--formats", "pgn"), "unknown figure format 'pgn'; did you mean 'png'?"),
        (("table", "tabel6", "quickstart"), "unknown table 'tabel6'; did you mean 'table6'?"),
        (
            ("table", "table6", "quickstart"),
            "nothing to set beside He et al. 2015, table 6: the runs have data set digits",
        ),
        (("table", "imagenet", "quickstart"), "no run was tested with ten crops"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], message: str, sweep: SweepFiles, tmp_path: Path) -> None:
    code, _, err = inside(tmp_path, *words)
    assert code == 2 and message in err and len(err.splitlines()) == 1


def test_a_sweep_may_ask_for_figures_of_surfaces_that_are_not_measured_yet(
    sweep: SweepFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.plotting.refresh.save", partial(save, formats=("pdf",)))
    names = ["degradation", "contours"]
    lines = list(refresh(sweep, names, tmp_path / "out"))
    assert lines[0] == f"figure: {tmp_path / 'out' / 'degradation'}.pdf"
    assert lines[1].startswith("note: no figure contours: nothing to draw: no surface has been measured")
    measured(sweep)
    assert list(refresh(sweep, names, tmp_path / "out"))[1] == f"figure: {tmp_path / 'out' / 'contours'}.pdf"
    before = (tmp_path / "out" / "contours.csv").stat().st_mtime_ns
    list(refresh(sweep, names, tmp_path / "out"))
    assert (tmp_path / "out" / "contours.csv").stat().st_mtime_ns == before
