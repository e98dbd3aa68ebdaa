"""Fonts for names in scripts that DejaVu Sans has not: one that is installed, or a line on which would bring them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

import pandas as pd
from matplotlib import font_manager

USUAL = "DejaVu Sans"  # comes with matplotlib: the same picture on every machine
BOXES = "Last Resort"  # a font of boxes for everything
LATIN = 0x24F  # the last of what every script here shares
PACKAGES = "fonts-noto-core, fonts-noto-cjk or fonts-symbola"  # of Debian

log = logging.getLogger(__name__)


def further(frames: Iterable[pd.DataFrame | None]) -> tuple[str, ...]:
    """The families that have what is written in the frames and is not in `USUAL`; none, and no look at fonts, where all is."""
    texts = {text for frame in frames if frame is not None for text in _texts(frame) if not text.isascii()}
    wanted = frozenset(c for text in texts for c in text if ord(c) > LATIN and not c.isspace())
    return _covering(wanted) if wanted else ()


def _texts(frame: pd.DataFrame) -> Iterable[str]:
    for name in frame.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz"]):
        with suppress(TypeError):  # a column of lists, which are numbers and names of ours
            yield from (value for value in pd.unique(frame[name]) if isinstance(value, str))


@cache
def _covering(wanted: frozenset[str]) -> tuple[str, ...]:
    """As few families as have these characters, the one that has most first. What none has is said, once."""
    left = wanted - _letters(font_manager.findfont(USUAL))
    if not left:
        return ()
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():  # matplotlib's own list may be older than a font
        if path not in known:
            with suppress(Exception):  # of a file of strangers anything may be wrong
                font_manager.fontManager.addfont(path)
    upright = [e for e in font_manager.fontManager.ttflist if e.style == "normal" and BOXES not in e.name]
    upright.sort(key=lambda entry: entry.weight == 400)  # what the usual weight has counts, where there is one
    fonts = {entry.name: _letters(entry.fname) for entry in upright}
    families = []
    while left and (best := max(sorted(fonts), key=lambda name: len(left & fonts[name]))) and left & fonts[best]:
        families.append(best)
        left -= fonts[best]
    if left:
        log.warning("no installed font has %s; drawn as boxes; install %s", " ".join(sorted(left)), PACKAGES)
    return tuple(families)


@cache
def _letters(path: str) -> frozenset[str]:
    """What a font can draw; nothing, where its glyphs are bitmaps of one size."""
    try:
        font = font_manager.get_font(path)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except Exception:  # of a file of strangers anything may be wrong
        return frozenset()
