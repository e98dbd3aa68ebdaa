"""Colours of depths and networks: stable, readable on white, and distinguishable by the colour-blind."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb

from study.errors import StudyError
from study.plotting.base.style import NETWORK_COLOURS, contrast, depth_colour, inches, ink

DRAWN_TOGETHER = [(18, 34), (8, 20, 56), (20, 32, 44, 56, 110), (20, 56, 110), (110, 164, 1202), (18, 34, 50, 101, 152)]
SIGHTS = ("deuteranomaly", "protanomaly", "tritanomaly")


def apart(colours: Sequence[str], sight: str | None) -> float:
    """The smallest difference (CAM02-UCS) between two of these colours, as somebody sees them."""
    seen = [np.array(to_rgb(colour)) for colour in colours]
    if sight is not None:
        space = {"name": "sRGB1+CVD", "cvd_type": sight, "severity": 100}
        seen = [np.clip(cspace_convert(colour, space, "sRGB1"), 0, 1) for colour in seen]
    return min(float(deltaE(one, other)) for one, other in combinations(seen, 2))


@pytest.mark.parametrize("depths", DRAWN_TOGETHER, ids=str)
def test_colours_drawn_together_are_distinguishable_in_every_kind_of_vision(depths: tuple[int, ...]) -> None:
    colours = [depth_colour(depth) for depth in depths]
    assert apart(colours, None) > 7
    assert min(apart(colours, sight) for sight in SIGHTS) > 3
    networks = list(NETWORK_COLOURS.values())
    assert min(apart(networks, sight) for sight in (None, *SIGHTS)) > 20
    for colour in (*colours, *networks):
        assert contrast(colour) >= 3 and contrast(ink(colour)) >= 4.5  # on white


def test_widths_are_words_or_inches() -> None:
    assert [inches(width) for width in (None, "column", "page", "5.5", 4)] == [None, 3.25, 6.75, 5.5, 4]
    for width in ("colum", "0.5", "nan"):
        with pytest.raises(StudyError, match=f"unknown width '{width}': column"):
            inches(width)
