"""Names beside the ends of lines, spread so that none overlap: a legend that is read without looking away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from study.plotting.base.style import MUTED

SIZE = 7.0  # points
ASIDE = 9  # points from the panel's edge to the text


class EndLabel(NamedTuple):
    """A line's name beside its end: `y` in data units, infinite for a line that has no end to speak of."""

    y: float
    text: str
    colour: str


def room(labels: Sequence[str], heading: str) -> float:
    """The inches that these labels take up to the right of their panel."""
    return (ASIDE + 3) / 72 + 0.6 * SIZE / 72 * max(map(len, [*labels, heading]))


def end_labels(axes: Axes, labels: Sequence[EndLabel], heading: str) -> None:
    """Write names to the right of the panel at the height of their lines, spread so that none overlap.

    A name whose line ends above the panel stands at its top, with an arrow and the height.
    """
    axes.annotate(
        heading, (1, 1), (ASIDE, 5), "axes fraction", "offset points", size=SIZE, color=MUTED, annotation_clip=False
    )
    bottom, top = axes.get_ylim()
    height = axes.get_window_extent().height / axes.figure.dpi * 72  # points
    ordered = sorted(labels, key=lambda label: label.y)
    wanted = [(min(label.y, top) - bottom) / (top - bottom) * height for label in ordered]
    for label, at, place in zip(ordered, wanted, spread(wanted, SIZE * 1.12, height - SIZE / 2), strict=True):
        axes.annotate(
            written(label, top), (1, at / height), (ASIDE, place - at), "axes fraction", "offset points", size=SIZE,
            color=label.colour, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def written(label: EndLabel, top: float) -> str:
    """The label's text; where the line ends above the panel, also an arrow and the height."""
    return f"{label.text} ↑{label.y:.1f}" if top < label.y < math.inf else label.text


def spread(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Places for ascending heights, `gap` apart and as near as can be to where they are wanted, within [0, top].

    Neighbours that are too close form a block, which is centred on the mean of what its members want.
    """
    blocks: list[list[float]] = []

    def first(block: list[float]) -> float:
        middle = sum(block) / len(block) - gap * (len(block) - 1) / 2
        return max(0.0, min(middle, top - gap * (len(block) - 1)))

    for height in wanted:
        blocks.append([height])
        while len(blocks) > 1 and first(blocks[-2]) + gap * len(blocks[-2]) > first(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [first(block) + gap * place for block in blocks for place in range(len(block))]
