"""The points of surfaces: their places, coordinates and chunks."""

import itertools

from study.config.surface import Surface
from study.measure.surface.lattice import CHUNK, CURVED_CHUNK, PATH, chunks, coordinate, lattice


def make(**fields):
    return Surface.model_validate({"run": "plain-8-digits-s0-0123456789ab", **fields})


def test_a_lattice_is_rectangular_and_its_second_axis_changes_fastest():
    points = lattice(make(points=[5, 3]))
    assert points[:4] == [(0, 0), (0, 1), (0, 2), (1, 0)] and len(points) == 15
    assert lattice(make(points=[3], dims=1)) == [(0, 0), (1, 0), (2, 0)]


def test_ends_and_centre_are_exact():
    surface = make(points=[51, 7])
    assert coordinate(surface, 0, 0, -1.0, 1.0) == -1.0 and coordinate(surface, 0, 50, -1.0, 1.0) == 1.0
    assert coordinate(surface, 0, 25, -1.0, 1.0) == 0.0
    assert coordinate(surface, 1, 6, 0.1, 0.7) == 0.7
    places = [coordinate(surface, 0, place, -0.3, 1.7) for place in range(51)]
    assert all(a < b for a, b in itertools.pairwise(places))


def test_chunks_hold_every_point_once_in_order():
    surface = make(points=[15, 9])
    split = chunks(surface)
    assert [point for points in split.values() for point in points] == lattice(surface)
    assert list(split) == ["c000", "c001", "c002"] and len(split["c000"]) == CHUNK
    curved = chunks(make(points=3, curvature=True))
    assert [len(points) for points in curved.values()] == [CURVED_CHUNK, CURVED_CHUNK, 1]
    assert next(iter(chunks(make(plane="pca")).items())) == (PATH, [])
