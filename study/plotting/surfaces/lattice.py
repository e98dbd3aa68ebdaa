"""The points of one surface as a lattice, or as triangles where it was refined. Never across what was not measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Lattice(NamedTuple):
    """The base lattice of A × B points: `alpha` (A,), `beta` (B,), and (A, B) `place`: rows of the points, -1 for none."""

    alpha: Floats
    beta: Floats
    place: Ints

    def values(self, points: pd.DataFrame, column: str) -> Floats:
        """(A, B) values; NaN where nothing was measured too."""
        found = points[column].to_numpy(float)[self.place]
        return np.where(self.place < 0, np.nan, found)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(A, B): whether the point was."""
        return self.place >= 0


def lattice(points: pd.DataFrame) -> Lattice:
    """The base lattice of a surface; `points` has its rows of one split, with the surface's fields on each."""
    first = points.iloc[0]
    base = np.flatnonzero(points["level"].to_numpy(int) == 0)
    step = 2 ** int(first["refine"])
    a, b = (points[name].to_numpy(int)[base] // step for name in "ij")
    place = np.full((int(first["points_a"]), int(first["points_b"])), -1, dtype=np.intp)
    place[a, b] = base
    alpha, beta = (
        np.linspace(float(first[f"range_{axis}_low"]), float(first[f"range_{axis}_high"]), size)
        for axis, size in zip("ab", place.shape, strict=True)
    )
    alpha[a], beta[b] = points["alpha"].to_numpy(float)[base], points["beta"].to_numpy(float)[base]
    return Lattice(alpha, beta, place)


def refined(points: pd.DataFrame) -> bool:
    """Whether there are points beside the base lattice."""
    return bool((points["level"] > 0).any())


def triangles(points: pd.DataFrame) -> Ints:
    """(T, 3) rows of the points at the corners of each triangle, counter-clockwise seen from above.

    Of a plain lattice every cell with four measured corners is cut in two; a refined one is triangulated after Delaunay.
    No triangle is larger than a cell of the base lattice, so none spans points that are missing.
    """
    found = _delaunay(points) if refined(points) else _halves(lattice(points).place)
    x, y = (points[name].to_numpy(float)[found] for name in ("alpha", "beta"))
    turn = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    return np.where((turn < 0)[:, None], found[:, ::-1], found)


def _halves(place: Ints) -> Ints:
    a, b, c, d = (corner.ravel() for corner in (place[:-1, :-1], place[1:, :-1], place[1:, 1:], place[:-1, 1:]))
    cells = np.stack([a, b, c, d], axis=1)
    cells = cells[(cells >= 0).all(axis=1)]
    return np.concatenate([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])


def _delaunay(points: pd.DataFrame) -> Ints:
    from matplotlib.tri import Triangulation

    i, j = points["i"].to_numpy(int), points["j"].to_numpy(int)
    if len(set(i)) < 2 or len(set(j)) < 2:
        return np.empty((0, 3), dtype=np.intp)
    found: Any = Triangulation(i, j).triangles
    most = 2 ** int(points["refine"].iloc[0])
    return np.asarray(found[(np.ptp(i[found], axis=1) <= most) & (np.ptp(j[found], axis=1) <= most)], dtype=np.intp)
