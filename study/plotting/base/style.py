"""Every name, colour, marker and line style of the figures, so that a depth looks the same in all of them.

Colours darken with depth, so that they keep their order in grey. The CIFAR family runs from yellow to indigo and the
ImageNet family through greens and blues, so that neighbours such as 18 and 20 differ in hue. The sets that are drawn
together stay apart under simulated deuteranopia, protanopia and tritanopia (Machado et al. 2009).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from logging import LogRecord, getLogger
from typing import Any, Literal
from warnings import catch_warnings, filterwarnings

import matplotlib.style
from matplotlib.colors import to_hex, to_rgb

from study.errors import StudyError, nearest
from study.plotting.base.fonts import USUAL

RAMP = {
    8: "#edbe30", 20: "#ea7c35", 32: "#d9535f", 44: "#c03a83", 56: "#9a1b9e", 110: "#300590",
    164: "#9c7a3c", 1001: "#5c4a1e", 1202: "#1a1a1a",
}  # fmt: skip
IMAGENET_FAMILY = {18: "#52bdb0", 34: "#1b7f8c", 50: "#0f6a86", 101: "#0b4468", 152: "#08243d"}

NETWORK_COLOURS = {"plain": "#d9662b", "residual": "#0b4a7a"}
NETWORK_LINES = {"plain": "--", "residual": "-"}  # where a panel has both, and dashes do not tell training from test
MARKERS = {"plain": ("s", "D", "v", "P"), "residual": ("o", "^", "X", "p")}  # one per line of that network

VALUE_MARKS: dict[str, dict[str, Any]] = {
    kind: {"marker": marker, "markersize": 4.5, "markerfacecolor": "white", "markeredgewidth": 0.9, "clip_on": False,
           "zorder": 5, "linestyle": "none"}
    for kind, marker in (("reported", "D"), ("digitised", "s"))
}  # fmt: skip
"""A number that a paper reports, and one that was read off its figure."""

SPLITS = ("train_clean", "train", "test")
SPLIT_LINES: dict[str, Literal["-", "--"]] = {"train": "--", "train_clean": "--", "test": "-"}  # as in R15 figure 6
SPLIT_NAMES = {"train": "training error (running)", "train_clean": "training error", "test": "test error"}
SPLIT_COLOURS = {"train": "#2b2b2b", "test": "#2a7fb8"}  # where colour does not tell depth

INK = "#222222"
MUTED = "#6b6b6b"
FAINT = "#d9d9d9"

_PAPER: dict[str, object] = {
    "font.family": USUAL,
    "font.size": 7.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "axes.titley": 1.0,  # where it would be anyway; else each draw lays out the ticks once more to see whether they are below
    "axes.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
    "legend.handlelength": 2.2,
    "legend.handletextpad": 0.6,
    "legend.columnspacing": 1.6,
    "lines.dash_capstyle": "butt",
    "lines.solid_capstyle": "round",
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "study",  # else every save draws new random ids
}
STYLES: dict[str, dict[str, object]] = {"paper": _PAPER, "talk": _PAPER | {"savefig.dpi": 400}}
WIDTHS = {"paper": (3.5, 6.8), "talk": (3.0, 5.2)}
"""Inches of a sheet of one and of two columns. `talk` draws the same on narrower sheets, to be enlarged: text, lines and marks
are a third larger beside the panels, and nothing else changes."""

log = getLogger("matplotlib.font_manager")
_widths = ContextVar("widths", default=WIDTHS["paper"])


@contextmanager
def styled(name: str, families: Sequence[str] = ()) -> Iterator[None]:
    """Draw and save in this style; the caller's matplotlib settings neither leak in nor change.

    What the usual font has not is taken from these further `families`, in their order (`study.plotting.base.fonts`, which says
    what none has, so that matplotlib need not for each glyph).
    """
    if name not in STYLES:
        raise StudyError(f"unknown style '{name}'{nearest(name, STYLES)}")
    before = _widths.set(WIDTHS[name])
    try:
        with (
            matplotlib.style.context(["default", STYLES[name] | {"font.family": [USUAL, *families]}]),
            catch_warnings(),
        ):
            filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            log.addFilter(_no_weight)
            yield
    finally:
        log.removeFilter(_no_weight)
        _widths.reset(before)


def _no_weight(record: LogRecord) -> bool:
    """Whether it says anything else than that a family of one weight has no other."""
    return "Failed to find font weight" not in str(record.msg)


def sheet_width(columns: int) -> float:
    """Inches of a sheet with so many panels side by side, in the style that is drawn in."""
    return _widths.get()[columns > 1]


def depth_colour(depth: int) -> str:
    """The colour of a depth, the same in every figure; one not listed lies between its listed neighbours."""
    listed = RAMP | IMAGENET_FAMILY
    if depth in listed:
        return listed[depth]
    for lower, upper in pairwise(RAMP):
        if lower < depth < upper:
            share = math.log(depth / lower) / math.log(upper / lower)
            (r, g, b), (r2, g2, b2) = to_rgb(RAMP[lower]), to_rgb(RAMP[upper])
            return to_hex((r + share * (r2 - r), g + share * (g2 - g), b + share * (b2 - b)))
    return RAMP[min(RAMP)] if depth < min(RAMP) else RAMP[max(RAMP)]
