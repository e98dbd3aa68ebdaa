"""The points of a surface, and how they are split into chunks. Pure and without torch, so planning needs none."""

from __future__ import annotations

from typing import NamedTuple

from study.config.surface import Surface

CHUNK, CURVED_CHUNK = 64, 4
"""Points per chunk; the second if the curvature is measured at each. Constants, so that the split is the same everywhere."""

PATH = "path"
"""The key of the chunk that evaluates the snapshots of a trajectory."""


class Point(NamedTuple):
    """A point's place along each axis; `j` is 0 on a line."""

    i: int
    j: int


def lattice(surface: Surface) -> list[Point]:
    """All points; the second axis changes fastest."""
    across = surface.points[1] if surface.dims == 2 else 1
    return [Point(i, j) for i in range(surface.points[0]) for j in range(across)]


def coordinate(surface: Surface, axis: int, place: int, low: float, high: float) -> float:
    """The coordinate of a place along an axis: exactly `low`, `high` and, in the middle of -r to r, exactly 0."""
    last = surface.points[axis] - 1
    if place in (0, last):
        return low if place == 0 else high
    return (low * (last - place) + high * place) / last


def chunks(surface: Surface) -> dict[str, list[Point]]:
    """The points of each chunk, by its key; the chunk of a trajectory has none here."""
    points, size = lattice(surface), CURVED_CHUNK if surface.curvature else CHUNK
    found: dict[str, list[Point]] = {PATH: []} if surface.has_trajectory else {}
    for number, start in enumerate(range(0, len(points), size)):
        found[f"c{number:03d}"] = points[start : start + size]
    return found
