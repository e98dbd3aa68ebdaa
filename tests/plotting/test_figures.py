"""`figure` and `save`: what they refuse, write, and leave untouched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import matplotlib.pyplot
import pandas as pd
import pytest
from matplotlib.text import Text

import study.plotting
from study.config.registry import FIGURES
from study.errors import StudyError
from study.plotting.base.style import STYLES

from .conftest import Frames

ALL = sorted(FIGURES)
OF_CURVES = sorted(name for name, entry in FIGURES.items() if entry.needs == "curves")
ALIKE = ("svg",)
"""It has what the other formats have: every line, shape and letter, and what is dots in all of them."""
EVERY = ("pdf", "png", "svg")
DIFFERENT = dict.fromkeys(("degradation", "contours", "surface3d"), EVERY)
"""What the formats write each in its own way: lines, filled shapes, a mesh as dots, bars, and marks. `long` has all figures."""
CHOSEN = [*DIFFERENT, "fig6", "gradients", "verdict"]
"""Figures that are drawn again here, of each kind of drawing one; `long` draws all of them again."""
DOTS = 60  # an inch: a picture of that many differs where one of 300 does
Fed = Callable[[str], tuple[pd.DataFrame, pd.DataFrame | None]]


def test_runs_may_be_left_out(small: Frames) -> None:
    drawn = study.plotting.figure("degradation", small[0])
    assert [axes.get_title("left") for axes in drawn.axes] == ["plain  (n = 3)", "residual  (n = 3)"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"name": "degradatoin"}, "unknown figure 'degradatoin'; did you mean 'degradation'?"),
        ({"style": "papr"}, "unknown style 'papr'; did you mean 'paper'?"),
        ({"trainin": "train"}, "unknown option 'trainin' of figure 'degradation'; did you mean 'training'?"),
        ({"training": "tran"}, "unknown training split 'tran'; did you mean 'train'?"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(call: dict[str, str], message: str, small: Frames) -> None:
    options = {"name": "degradation"} | call
    with pytest.raises(StudyError) as caught:
        study.plotting.figure(frame=small[0], runs=small[1], **options)
    assert str(caught.value) == message


def test_unknown_format_is_refused_before_anything_is_written(small: Frames, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="unknown figure format 'pgn'; did you mean 'png'"):
        study.plotting.save("degradation", *small, tmp_path, formats=("pdf", "pgn"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OF_CURVES)
def test_a_frame_that_lacks_columns_is_refused(name: str, small: Frames) -> None:
    curves, runs = small
    with pytest.raises(StudyError, match="the curves frame lacks split, error"):
        study.plotting.figure(name, curves.drop(columns=["split", "error"]), runs)
    with pytest.raises(StudyError, match="the runs frame lacks depth"):
        study.plotting.figure(name, curves, runs.drop(columns="depth"))
    with pytest.raises(StudyError, match="the curves frame lacks depth"):
        study.plotting.figure(name, curves.drop(columns="depth"))


@pytest.mark.parametrize("name", OF_CURVES)
def test_empty_curves_are_refused(name: str, small: Frames) -> None:
    with pytest.raises(StudyError, match="none of the 12 runs has been evaluated"):
        study.plotting.figure(name, small[0].iloc[:0], small[1])


def test_curves_that_no_run_accounts_for_are_refused(small: Frames) -> None:
    with pytest.raises(StudyError, match="curves of 1 runs that the runs frame does not list"):
        study.plotting.figure("degradation", small[0], small[1].iloc[1:])


@pytest.fixture(scope="module")
def another_day(fed: Fed, small: Frames, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The chosen figures as `another_day.py` draws them, in a process of its own; and what it says of what was imported."""
    folder = tmp_path_factory.mktemp("another-day")
    for name in CHOSEN:
        frame, runs = fed(name)
        turned = None if runs is None else runs.iloc[::-1]
        pd.to_pickle((frame.sample(frac=1, random_state=0), turned), folder / f"{name}.frames")
    pd.to_pickle(small, folder / "errors.frames")
    formats = [f"{name}={','.join(DIFFERENT.get(name, ALIKE))}" for name in CHOSEN]
    command = [sys.executable, str(Path(__file__).with_name("another_day.py")), str(folder), str(DOTS), *formats]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


