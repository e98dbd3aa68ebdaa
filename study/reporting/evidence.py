"""What a report is made of: a sweep's record, its frames, each read once, and the figures that they can feed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.colors import to_hex

from study import plotting
from study.config.registry import FIGURES
from study.errors import StudyError
from study.plotting.base.output import csv, picture
from study.plotting.base.page import Plot
from study.store.files import read_json
from study.store.layout import SweepFiles
from study.store.read import reader

Frames = tuple[pd.DataFrame, pd.DataFrame | None]
FIRST = ("degradation", "depth_error")
"""The figures beside the verdict."""
LARGE = 300_000
"""Bytes of an SVG beyond which a PNG may be smaller."""
MOST_RUNS = 1_000
"""Beyond it further figures of curves are left to `study figure`: each takes seconds, and shows single runs no more."""


@dataclass(frozen=True)
class Evidence:
    """`read` takes what a figure needs (`curves`, `surfaces`, ...) and returns its frame, and the runs.

    `record` is what `sweep.json` says: description, command and file of the sweep, as far as known.
    """

    name: str
    record: Mapping[str, Any]
    read: Callable[[str], Frames]

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run."""
        runs = self.read("curves")[1]
        assert runs is not None
        return runs


def evidence(files: SweepFiles) -> Evidence:
    """Open a sweep on disk; its curves are read now, other frames when needed."""
    read = reader([files.folder])
    unknown = dict.fromkeys(("description", "command", "file", "study"), "")
    return Evidence(files.name, unknown | (read_json(files.sweep) or {}), read)


class Picture(NamedTuple):
    """A figure: `image` of type `kind` (a MIME type), its caption, and for download the CSV of what it shows, and a PDF."""

    name: str
    summary: str
    kind: str
    image: bytes
    caption: str
    csv: bytes
    pdf: bytes
    narrow: bytes = b""
    """An SVG for a phone."""
    mapped: bool = False
    """Whether colours stand for values, which an inverted picture would give other colours."""


def pictures(
    found: Evidence, say: Callable[[str], object] = lambda text: None, most_runs: int = MOST_RUNS
) -> dict[str, Picture | str]:
    """Draw every registered figure, one with two names under the first; else say why not. `say` is told what is drawn."""
    names = {entry.target: name for name, entry in reversed(FIGURES.items())}
    ordered = [name for name, entry in FIGURES.items() if names[entry.target] == name]
    many = len(found.runs) > most_runs
    drawn: dict[str, Picture | str] = {}
    for number, name in enumerate(ordered, 1):
        if many and FIGURES[name].needs == "curves" and name not in FIRST:
            drawn[name] = f"too many runs for this page; `study figure {name} {found.name}` draws it"
            continue
        say(f"drawing figure {number} of {len(ordered)}: {name}")
        try:
            drawn[name] = _draw(name, found, narrow=not many)
        except StudyError as error:
            drawn[name] = str(error)
    return drawn


def _draw(name: str, found: Evidence, narrow: bool) -> Picture:
    needs = FIGURES[name].needs
    frames = found.read(needs)
    drawn = plotting.plot(name, *frames)
    made = plotting.provenance(name, found.runs, [found.name], {})
    pdf = picture(drawn, "pdf", made=made)
    image, kind = picture(_transparent(drawn), "svg"), "image/svg+xml"
    if len(image) > LARGE:
        dots = picture(drawn, "png")
        image, kind = min((dots, "image/png"), (image, kind), key=lambda pair: len(pair[0]))
    small = b""
    if narrow and needs == "curves":
        small = picture(_transparent(plotting.plot(name, *frames, width="column")), "svg")
    artists = [artist for axes in drawn.figure.axes for artist in (*axes.images, *axes.collections)]
    mapped = any(artist.get_array() is not None for artist in artists)
    return Picture(name, FIGURES[name].summary, kind, image, drawn.caption, csv(drawn), pdf, small, mapped)


def _transparent(drawn: Plot) -> Plot:
    """The same on the page's own ground, light or dark."""
    for patch in (drawn.figure.patch, *(axes.patch for axes in drawn.figure.axes)):
        if to_hex(patch.get_facecolor()) == "#ffffff":
            patch.set_alpha(0)
    return drawn
