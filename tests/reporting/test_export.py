"""A sweep's curves and probes in the formats of other programs, read back."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import study
from tests.helpers import RESULTS
from tests.launch.command import inside


def exported(trained: Path, tmp_path: Path, fmt: str) -> Path:
    code, out, err = inside(tmp_path, "export", str(trained), "--format", fmt, "--out", "out")
    assert code == 0, err
    assert sorted(out.split()) == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("out/**/*") if p.is_file())
    return tmp_path / "out"


def test_csv_has_every_row(trained: Path, tmp_path: Path) -> None:
    out = exported(trained, tmp_path, "csv")
    curves = pd.read_csv(out / "curves.csv")
    whole = study.read_curves(trained)
    pd.testing.assert_frame_equal(curves, whole[curves.columns], check_dtype=False)
    assert pd.read_csv(out / "runs.csv")["recipe.schedule.at"].tolist() == [150] * 4
    assert len(pd.read_csv(out / "probes.csv")) == len(study.read_probes(trained)) > 0


def test_tensorboard_reads_every_point(trained: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out, curves, probes = (
        exported(trained, tmp_path, "tensorboard"),
        study.read_curves(trained),
        study.read_probes(trained),
    )
    for run, rows in curves.groupby("run_id"):
        events = accumulator.EventAccumulator(str(out / "tensorboard" / run), size_guidance={"scalars": 0})
        events.Reload()
        tags = events.Tags()["scalars"]
        for split, part in rows.groupby("split"):
            found = events.Scalars(f"error/{split}")
            assert [event.step for event in found] == part["iteration"].tolist()
            assert [event.value for event in found] == pytest.approx(part["error"].tolist())
        measured = probes[probes["run_id"] == run]
        assert sum(len(events.Scalars(tag)) for tag in tags) == 2 * len(rows) + (rows["split"] == "train").sum() + len(
            measured
        )


def test_xarray_has_the_points_and_the_fields_of_the_runs(trained: Path, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    out, curves = exported(trained, tmp_path, "xarray"), study.read_curves(trained)
    cube = xarray.load_dataset(out / "curves.nc")
    assert dict(cube.sizes) == {"run_id": 4, "iteration": 4, "split": 3}
    for row in curves.to_dict("records"):
        point = cube.sel(run_id=row["run_id"], iteration=row["iteration"], split=row["split"])
        assert point["error"] == row["error"] and point["network"] == row["network"] and point["seed"] == row["seed"]
    assert int(cube["error"].notnull().sum()) == len(curves)
    assert xarray.load_dataset(out / "probes.nc").sizes["row"] == len(study.read_probes(trained))


def test_collected_tables_suffice(tmp_path: Path) -> None:
    for fmt in ("csv", "xarray"):
        (tmp_path / fmt).mkdir()
        exported(RESULTS / "quickstart", tmp_path / fmt, fmt)


@pytest.mark.parametrize("name", ["tensorboard", "xarray"])
def test_a_missing_package_is_named_before_anything_is_written(name: str, trained: Path, tmp_path: Path) -> None:
    blocked = f"import sys; sys.modules[{name!r}] = None; sys.argv = ['study', 'export', {str(trained)!r}, '--format', {name!r}]"
    done = subprocess.run(
        [sys.executable, "-c", f"{blocked}; from study.cli.app import main; main()"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert done.stderr == f"study: --format {name} needs a package: pip install 'degradation-study[{name}]'\n"
