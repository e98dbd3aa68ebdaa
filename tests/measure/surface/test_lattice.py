"""The points of surfaces: their places, their chunks, and where refinements add more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest

from study.config.surface import Surface
from study.measure.surface.lattice import CHUNK, CURVED_CHUNK, PATH, Place, base, chunks, coordinate, refinement


def make(**fields: object) -> Surface:
    return Surface.model_validate({"run": "plain-8-digits-s0-0123456789ab", **fields})


def test_a_lattice_is_rectangular_and_its_second_axis_changes_fastest() -> None:
    points = base(make(points=[5, 3]))
    assert [(p.i, p.j) for p in points[:4]] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert len(points) == 15 and {p.level for p in points} == {0}
    assert [(p.i, p.j) for p in base(make(points=[3], dims=1, refine=2))] == [(0, 0), (4, 0), (8, 0)]


@pytest.mark.parametrize("refine", [0, 3])
def test_ends_and_centre_are_exact(refine: int) -> None:
    surface = make(points=[51, 7], refine=refine)
    last = 50 * 2**refine
    assert coordinate(surface, 0, 0, -1.0, 1.0) == -1.0 and coordinate(surface, 0, last, -1.0, 1.0) == 1.0
    assert coordinate(surface, 0, last // 2, -1.0, 1.0) == 0.0
    assert coordinate(surface, 1, 6 * 2**refine, 0.1, 0.7) == 0.7
    places = [coordinate(surface, 0, place, -0.3, 1.7) for place in range(last + 1)]
    assert all(a < b for a, b in itertools.pairwise(places))


def test_a_place_keeps_its_coordinate_when_the_lattice_is_refined() -> None:
    coarse, fine = make(points=11), make(points=11, refine=2)
    for place in range(11):
        assert coordinate(coarse, 0, place, -0.7, 1.3) == coordinate(fine, 0, 4 * place, -0.7, 1.3)


def test_chunks_hold_every_point_once_in_order() -> None:
    surface = make(points=[15, 9])
    dealt = dict(chunks(surface, lambda level: None))
    assert [point for points in dealt.values() for point in points] == base(surface)
    assert list(dealt) == ["c000", "c001", "c002"] and len(dealt["c000"]) == CHUNK
    curved = dict(chunks(make(points=3, curvature=True), lambda level: None))
    assert [len(points) for points in curved.values()] == [CURVED_CHUNK, CURVED_CHUNK, 1]
    assert next(chunks(make(plane="pca"), lambda level: None)) == (PATH, [])


def losses(surface: Surface, level: int, function: Callable[[float, float], float]) -> dict[Place, float]:
    """What a surface that is this function measures up to a level."""
    found = {(p.i, p.j): p for p in base(surface)}
    for below in range(1, level):
        known = {place: _value(surface, place, function) for place in found}
        found |= {(p.i, p.j): p for p in refinement(surface, below, known)}
    return {place: _value(surface, place, function) for place in found}


def _value(surface: Surface, place: Place, function: Callable[[float, float], float]) -> float:
    b = coordinate(surface, 1, place[1], -1.0, 1.0) if surface.dims == 2 else 0.0
    return function(coordinate(surface, 0, place[0], -1.0, 1.0), b)


def test_a_surface_that_does_not_bend_is_not_refined() -> None:
    surface = make(points=9, refine=1)
    assert refinement(surface, 1, losses(surface, 1, lambda a, b: math.exp(3 * a - 2 * b))) == []


def test_the_cells_at_a_kink_are_halved_and_no_others() -> None:
    surface = make(points=[9, 3], refine=1)
    known = losses(surface, 1, lambda a, b: math.exp(4 * abs(a)))  # the kink is at place 8 of 0 to 16
    added = refinement(surface, 1, known)
    assert {p.i for p in added} == {6, 7, 8, 9, 10} and {p.level for p in added} == {1}
    assert not {(p.i, p.j) for p in added} & known.keys()
    # Both cells of each row: midpoints of their edges, and their centres.
    assert [p.j for p in added if p.i == 7] == [0, 1, 2, 3, 4] and [p.j for p in added if p.i == 8] == [1, 3]


def test_a_second_refinement_halves_the_halves() -> None:
    surface = make(points=[9, 3], refine=2)
    added = refinement(surface, 2, losses(surface, 2, lambda a, b: math.exp(8 * abs(a))))
    assert {p.i for p in added} == {14, 15, 16, 17, 18} and {p.level for p in added} == {2}


def test_the_tolerance_is_the_share_by_which_interpolation_is_off() -> None:
    # ln L = c a^2, spacing 1/4: the middle of a cell is off by c (1/4)^2 / 4 in the logarithm.
    for off, refined in ((0.019, False), (0.021, True)):
        surface = make(points=9, dims=1, refine=1, tolerance=0.02)
        curve = 4 * off * 16
        assert bool(refinement(surface, 1, losses(surface, 1, lambda a, b: math.exp(curve * a * a)))) is refined  # noqa: B023


@pytest.mark.parametrize("no_number", [math.nan, math.inf])
def test_the_edge_of_what_is_finite_is_refined_and_what_is_not_is_left(no_number: float) -> None:
    surface = make(points=9, dims=1, refine=1)
    added = refinement(surface, 1, losses(surface, 1, lambda a, b: no_number if a > 0.3 else 1.0))
    assert [p.i for p in added] == [11]
    nowhere = losses(surface, 1, lambda a, b: no_number)
    assert refinement(surface, 1, nowhere) == []


def test_a_loss_of_zero_is_a_value() -> None:
    surface = make(points=9, dims=1, refine=1)
    assert refinement(surface, 1, losses(surface, 1, lambda a, b: 0.0)) == []
    assert refinement(surface, 1, losses(surface, 1, lambda a, b: 0.0 if a < 0 else 1.0))


def test_refinements_are_known_once_the_level_below_is_measured() -> None:
    surface = make(points=9, dims=1, refine=2)
    assert list(dict(chunks(surface, lambda level: None))) == ["c000"]
    known = {level: losses(surface, level, lambda a, b: math.exp(9 * abs(a))) for level in (1, 2)}
    assert list(dict(chunks(surface, lambda level: known[level] if level == 1 else None))) == ["c000", "r1c000"]
    assert list(dict(chunks(surface, known.__getitem__))) == ["c000", "r1c000", "r2c000"]
