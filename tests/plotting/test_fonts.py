"""Names in any script: a font that has them is used where there is one, else one line says what would bring it."""

from __future__ import annotations

import logging
import subprocess
import sys
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

LETTER, OTHER = "\U00100123", "\U00100456"  # of private use: no font that is installed has them


@pytest.fixture
def font(tmp_path: Path) -> Path:
    """A font that has `LETTER` alone: a square."""
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
    """Draw and save without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save("degradation", *frames, out, formats=("png", "pdf", "svg"))


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


def test_letters_that_no_font_has_are_said_in_one_line(
    make: Callable[..., Frames], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{OTHER}{OTHER}")
    with caplog.at_level(logging.WARNING):
        drawn(frames, tmp_path)
        drawn(frames, tmp_path)
    (line,) = [record.getMessage() for record in caplog.records]
    assert OTHER in line and "install fonts-" in line and "\n" not in line


def test_latin_names_look_for_no_font(make: Callable[..., Frames], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager, "findfont", None)
    monkeypatch.setattr(font_manager, "findSystemFonts", None)
    assert further(make(depths=(20,), seeds=1, evaluations=4, dataset="fleurs-d'été-größe")) == ()


def test_the_right_package_is_named(tmp_path: Path) -> None:
    """In a process that has no fonts but matplotlib's own."""
    script = (
        "import pandas as pd\nfrom matplotlib import font_manager\n"
        "font_manager.findSystemFonts = lambda: []\n"
        "font_manager.fontManager.ttflist = [e for e in font_manager.fontManager.ttflist if 'mpl-data' in e.fname]\n"
        "from study.plotting.base.fonts import further\n"
        "for text in ('\u82b1\u5349', '\ub370\uc774\ud130', '\u3072\u3089', '\u0939\u093f\u0928'):\n"
        "    further([pd.DataFrame({'dataset': [text]})])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all("fonts-noto-cjk" in line for line in lines[:3]) and "fonts-noto-core" in lines[3]
