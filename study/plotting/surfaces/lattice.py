"""The points of one surface as a lattice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Lattice(NamedTuple):
    """A × B points: `alpha` (A,), `beta` (B,), and (A, B) `place`: rows of the points, -1 where none was measured."""

    alpha: Floats
    beta: Floats
    place: NDArray[np.intp]

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(A, B)."""
        return self.place >= 0

    def values(self, points: pd.DataFrame, column: str) -> Floats:
        """(A, B) values; NaN where nothing was measured too."""
        return np.where(self.measured, points[column].to_numpy(float)[self.place], np.nan)

    def lost(self, values: Floats) -> NDArray[np.bool_]:
        """(A-1, B-1) cells with all corners measured, and at one of them no finite value."""
        return _all(self.measured) & ~_all(np.isfinite(values))


def _all(there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(A-1, B-1): whether all corners of each cell are there."""
    return there[:-1, :-1] & there[1:, :-1] & there[1:, 1:] & there[:-1, 1:]


def lattice(points: pd.DataFrame) -> Lattice:
    """The lattice of a surface; `points` has its rows of one split, with the surface's fields on each.

    Of a surface that an earlier version refined these are the points of the lattice that was asked for.
    """
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
