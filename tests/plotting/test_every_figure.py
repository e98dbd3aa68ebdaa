"""Each figure, drawn once: its files, its words, what the files say of how they were made, and equal bytes each time."""

from io import BytesIO
from itertools import combinations
from unittest import mock

import matplotlib
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

import study.plotting
from study.config.registry import FIGURES
from study.plotting.base.style import styled
from study.version import VERSION

DPI = 300  # as pictures are saved: at less, letters snap to whole dots


def written(figure):
    """Every text that is drawn."""
    drawn = []

    def note(self, renderer):
        if self.get_visible() and self.get_text().strip():
            drawn.append(self)

    figure.set_dpi(DPI)
    with mock.patch.object(Text, "draw", note):
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
    return drawn


def unreadable(figure):
    """Texts that leave the sheet, and pairs that overlap; boxes include the room for descenders."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in written(figure)]
    page = figure.bbox
    faults = [
        f"cut off: {name}"
        for name, box in boxes
        if not (page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1)
    ]
    for (name, box), (other, rival) in combinations(boxes, 2):
        across = min(box.x1, rival.x1) - max(box.x0, rival.x0)
        along = min(box.y1, rival.y1) - max(box.y0, rival.y0)
        if across > 2 and along > 0.3 * min(box.height, rival.height):
            faults.append(f"overlap: {name} | {other}")
    return faults


EVERY = sorted({entry.target: name for name, entry in FIGURES.items()}.values())


@pytest.mark.parametrize("name", EVERY)
def test_it_has_data_and_a_caption(name, drawn):
    plot = drawn(name)
    assert len(plot.data) and plot.caption.rstrip("\n").endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_its_text_is_readable(name, drawn):
    with styled("paper"):
        assert unreadable(drawn(name).figure) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["degradation", "orders", "verdict", "gradients", "cures"])
@pytest.mark.parametrize("look", [{"style": "talk"}, {"width": "column"}, {"width": "column", "bare": True}], ids=str)
def test_its_text_is_readable_at_other_sizes(name, look, fed):
    with styled(look.get("style", "paper"), width=look.get("width"), bare=look.get("bare", False)):
        figure = study.plotting.figure(name, *fed(name), **look)
        assert unreadable(figure) == []
    smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
    assert smallest >= 6, "points, at the printed size"
    assert figure.get_figwidth() == (3.25 if "width" in look else 6.75)
    assert bool(figure.texts) != look.get("bare", False), "headers and notes"


def test_a_picture_says_how_it_was_made(absences, tmp_path):
    frame, runs = absences
    runs = runs.assign(torch="2.14.1", commit="8e761e6")
    paths = study.plotting.save(
        "depth_error", frame, runs, tmp_path, formats=("png", "pdf"), sweeps=["mine"], training="train", width="column"
    )
    with Image.open(paths[0]) as image:
        said = image.text
    assert said["Description"] == "study figure depth_error mine training=train width=column"
    assert said["Source"].startswith(f"study {VERSION}; matplotlib ")
    assert "torch 2.14.1; commit 8e761e6" in said["Source"]
    assert said["Description"].encode() in paths[1].read_bytes()


def test_the_files_of_a_figure(absences, drawn, tmp_path):
    paths = study.plotting.save("degradation", *absences, tmp_path)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".svg", ".txt", ".csv"]
    pdf = paths[0].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    read = pd.read_csv(paths[-1], keep_default_na=False, na_values=[""])
    for column in ("iteration", "error"):
        pd.testing.assert_series_equal(read[column], drawn("degradation").data[column])
    assert "Diverged (×): plain-56 seed 3" in paths[-2].read_text()


def test_a_notebook_shows_a_figure_once(small):
    with Image.open(BytesIO(study.plotting.figure("degradation", *small)._repr_png_())) as image:
        assert image.format == "PNG" and 400 < image.width < 2000
    assert pyplot.get_fignums() == []  # whose backend would draw it again


@pytest.mark.slow
def test_equal_input_gives_equal_bytes(fed, tmp_path):
    """Rows in another order, other settings of matplotlib, another time."""
    chosen = {"degradation": "pdf,png,svg", "contours": "svg", "surface3d": "svg", "gradients": "svg", "verdict": "svg"}
    settings, before, later = dict(matplotlib.rcParams), tmp_path / "before", tmp_path / "later"
    for name, formats in chosen.items():
        frame, runs = fed(name)
        study.plotting.save(name, frame, runs, before, formats=formats.split(","))
        turned = frame.sample(frac=1, random_state=0), None if runs is None else runs.iloc[::-1]
        with matplotlib.rc_context({"lines.linewidth": 7.0, "font.size": 20.0, "axes.facecolor": "red"}):
            study.plotting.save(name, *turned, later, formats=formats.split(","))
    assert dict(matplotlib.rcParams) == settings
    assert {path.name: path.read_bytes() for path in before.iterdir()} == {
        path.name: path.read_bytes() for path in later.iterdir()
    }
