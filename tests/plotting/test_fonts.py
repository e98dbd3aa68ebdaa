"""Names in any script: an installed font is used, otherwise one line says what to install."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from study.plotting import save
from study.plotting.base.fonts import further

from .conftest import Frames

LETTER, OTHER = "\U00100123", "\U00100456"  # for private use: in no installed font


@pytest.fixture
def font(tmp_path: Path) -> Path:
    """A font with `LETTER` only: a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(LETTER): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (900, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares of this test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "squares.ttf"
    builder.save(path)
    return path


def drawn(frames: Frames, out: Path) -> None:
    """Draw and save without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save("degradation", *frames, out, formats=("pdf", "svg"))


@pytest.mark.slow
def test_a_font_that_has_the_letters_is_used(
    font: Path, make: Callable[..., Frames], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(font)
    try:
        frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{LETTER}")
        assert further(frames) == ("Squares of this test",)
        drawn(frames, tmp_path / "figures")
    finally:
        font_manager.fontManager.ttflist[:] = before
        further.__globals__["_covering"].cache_clear()
    assert not caplog.records


def test_letters_in_no_font_are_reported_in_one_line(
    make: Callable[..., Frames], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{OTHER}{OTHER}")
    with caplog.at_level(logging.WARNING):
        assert further(frames) == further(frames) == ()
    (line,) = [record.getMessage() for record in caplog.records]
    assert OTHER in line and "install fonts-" in line and "\n" not in line
