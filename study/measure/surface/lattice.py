"""Which points a surface has, and how they are dealt out to chunks. Pure: no torch, so that planning needs none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from study.config.surface import Surface

CHUNK, CURVED_CHUNK = 64, 4
"""Points of a chunk; the second where the curvature is measured at each. What is to be done must not hang on who does it, so
these are constants."""

PATH = "path"
"""The key of the chunk that evaluates the snapshots of a trajectory."""

TINY = 1e-12
"""Nats below which losses count as equal when the bending is judged, which is done on logarithms."""

Place = tuple[int, int]


class Point(NamedTuple):
    """A point on the finest lattice: its place along each axis (`j` is 0 on a line), and the refinement that added it."""

    i: int
    j: int
    level: int


def base(surface: Surface) -> list[Point]:
    """The lattice that was asked for; the second axis changes fastest."""
    step = 2**surface.refine
    across = surface.points[1] if surface.dims == 2 else 1
    return [Point(i * step, j * step, 0) for i in range(surface.points[0]) for j in range(across)]


def coordinate(surface: Surface, axis: int, place: int, low: float, high: float) -> float:
    """The coordinate of a place along an axis: exactly `low`, `high` and, in the middle of -r to r, exactly 0."""
    last: int = (surface.points[axis] - 1) * 2**surface.refine
    if place in (0, last):
        return low if place == 0 else high
    return (low * (last - place) + high * place) / last


def refinement(surface: Surface, level: int, losses: Mapping[Place, float]) -> list[Point]:
    """The points that the `level`-th refinement adds, from 1 on: those that halve each cell in which the surface bends.

    A cell is halved where linear interpolation of the logarithm of the loss would be off by more than `tolerance`
    (estimated from second differences), and where its corners are partly numbers and partly not.

    Parameters
    ----------
    losses
        Of all points so far, by place.
    """
    half = 2 ** (surface.refine - level)
    size, axes = 2 * half, range(surface.dims)
    logs = {place: math.log(max(loss, TINY)) for place, loss in losses.items() if math.isfinite(loss)}
    bends = {place for place in logs if any(_bends(logs, place, axis, size, surface.tolerance or 0) for axis in axes)}
    new: set[Place] = set()
    for place in losses:
        corners = _corners(place, size, surface.dims)
        if not all(corner in losses for corner in corners):
            continue
        finite = sum(corner in logs for corner in corners)
        if 0 < finite < len(corners) or any(corner in bends for corner in corners):
            new |= set(_corners(place, half, surface.dims, 3)) - losses.keys()
    return [Point(i, j, level) for i, j in sorted(new)]


def _bends(logs: Mapping[Place, float], place: Place, axis: int, step: int, tolerance: float) -> bool:
    before, after = (_moved(place, axis, way * step) for way in (-1, 1))
    if before not in logs or after not in logs:
        return False
    # The error of linear interpolation midway is an eighth of the second difference.
    return abs(logs[before] - 2 * logs[place] + logs[after]) / 8 > tolerance


def _moved(place: Place, axis: int, by: int) -> Place:
    return (place[0] + by, place[1]) if axis == 0 else (place[0], place[1] + by)


def _corners(place: Place, step: int, dims: int, count: int = 2) -> list[Place]:
    """`count` places a side of the square (or the interval) that begins at `place`."""
    ways: Iterable[tuple[int, int]] = product(range(count), range(count if dims == 2 else 1))
    return [(place[0] + a * step, place[1] + b * step) for a, b in ways]


def chunks(
    surface: Surface, losses: Callable[[int], Mapping[Place, float] | None]
) -> Iterator[tuple[str, list[Point]]]:
    """The chunks that are known so far, as key and points; that of a trajectory has no points here.

    Parameters
    ----------
    losses
        Those of all points of the levels below the one it is asked for, or None where some are not measured yet.
    """
    if surface.has_trajectory:
        yield PATH, []
    size = CURVED_CHUNK if surface.curvature else CHUNK
    yield from _dealt("c", base(surface), size)
    for level in range(1, surface.refine + 1):
        known = losses(level)
        if known is None:
            return
        yield from _dealt(f"r{level}c", refinement(surface, level, known), size)


def _dealt(prefix: str, points: Sequence[Point], size: int) -> Iterator[tuple[str, list[Point]]]:
    for number, start in enumerate(range(0, len(points), size)):
        yield f"{prefix}{number:03d}", list(points[start : start + size])
