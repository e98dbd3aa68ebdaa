"""Surfaces on disk: what is said of those that are not whole yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.config.surface import Surface, surface_id
from study.store.layout import SurfaceFiles
from study.store.surfaces import Row, gather, save_points, write_spec

LAST_A, LAST_B = 4, 2  # of 5 x 3 points
RANGES = {"range_a_low": -1.0, "range_a_high": 3.0, "range_b_low": 10.0, "range_b_high": 14.0}


def row(i: int, j: int, iteration: int | None = None) -> Row:
    place = {"i": i, "j": j, "level": 0, "alpha": -1 + 4 * i / LAST_A, "beta": 10 + 4 * j / LAST_B}
    rest = {"residual": None, "loss": 1.0, "error": 1.0, "images": 1, "lambda_max": None, "lambda_min": None}
    return {**place, "iteration": iteration, "split": "train", **rest}


@pytest.mark.parametrize("count", [15, 8, 4, 2, 1, 0])
def test_the_axes_of_an_unfinished_trajectorys_plane_are_its_own(count: int, tmp_path: Path) -> None:
    """Their ends follow from some of the points; each axis keeps its place, whatever is measured of the other."""
    surface = Surface.model_validate({"run": "a-000000000000", "plane": "pca", "points": [5, 3]})
    files = SurfaceFiles(tmp_path / surface_id(surface))
    write_spec(files, surface)
    there = [row(i, j) for i in range(LAST_A + 1) for j in range(LAST_B + 1)][:count]
    save_points(files.chunk("path"), 1, [row(0, 0, iteration=7) | {"alpha": 99.0, "beta": 99.0}])
    save_points(files.chunk("c000"), count, there)
    found = gather(files).to_pylist()[0]
    known = RANGES
    if count <= 3:  # of the first axis one place alone
        known = RANGES | {"range_a_high": -1.0}
    if count == 1:
        known = known | {"range_b_high": 10.0}
    if count == 0:
        known = dict.fromkeys(RANGES, 0.0)
    assert {name: found[name] for name in RANGES} == known
