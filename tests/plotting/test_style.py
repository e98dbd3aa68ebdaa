"""Colours of depths are stable, distinguishable and ordered in grey."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from study.plotting.base.style import depth_colour


def test_a_depth_keeps_its_colour() -> None:
    pinned = {8: "#edbe30", 20: "#ea7c35", 34: "#1b7f8c", 56: "#9a1b9e", 110: "#300590", 1202: "#1a1a1a"}
    assert {depth: depth_colour(depth) for depth in pinned} == pinned


@pytest.mark.parametrize("depths", [(18, 20, 34, 56, 110), (8, 20, 56), (20, 32, 44, 56, 110), (110, 164, 1001, 1202)])
def test_depths_of_one_figure_are_distinguishable(depths: tuple[int, ...]) -> None:
    for one, other in combinations(depths, 2):
        assert np.linalg.norm(np.subtract(to_rgb(depth_colour(one)), to_rgb(depth_colour(other)))) > 0.15


@pytest.mark.parametrize("depths", [(8, 20, 32, 44, 56, 110), (18, 34, 50, 101, 152)])
def test_deeper_is_darker_in_grey(depths: tuple[int, ...]) -> None:
    grey = [np.dot(to_rgb(depth_colour(depth)), (0.299, 0.587, 0.114)) for depth in depths]
    assert all(deeper < shallower - 0.03 for shallower, deeper in pairwise(grey))
