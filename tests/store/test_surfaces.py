"""Surfaces on disk: what is said of those that are not whole yet."""

import pytest

from study.config.surface import Surface, surface_id
from study.store.files import write_json
from study.store.layout import SurfaceFiles
from study.store.surfaces import gather, save_points, write_spec

RANGES = {"range_a_low": -1.0, "range_a_high": 3.0, "range_b_low": 10.0, "range_b_high": 14.0}


def row(i, j, iteration=None):
    place = {"i": i, "j": j, "level": 0, "alpha": i - 1.0, "beta": 10 + 2.0 * j}
    rest = {"residual": None, "loss": 1.0, "error": 1.0, "images": 1, "lambda_max": None, "lambda_min": None}
    return {**place, "iteration": iteration, "split": "train", **rest}


@pytest.mark.parametrize("count", [15, 2, 0])
@pytest.mark.parametrize("facts", [True, False])
def test_ranges_of_an_unfinished_plane(count, facts, tmp_path):
    """Or, where the facts about the plane are lost, as long as they are measured; snapshots do not count."""
    surface = Surface.model_validate({"run": "a-000000000000", "plane": "pca", "points": [5, 3]})
    files = SurfaceFiles(tmp_path / surface_id(surface))
    write_spec(files, surface)
    if facts:
        write_json(files.facts, {"ranges": [[-1.0, 3.0], [10.0, 14.0]]})
    save_points(files.chunk("path"), 1, [row(0, 0, iteration=7) | {"alpha": 99.0, "beta": 99.0}])
    save_points(files.chunk("c000"), count, [row(i, j) for i in range(5) for j in range(3)][:count])
    found = gather(files).to_pylist()[0]
    measured = {15: (-1.0, 3.0, 10.0, 14.0), 2: (-1.0, -1.0, 10.0, 12.0), 0: (0.0, 0.0, 0.0, 0.0)}[count]
    assert {name: found[name] for name in RANGES} == (RANGES if facts else dict(zip(RANGES, measured, strict=True)))
