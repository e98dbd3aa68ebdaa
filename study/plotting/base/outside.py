"""What was measured and lies beyond the ends of an axis or of a scale of colours: a picture says so, name by name."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd


def outside(
    values: pd.Series, names: pd.Series, limits: tuple[float, float], unit: str, where: str = "", of: str = "picture"
) -> Iterator[str]:
    """A note for each end that values lie beyond: `beyond the picture, above 42 %: plain-8 up to 88.2`.

    `values`: what was measured; NaN is left out, infinity is not. `names`: what each value is of. `limits`: the ends
    of the axis or scale. `where`: which panel is meant, if there are several. `of`: what ends there: the picture, or
    its colours.
    """
    known = values.astype(float)
    what = f" ({where})" if where else ""
    for word, bound, far, way, end in (
        ("above", limits[1], known[known > limits[1]], "up to", "max"),
        ("below", limits[0], known[known < limits[0]], "down to", "min"),
    ):
        ends = far.groupby(names[far.index], sort=False).agg(end)
        if len(ends):
            told = ", ".join(f"{name} {way} {value:.4g}" for name, value in ends.items())
            yield f"beyond the {of}{what}, {word} {f'{bound:.4g} {unit}'.strip()}: {told}"


def nothing(values: pd.Series, names: pd.Series, what: str) -> Iterator[str]:
    """A note on values of zero and below, for which a logarithmic axis has no place."""
    lost = names[values.astype(float) <= 0]
    counts = lost.groupby(lost, sort=False).size()
    if len(counts):
        told = ", ".join(f"{name} at {count:,} of {(names == name).sum():,} points" for name, count in counts.items())
        yield f"{what} not above 0, drawn at the lower edge of the logarithmic axis: {told}"
