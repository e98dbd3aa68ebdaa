"""Each figure, drawn once: its files, its words, a reference picture for a few, and equal bytes on another day.

To change a reference picture run `STUDY_REDRAW=1 pytest tests/plotting -n 0` and look at it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

import study.plotting
from study.config.registry import FIGURES
from study.plotting.base.canvas import Plot
from study.plotting.base.style import styled
from tests.helpers import long

from .boxes import unreadable
from .conftest import Frames

Fed = Callable[[str], tuple[pd.DataFrame, pd.DataFrame | None]]
Drawn = Callable[[str], Plot]
EVERY = sorted({entry.target: name for name, entry in FIGURES.items()}.values())
PICTURED = ("degradation", "depth_error", "shortcuts", "gradients", "spectrum", "contours", "surface3d", "verdict")
"""Figures with a reference picture: each kind of drawing once."""
REFERENCE = Path(__file__).parent / "reference"
TOLERANCE = 0.02  # root mean square of the difference, relative to white


def difference(plot: Plot, reference: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """How far a figure is from its reference picture, without letters, which differ between versions of FreeType."""
    monkeypatch.setattr(Text, "draw", lambda self, renderer: None)
    file = BytesIO()
    with styled("paper"):
        plot.figure.savefig(file, format="png", dpi=72)
    if os.environ.get("STUDY_REDRAW"):
        reference.write_bytes(file.getvalue())
    file.seek(0)
    now, then = imread(file)[..., :3], imread(reference)[..., :3]
    return float(np.sqrt(np.mean(np.square(now - then)))) if now.shape == then.shape else 1.0


@pytest.mark.parametrize("name", EVERY)
def test_it_has_data_and_a_caption(name: str, drawn: Drawn) -> None:
    plot = drawn(name)
    assert len(plot.data) and plot.caption.rstrip("\n").endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("style", ["paper", long("talk")])
@pytest.mark.parametrize("name", EVERY)
def test_its_text_is_readable(name: str, style: str, fed: Fed) -> None:
    with styled(style):
        assert unreadable(study.plotting.figure(name, *fed(name), style=style)) == []


@pytest.mark.parametrize("name", PICTURED)
def test_it_looks_like_its_reference(name: str, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert difference(drawn(name), REFERENCE / f"{name}.png", monkeypatch) < TOLERANCE


@pytest.mark.slow
def test_the_tolerance_notices_other_data(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, runs = fed("degradation")
    half = frame["run_id"].isin(sorted(frame["run_id"].unique())[::2])
    other = frame.assign(error=frame["error"].where(half, 1.5 * frame["error"]))
    plot = study.plotting.plot("degradation", other, runs)
    assert difference(plot, REFERENCE / "degradation.png", monkeypatch) > TOLERANCE


def test_the_files_of_a_figure(absences: Frames, drawn: Drawn, tmp_path: Path) -> None:
    paths = study.plotting.save("degradation", *absences, tmp_path)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".svg", ".txt", ".csv"]
    pdf = paths[0].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    read = pd.read_csv(paths[-1], keep_default_na=False, na_values=[""])
    for column in ("iteration", "error"):
        pd.testing.assert_series_equal(read[column], drawn("degradation").data[column])
    assert "Diverged (×): plain-56 seed 3" in paths[-2].read_text()


@pytest.mark.slow
def test_equal_input_gives_equal_bytes_on_another_day_and_without_torch(
    fed: Fed, small: Frames, tmp_path: Path
) -> None:
    """Rows in another order, other settings of matplotlib, another time: see `another_day.py`."""
    chosen = {"degradation": "pdf,png,svg", "contours": "svg", "surface3d": "svg", "gradients": "svg", "verdict": "svg"}
    before, later = tmp_path / "before", tmp_path / "later"
    settings = dict(matplotlib.rcParams)
    for name, formats in chosen.items():
        frame, runs = fed(name)
        study.plotting.save(name, frame, runs, before, formats=formats.split(","))
        later.mkdir(exist_ok=True)
        turned = None if runs is None else runs.iloc[::-1]
        pd.to_pickle((frame.sample(frac=1, random_state=0), turned), later / f"{name}.frames")
    assert dict(matplotlib.rcParams) == settings
    pd.to_pickle(small, later / "errors.frames")
    words = [f"{name}={formats}" for name, formats in chosen.items()]
    command = [sys.executable, str(Path(__file__).with_name("another_day.py")), str(later), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["imported: []", "torch: False"], done.stderr
    for path in before.iterdir():
        assert path.read_bytes() == (later / path.name).read_bytes(), path.name


def test_a_failed_write_leaves_the_old_file(small: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study.plotting.save("depth_error", *small, tmp_path, formats=("svg",))[0]
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        study.plotting.save("depth_error", *small, tmp_path, formats=("svg",))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["depth_error.csv", "depth_error.svg", "depth_error.txt"]


@pytest.mark.slow
def test_seaborn_takes_the_frames_as_they_are(small: Frames) -> None:
    """The line in the README."""
    import matplotlib.pyplot as plt
    import seaborn

    words = {"x": "iteration", "y": "error", "hue": "depth", "col": "network", "style": "split"}
    grid = seaborn.relplot(small[0], kind="line", errorbar=None, **words)
    assert sum(len(line.get_xdata()) > 0 for axes in grid.axes.flat for line in axes.lines) == 12
    plt.close(grid.figure)
