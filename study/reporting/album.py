"""The figures that the data of a sweep can feed, as pictures for a page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from study import plotting
from study.errors import StudyError
from study.reporting.evidence import Evidence
from study.spec.registry import FIGURES

LARGE = 300_000
"""Bytes of an SVG beyond which a PNG may be smaller."""
MOVING = ("iteration", "seconds")  # of a run that is being trained; no reason to draw its figures again


class Picture(NamedTuple):
    """A figure: `image` of type `kind` (a MIME type), its caption, and the CSV of exactly what it shows."""

    name: str
    summary: str
    kind: str
    image: bytes
    caption: str
    csv: bytes


class Undrawn(NamedTuple):
    """A figure that the data can't feed, and why."""

    name: str
    why: str


class Album:
    """The pictures of a report; asked again, it draws only those anew whose data have changed."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Picture | Undrawn]] = {}

    def pictures(self, found: Evidence, say: Callable[[str], object] = lambda text: None) -> list[Picture | Undrawn]:
        """Every registered figure, one that has two names under the first. `say` is told what is being drawn."""
        names = {entry.target: name for name, entry in reversed(FIGURES.items())}
        ordered = [name for name, entry in FIGURES.items() if names[entry.target] == name]
        pictures = []
        for number, name in enumerate(ordered, 1):
            say(f"drawing figure {number} of {len(ordered)}: {name}")
            pictures.append(self._picture(name, found))
        return pictures

    def _picture(self, name: str, found: Evidence) -> Picture | Undrawn:
        try:
            frame, runs = found.read(FIGURES[name].needs)
            mark = _digest(frame) + ("" if runs is None else _digest(runs.drop(columns=[*MOVING], errors="ignore")))
            if self._kept.get(name, ("",))[0] != mark:
                self._kept[name] = mark, _draw(name, frame, runs)
        except StudyError as error:
            return Undrawn(name, str(error))
        return self._kept[name][1]


def _draw(name: str, frame: pd.DataFrame, runs: pd.DataFrame | None) -> Picture | Undrawn:
    from study.plotting.output import csv, picture

    try:
        drawn = plotting.plot(name, frame, runs)
    except StudyError as error:
        return Undrawn(name, str(error))
    image, kind = picture(drawn, "svg"), "image/svg+xml"
    if len(image) > LARGE:
        dots = picture(drawn, "png")
        image, kind = min((dots, "image/png"), (image, kind), key=lambda pair: len(pair[0]))
    return Picture(name, FIGURES[name].summary, kind, image, drawn.caption, csv(drawn))


def _digest(frame: pd.DataFrame) -> str:
    """Equal for equal frames. Lists in cells can't be hashed, so what is neither number nor text is taken as text."""
    plain = frame.astype({name: str for name, kind in frame.dtypes.items() if kind == "object"})
    values = pd.util.hash_pandas_object(plain, index=False).to_numpy()
    return hashlib.sha256(repr(list(frame.columns)).encode() + values.tobytes()).hexdigest()