@pytest.mark.parametrize("name", CHOSEN)
def test_equal_input_gives_equal_bytes_whatever_day_and_settings(
    name: str, fed: Fed, another_day: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STYLES["paper"], "savefig.dpi", DOTS)
    formats = DIFFERENT.get(name, ALIKE)
    before = dict(matplotlib.rcParams)
    first = study.plotting.save(name, *fed(name), tmp_path, formats=formats)
    assert dict(matplotlib.rcParams) == before
    assert [path.name for path in first] == [f"{name}.{ending}" for ending in (*formats, "txt", "csv")]
    for one in first:
        assert one.read_bytes() == (another_day[0] / one.name).read_bytes(), one.name
    assert all(len(part) > 10 for part in first[-2].read_text("utf-8").split("\n\n")), "a caption has no empty part"


@pytest.mark.long
@pytest.mark.parametrize("name", ALL)
def test_equal_input_gives_equal_bytes_in_every_format(
    name: str, fed: Fed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, runs = fed(name)
    first = study.plotting.save(name, frame, runs, tmp_path / "first")
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 86_400)
    with matplotlib.rc_context({"savefig.dpi": 20.0}):
        again = study.plotting.save(name, frame, runs, tmp_path / "again")
    assert [path.name for path in first] == [f"{name}.{ending}" for ending in ("pdf", "png", "svg", "txt", "csv")]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_pdf_embeds_its_fonts_and_has_no_date(small: Frames, tmp_path: Path) -> None:
    pdf = study.plotting.save("depth_error", *small, tmp_path, formats=("pdf",))[0].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf


def test_a_failed_write_leaves_the_old_file(small: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study.plotting.save("depth_error", *small, tmp_path, formats=("png",))[0]
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        study.plotting.save("depth_error", *small, tmp_path, formats=("png",))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["depth_error.csv", "depth_error.png", "depth_error.txt"]


def test_importing_is_light_and_drawing_needs_no_torch(another_day: tuple[Path, list[str]]) -> None:
    assert another_day[1] == ["imported: []", "torch: False"]


def test_the_csv_reads_back_as_what_was_drawn(absences: Frames, tmp_path: Path) -> None:
    from study.plotting.curves import degradation

    path = study.plotting.save("degradation", *absences, tmp_path, formats=())[-1]
    drawn = degradation.plot(*absences).data
    read = pd.read_csv(path, keep_default_na=False, na_values=[""])
    for column in ("iteration", "error"):
        pd.testing.assert_series_equal(read[column], drawn[column])
    assert list(read["run_id"].fillna("")) == list(drawn["run_id"].fillna(""))


def test_a_changed_recipe_is_said_to_be_changed(small: Frames) -> None:
    curves, runs = small
    words = [text.get_text() for text in study.plotting.figure("degradation", curves, runs).findobj(Text)]
    assert not any("changed" in word for word in words)
    changed = runs.assign(recipe_changes="iterations, batch_size")
    words = [text.get_text() for text in study.plotting.figure("degradation", curves, changed).findobj(Text)]
    assert any("(changed: iterations, batch_size)" in word for word in words)


def test_seaborn_takes_the_frames_as_they_are(small: Frames) -> None:
    """The README's line."""
    import seaborn

    words = {"x": "iteration", "y": "error", "hue": "depth", "col": "network", "style": "split"}
    grid = seaborn.relplot(small[0], kind="line", errorbar=None, **words)
    lines = [line for axes in grid.axes.flat for line in axes.lines if len(line.get_xdata())]
    assert len(lines) == 12  # 2 networks, 2 depths, 3 splits
    matplotlib.pyplot.close(grid.figure)
