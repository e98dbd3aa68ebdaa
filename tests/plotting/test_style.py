"""Colours of depths and networks, told apart by everybody; fonts that have the letters of names in any script."""

import logging
import warnings
from itertools import combinations

import numpy as np
import pytest
from colorspacious import cspace_convert, deltaE
from matplotlib import font_manager
from matplotlib.colors import to_rgb

from study.errors import StudyError
from study.plotting import save
from study.plotting.base.fonts import USUAL, further
from study.plotting.base.style import NETWORK_COLOURS, contrast, depth_colour, inches, ink

from .conftest import study as make

DRAWN_TOGETHER = [(18, 34), (8, 20, 56), (20, 32, 44, 56, 110), (20, 56, 110), (110, 164, 1202), (18, 34, 50, 101, 152)]
SIGHTS = ("deuteranomaly", "protanomaly", "tritanomaly")


def apart(colours, sight):
    """The smallest difference (CAM02-UCS) between two of these colours, as somebody sees them."""
    seen = [np.array(to_rgb(colour)) for colour in colours]
    if sight is not None:
        space = {"name": "sRGB1+CVD", "cvd_type": sight, "severity": 100}
        seen = [np.clip(cspace_convert(colour, space, "sRGB1"), 0, 1) for colour in seen]
    return min(float(deltaE(one, other)) for one, other in combinations(seen, 2))


@pytest.mark.parametrize("depths", DRAWN_TOGETHER, ids=str)
def test_colours_drawn_together_are_distinguishable_in_every_kind_of_vision(depths):
    colours = [depth_colour(depth) for depth in depths]
    assert apart(colours, None) > 7
    assert min(apart(colours, sight) for sight in SIGHTS) > 3
    networks = list(NETWORK_COLOURS.values())
    assert min(apart(networks, sight) for sight in (None, *SIGHTS)) > 20
    for colour in (*colours, *networks):
        assert contrast(colour) >= 3 and contrast(ink(colour)) >= 4.5  # on white


def test_widths_are_words_or_inches():
    assert [inches(width) for width in (None, "column", "page", "5.5", 4)] == [None, 3.25, 6.75, 5.5, 4]
    for width in ("colum", "0.5", "nan"):
        with pytest.raises(StudyError, match=f"unknown width '{width}': column"):
            inches(width)


# -- fonts -------------------------------------------------------------------------------------------------------------

LETTER = "\u1d81"  # in STIX, which comes with matplotlib, but not in the usual font
NOWHERE = "\U00100456"  # for private use: in no installed font


def letters(family):
    return set(font_manager.get_font(font_manager.findfont(family)).get_charmap())


@pytest.mark.slow
def test_a_font_that_has_the_letters_is_used(tmp_path, caplog):
    frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{LETTER}")
    (family,) = further(frames)
    assert ord(LETTER) in letters(family) and ord(LETTER) not in letters(USUAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save("degradation", *frames, tmp_path / "figures", formats=("pdf", "svg"))
    assert not caplog.records


def test_letters_in_no_font_are_reported_in_one_line(caplog):
    frames = make(depths=(20,), seeds=1, evaluations=4, dataset=f"flowers-{NOWHERE}{NOWHERE}")
    with caplog.at_level(logging.WARNING):
        assert further(frames) == further(frames) == ()
    (line,) = [record.getMessage() for record in caplog.records]
    assert NOWHERE in line and "install fonts-" in line and "\n" not in line
