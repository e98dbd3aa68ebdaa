"""The figures that the data of a sweep can feed, as pictures for a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from study import plotting
from study.config.registry import FIGURES
from study.errors import StudyError
from study.reporting.evidence import Evidence

LARGE = 300_000
"""Bytes of an SVG beyond which a PNG may be smaller."""
MOST_RUNS = 1_000
"""Beyond it figures of curves are left to `study figure`: each takes seconds, and shows single runs no more."""


class Picture(NamedTuple):
    """A figure: `image` of type `kind` (a MIME type), its caption, and the CSV of what it shows."""

    name: str
    summary: str
    kind: str
    image: bytes
    caption: str
    csv: bytes


class Undrawn(NamedTuple):
    """A figure that is not drawn, and why."""

    name: str
    why: str


def pictures(
    found: Evidence, say: Callable[[str], object] = lambda text: None, most_runs: int = MOST_RUNS
) -> list[Picture | Undrawn]:
    """Draw every registered figure; one with two names under the first. `say` is told what is being drawn."""
    names = {entry.target: name for name, entry in reversed(FIGURES.items())}
    ordered = [name for name, entry in FIGURES.items() if names[entry.target] == name]
    drawn: list[Picture | Undrawn] = []
    for number, name in enumerate(ordered, 1):
        if FIGURES[name].needs == "curves" and len(found.runs) > most_runs:
            why = f"too many runs for this page; `study figure {name} SWEEP` draws it"
            drawn.append(Undrawn(name, why))
            continue
        say(f"drawing figure {number} of {len(ordered)}: {name}")
        drawn.append(_draw(name, found))
    return drawn


def _draw(name: str, found: Evidence) -> Picture | Undrawn:
    from study.plotting.base.output import csv, picture

    try:
        drawn = plotting.plot(name, *found.read(FIGURES[name].needs))
    except StudyError as error:
        return Undrawn(name, str(error))
    image, kind = picture(drawn, "svg"), "image/svg+xml"
    if len(image) > LARGE:
        dots = picture(drawn, "png")
        image, kind = min((dots, "image/png"), (image, kind), key=lambda pair: len(pair[0]))
    return Picture(name, FIGURES[name].summary, kind, image, drawn.caption, csv(drawn))
