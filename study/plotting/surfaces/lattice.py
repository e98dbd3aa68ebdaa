"""The points of one surface as a lattice."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Lattice:
    """A × B points: `alpha` (A,), `beta` (B,) and whether each was `measured` (A, B).

    `points` has the rows of a surface of one split, with the surface's fields on each.
    """

    def __init__(self, points: pd.DataFrame) -> None:
        first = points.iloc[0]
        self.shape = (int(first["points_a"]), int(first["points_b"]))
        self.alpha, self.beta = (
            np.linspace(float(first[f"range_{axis}_low"]), float(first[f"range_{axis}_high"]), size)
            for axis, size in zip("ab", self.shape, strict=True)
        )
        places = pd.MultiIndex.from_product([range(size) for size in self.shape])
        self.points = points.set_index(["i", "j"]).reindex(places)
        self.measured: Flags = self.points["surface_id"].notna().to_numpy().reshape(self.shape)

    def values(self, column: str) -> Floats:
        """(A, B) values; NaN where nothing was measured too."""
        return self.points[column].to_numpy(float).reshape(self.shape)

    def lost(self, column: str) -> Flags:
        """(A-1, B-1) cells with all corners measured, and at one of them no finite value."""
        measured, finite = corners(self.measured), corners(np.isfinite(self.values(column)))
        return np.asarray(measured.all(axis=(2, 3)) & ~finite.all(axis=(2, 3)))


def corners(values: np.ndarray) -> np.ndarray:
    """(A-1, B-1, 2, 2) the values at the corners of each cell."""
    return sliding_window_view(values, (2, 2))
