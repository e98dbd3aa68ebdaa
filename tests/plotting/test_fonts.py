"""Names in any script: an installed font is used, otherwise one line says what to install."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib import font_manager

from study.plotting import save
from study.plotting.base.fonts import USUAL, further

from .conftest import Frames

LETTER = "\u1d81"  # in STIX, which comes with matplotlib, but not in the usual font
NOWHERE = "\U00100456"  # for private use: in no installed font


def letters(family: str) -> set[int]:
    return set(font_manager.get_font(font_manager.findfont(family)).get_charmap())


@pytest.mark.slow
def test_a_font_that_has_the_letters_is_used(
    make: Callable[..., Frames], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{LETTER}")
    (family,) = further(frames)
    assert ord(LETTER) in letters(family) and ord(LETTER) not in letters(USUAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save("degradation", *frames, tmp_path / "figures", formats=("pdf", "svg"))
    assert not caplog.records


def test_letters_in_no_font_are_reported_in_one_line(
    make: Callable[..., Frames], caplog: pytest.LogCaptureFixture
) -> None:
    frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{NOWHERE}{NOWHERE}")
    with caplog.at_level(logging.WARNING):
        assert further(frames) == further(frames) == ()
    (line,) = [record.getMessage() for record in caplog.records]
    assert NOWHERE in line and "install fonts-" in line and "\n" not in line
