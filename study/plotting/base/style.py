"""The one visual language of the figures: names, colours, lines and sizes.

Depth is a ramp (magma) that darkens from a contrast of 3:1 on white; a depth has one colour in every figure. Networks have
colours only where depth has none, and none of theirs is a depth's. Dashes mean training error, everywhere. Neighbours stay
apart under simulated colour blindness, which a test checks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from logging import LogRecord, getLogger
from typing import Any, NamedTuple
from warnings import catch_warnings, filterwarnings

import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D

from study.errors import StudyError, nearest
from study.plotting.base.fonts import USUAL

RAMP = sns.color_palette("magma", as_cmap=True)
STEPS = {8: 0.0, 20: 0.19, 32: 0.32, 44: 0.43, 56: 0.54, 110: 0.71, 164: 0.86, 1202: 1.0}
"""Layers, and where between `LIGHTEST` and `DARKEST` they are."""
LIGHTEST, DARKEST = 0.67, 0.04  # of the ramp

NETWORK_COLOURS = {"plain": "#9a6a00", "residual": "#0173b2"}
MARKERS = {"plain": ("s", "D", "v", "P"), "residual": ("o", "^", "X", "p")}  # one per line of that network

VALUE_MARKS: dict[str, dict[str, Any]] = {
    kind: {"marker": marker, "markersize": 4, "markerfacecolor": "white", "markeredgewidth": 0.8, "clip_on": False,
           "zorder": 5, "linestyle": "none"}
    for kind, marker in (("reported", "D"), ("digitised", "s"))
}  # fmt: skip
"""A number that a paper reports, and one that was read off its figure; below, a single seed, and a run without a final error."""
SEED: dict[str, Any] = {"marker": ".", "markersize": 4.5, "markeredgewidth": 0, "alpha": 0.5, "clip_on": False,
                        "linestyle": "none"}  # fmt: skip
LOST: dict[str, Any] = {"marker": "x", "markersize": 4, "clip_on": False, "linestyle": "none"}

SPLITS = ("train_clean", "train", "test")
SPLIT_NAMES = {"train": "training error (running)", "train_clean": "training error", "test": "test error"}
DASHES: dict[str, Any] = {"train": (3, 1.5), "train_clean": (3, 1.5), "test": ""}
WIDTHS = {"train": 0.7, "train_clean": 0.7, "test": 1.6}
"""Points, as in He et al. 2015."""

INK, MUTED, FAINT = "#222222", "#5f5f5f", "#dddddd"
SMALLEST = 6.0  # points, of any letter

PAGES = {"column": 3.25, "page": 6.75}
"""Inches: the usual column and page of a paper."""

_SETTINGS: dict[str, object] = {
    "font.size": 7, "axes.titlesize": 7.5, "axes.labelsize": 7, "xtick.labelsize": 6.5, "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.linewidth": 0.6, "axes.grid.axis": "y", "axes.titlelocation": "left", "axes.titlepad": 4,
    "axes.spines.top": False, "axes.spines.right": False, "axes.labelpad": 2, "axes.formatter.use_mathtext": False,
    "grid.color": FAINT, "grid.linewidth": 0.4, "xtick.bottom": True, "ytick.left": True, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5, "xtick.major.pad": 2, "ytick.major.pad": 2,
    "xtick.minor.width": 0.4, "ytick.minor.width": 0.4, "xtick.minor.size": 1.5, "ytick.minor.size": 1.5,
    "legend.frameon": False, "legend.borderpad": 0, "legend.borderaxespad": 0, "legend.handlelength": 2.2,
    "legend.handletextpad": 0.5, "legend.columnspacing": 1.4, "lines.dash_capstyle": "butt", "lines.scale_dashes": False,
    "savefig.dpi": 300, "pdf.fonttype": 42, "svg.fonttype": "path",
    "svg.hashsalt": "study",  # else every save draws new random ids
}  # fmt: skip
STYLES = {"paper": 1.0, "talk": 1.35}
"""How much larger than in print letters and lines are."""


def entry(label: str, colour: Any = INK, **look: Any) -> Line2D:
    """A line or mark of a legend."""
    return Line2D([], [], color=colour, label=label, **look)


def line_of(split: str) -> Any:
    """The line style of a split, as matplotlib takes it."""
    return (0, DASHES[split]) if DASHES[split] else "-"


class Look(NamedTuple):
    """How figures are drawn now."""

    style: str = "paper"
    families: tuple[str, ...] = ()
    """Fonts for letters that the usual one lacks."""
    width: float | None = None
    """Inches across, None for each figure's own."""
    bare: bool = False
    """Whether headers and notes are left out."""

    @property
    def scale(self) -> float:
        return STYLES[self.style]


PLAIN = Look()
_look: ContextVar[Look] = ContextVar("look", default=PLAIN)
log = getLogger("matplotlib.font_manager")


@contextmanager
def styled(
    name: str = "paper", families: Sequence[str] = (), width: str | float | None = None, bare: bool = False
) -> Iterator[None]:
    """Draw and save in this style; the caller's matplotlib settings neither leak in nor change.

    Letters that the usual font lacks come from the further `families` (`study.plotting.base.fonts`).
    """
    if name not in STYLES:
        raise StudyError(f"unknown style '{name}'{nearest(name, STYLES)}")
    here = Look(name, tuple(families), inches(width), bare)
    before = _look.set(here)
    sizes = {k: here.scale * v for k, v in _SETTINGS.items() if isinstance(v, float | int) and "size" in k}
    theme = sns.axes_style("whitegrid") | _SETTINGS | sizes | {"font.family": [USUAL, *families]}
    try:
        with matplotlib.style.context(["default", theme]), catch_warnings():
            filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            log.addFilter(_no_weight)
            yield
    finally:
        log.removeFilter(_no_weight)
        _look.reset(before)


def _no_weight(record: LogRecord) -> bool:
    """Whether a record says anything else than that a family of one weight has no other."""
    return "Failed to find font weight" not in str(record.msg)


def look() -> Look:
    """How figures are drawn now."""
    return _look.get()


def inches(width: str | float | None) -> float | None:
    """A width as a user gives it: `column`, `page` or inches. Raises StudyError for anything else."""
    if width is None or width in PAGES:
        return None if width is None else PAGES[str(width)]
    try:
        number = float(width)
    except ValueError:
        number = math.nan
    if not 2 <= number <= 40:
        raise StudyError(
            f"unknown width '{width}': column ({PAGES['column']} in), page ({PAGES['page']} in) or 2 to 40 inches"
        )
    return number


def network_colour(network: str, place: int) -> str:
    """The colour of plain or residual networks; of one that was trained elsewhere, by its place among those drawn."""
    return NETWORK_COLOURS.get(network) or str(to_hex(sns.color_palette("colorblind")[place % 10]))


def depth_colour(depth: int) -> str:
    """The colour of a depth, the same in every figure; one between two steps lies between their colours."""
    places = np.interp(math.log(max(depth, 1)), [math.log(step) for step in STEPS], [*STEPS.values()])
    return to_hex(RAMP(LIGHTEST + (DARKEST - LIGHTEST) * float(places)))


def contrast(colour: Any) -> float:
    """The contrast of a colour on white (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def ink(colour: Any) -> str:
    """A colour for text: the same hue, dark enough to be read on white (4.5:1)."""
    r, g, b = to_rgb(colour)
    while contrast((r, g, b)) < 4.5:
        r, g, b = 0.95 * r, 0.95 * g, 0.95 * b
    return to_hex((r, g, b))
