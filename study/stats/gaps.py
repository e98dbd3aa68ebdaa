"""Optimisation or generalisation: test error = training error + gap, and how each changes with depth."""

from __future__ import annotations

from dataclasses import dataclass

from study.stats.outcomes import Line
from study.stats.pairs import Contrast, Term, contrast

LAYERS = 10  # changes per depth are given per ten layers


@dataclass(frozen=True)
class Split:
    """How the errors of a line change between two depths; `test` = `train` + `gap`, pair by pair.

    `train` is the part of optimisation: a deeper network could train at least as well as a shallower one, since
    identity layers would make it the same (He et al. 2015, section 1). `gap` is the part of generalisation: where it
    alone grows, depth overfits, as the 1202-layer network does there (section 4.2).
    """

    line: Line
    shallow: int
    deep: int
    train: Contrast
    gap: Contrast
    test: Contrast
    left_out: tuple[str, ...] = ()
    """Networks of the line beyond these depths that too few seeds have, with their number of seeds."""

    def per_depth(self, part: str) -> float:
        """The mean change of one part in points per ten added layers."""
        change: Contrast = getattr(self, part)
        return change.mean / (self.deep - self.shallow) * LAYERS


def split(line: Line, shallow: int, deep: int, left_out: tuple[str, ...] = ()) -> Split:
    """The change of each error from one depth of a line to another.

    The expected sign of the training and test error is that of He et al. 2015, figure 6 and table 6: plain nets get
    worse with depth, residual ones better. The gap is expected to grow.
    """
    terms = Term(1, line, deep), Term(-1, line, shallow)
    worse = 1 if line.network == "plain" else -1
    train, gap, test = (contrast(terms, part, sign) for part, sign in (("train", worse), ("gap", 1), ("test", worse)))
    return Split(line, shallow, deep, train, gap, test, left_out)
