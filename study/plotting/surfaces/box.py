"""A box in space, drawn flat: where in the picture a point of it is. Seen from afar (orthographic), so that lengths compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.transforms import Affine2D

from study.plotting.base import canvas, style
from study.plotting.surfaces.lattice import Floats

Span = tuple[float, float]
Marks = Iterable[tuple[float, str]]
TEXT = 6.3  # points
TICK = 0.02  # lengths of the box
LONG = 0.6  # inches of an edge that has room for more than a tick or two


class View(NamedTuple):
    """Whence something is seen: `elev` above the ground and `azim` around it, from the first axis to the second; degrees."""

    elev: float
    azim: float

    @property
    def right(self) -> Floats:
        """(3,) what is to the right in the picture."""
        a = math.radians(self.azim)
        return np.array([-math.sin(a), math.cos(a), 0.0])

    @property
    def up(self) -> Floats:
        """(3,) what is up in the picture."""
        e, a = math.radians(self.elev), math.radians(self.azim)
        return np.array([-math.sin(e) * math.cos(a), -math.sin(e) * math.sin(a), math.cos(e)])

    @property
    def near(self) -> Floats:
        """(2,) where, on the ground, the viewer is."""
        a = math.radians(self.azim)
        return np.array([math.cos(a), math.sin(a)])


class Box:
    """What lies within three spans of data, scaled to a box on the ground whose longer side is 1.

    Parameters
    ----------
    spans
        Of the two axes of the ground and of the height; the lowest height is on the ground.
    tall
        The box's height.
    view
        Whence it is seen.
    """

    def __init__(self, spans: tuple[Span, Span, Span], tall: float, view: View) -> None:
        self.spans = spans
        self.view = view
        lengths = np.array([high - low for low, high in spans])
        self.sizes = np.append(lengths[:2] / lengths[:2].max(), tall)
        self._start = np.array([low for low, _ in spans])
        self._scale = self.sizes / lengths

    def within(self, points: Floats) -> Floats:
        """(..., 3) data in the box's coordinates."""
        inside: Floats = (points - self._start) * self._scale
        return inside

    def seen(self, points: Floats) -> Floats:
        """(..., 2) where data (..., 3) are in the picture, in lengths of the box."""
        inside = self.within(points)
        return np.stack([inside @ self.view.right, inside @ self.view.up], axis=-1)

    def nearness(self, points: Floats) -> Floats:
        """(...) how near the viewer data (..., 3) stand, on the ground: what is nearer hides what is behind it."""
        found: Floats = self.within(points)[..., :2] @ self.view.near
        return found

    @property
    def ground(self) -> Affine2D:
        """From data on the ground, (..., 2), to the picture."""
        origin, first, second = self.seen(self._start + np.vstack([np.zeros(3), np.eye(3)[:2]]))
        (a, b), (c, d), (e, f) = first - origin, second - origin, origin
        x, y = self._start[:2]
        return Affine2D.from_values(a, b, c, d, e - a * x - c * y, f - b * x - d * y)

    @cached_property
    def corners(self) -> Floats:
        """(2, 2, 2, 3) data at the corners, by whether each axis is at its low or its high end."""
        return np.stack(np.meshgrid(*self.spans, indexing="ij"), axis=-1)

    @property
    def extent(self) -> tuple[Span, Span]:
        """How far the box reaches across and up in the picture."""
        x, y = np.moveaxis(self.seen(self.corners), -1, 0)
        return (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))

    @property
    def front(self) -> tuple[int, int]:
        """Which end of each ground axis is nearer the viewer: 0 is the low one."""
        return int(self.view.near[0] > 0), int(self.view.near[1] > 0)

    @property
    def aspect(self) -> float:
        """Its height over its width in the picture."""
        (left, right), (bottom, top) = self.extent
        return (top - bottom) / (right - left)


def cage(axes: Axes, box: Box, marks: Callable[[float, float], Marks], floor: float, name: str, size: float) -> None:
    """Draw what stands around the data: the edges of the ground and of the walls behind, ticks and names.

    Parameters
    ----------
    axes
        Flat, of which nothing else is left.
    marks
        From two heights to the heights between that get a line, and what is written there.
    floor
        The lowest share of the box, which has no marks.
    name
        Of the height; where it is empty, its marks are not written.
    size
        Inches to a length of the box.
    """
    axes.set_axis_off()
    axes.set_aspect("equal")
    (i, j), corners = box.front, box.corners
    behind = corners[[1 - i, 1 - i, i], [j, 1 - j, 1 - j]]  # (3, 2, 3): the upright edges of both walls
    edges = [corners[[0, 1, 1, 0, 0], [0, 0, 1, 1, 0], 0], behind[:, 1], *behind]
    ticks = [tick for axis in (0, 1) for tick in _ground_axis(axes, box, axis, size)]
    levels = _height_axis(axes, box, behind, marks, floor, name)
    thin: dict[str, Any] = {"linewidths": 0.4, "clip_on": False}
    dark = LineCollection(
        [*(box.seen(edge) for edge in edges), *ticks], colors=style.INK, alpha=0.5, zorder=0.5, **thin
    )
    axes.add_collection(dark, autolim=False)
    axes.add_collection(LineCollection(levels, colors=style.FAINT, zorder=0.4, **thin), autolim=False)


def _ground_axis(axes: Axes, box: Box, axis: int, size: float) -> Iterator[Floats]:
    """Write what is at the ticks of an axis of the ground, and its name beyond them; the ticks as lines (2, 2)."""
    (low, high), near = box.spans[axis], box.front[axis]
    length = size * float(np.hypot(*np.ptp(box.seen(_edge(box, axis, [low, high])), axis=0)))
    for tick in canvas.few(low, high, 4 if length > LONG else 2):
        if 0.04 < (tick - low) / (high - low) < 0.96:  # those at a corner meet
            edge, away = _outwards(box, axis, tick)
            yield np.stack([edge, edge + TICK * away])
            _write(axes, f"{tick:g}".replace("-", "−"), edge, 8 * away, size=TEXT)
    edge, away = _outwards(box, axis, low + (high - low) * (0.97 if near else 0.03))
    _write(axes, "αβ"[axis], edge, 11 * away, size=7.5)


def _height_axis(
    axes: Axes, box: Box, behind: Floats, marks: Callable[[float, float], Marks], floor: float, name: str
) -> list[Floats]:
    """Write what is at heights, and what they are, beside the leftmost upright edge; lines (3, 2) along the walls."""
    low, high = box.spans[2]
    start = int(np.argmin(box.seen(behind[:, 0])[:, 0]))
    lines = []
    for height, text in marks(low + floor * (high - low), high):
        wall = behind[:, 0].copy()
        wall[:, 2] = height
        lines.append(box.seen(wall))
        if name:
            _write(axes, text, lines[-1][start], (-3, 0), size=TEXT, ha="right")
    _write(axes, name, box.seen(behind[start]).mean(axis=0), (-25, 0), size=7, ha="right", rotation=90)
    return lines


def _edge(box: Box, axis: int, places: list[float]) -> Floats:
    """(N, 3) places along the nearer edge of the ground, by their coordinate on an axis."""
    found = np.repeat(box.corners[*box.front, 0][None], len(places), axis=0)
    found[:, axis] = places
    return found


def _outwards(box: Box, axis: int, place: float) -> tuple[Floats, Floats]:
    """(2,) where a place on the nearer edge along an axis is in the picture, and (2,) which way leads outwards, of length 1."""
    edge = _edge(box, axis, [place])[0]
    outside = edge.copy()
    outside[1 - axis] += edge[1 - axis] - sum(box.spans[1 - axis]) / 2
    here, there = box.seen(edge), box.seen(outside)
    return here, (there - here) / np.linalg.norm(there - here)


def _write(axes: Axes, text: str, at: Floats, away: Any, ha: str = "center", **look: Any) -> None:
    """Text so many points away from a place."""
    axes.annotate(
        text, (at[0], at[1]), (away[0], away[1]), textcoords="offset points", annotation_clip=False, ha=ha, va="center",
        **look,
    )  # fmt: skip
