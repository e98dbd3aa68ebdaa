"""Every figure that the data of some sweeps can feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from study.config.registry import FIGURES
from study.errors import StudyError
from study.plotting import save
from study.store.read import read_frame


def draw_all(folders: Sequence[Path], out: Path, formats: Sequence[str], style: str) -> Iterator[str]:
    """A line for each figure as it is drawn into `out`: its first file, or why the data can't feed it.

    A figure that has two names is drawn once, under the first.

    Raises
    ------
    StudyError
        An unknown format or style, or no such sweep.
    """
    from study.plotting.base import output
    from study.plotting.base.style import styled

    output.check(formats)
    with styled(style):  # an unknown one is refused before anything is written
        pass
    read = cache(lambda needs: read_frame(needs, folders))  # once for all figures that need it
    read("curves")  # a sweep that is not there is no figure's fault
    drawn: set[str] = set()
    for name, entry in FIGURES.items():
        if entry.target in drawn:
            continue
        drawn.add(entry.target)
        try:
            frame, runs = read(entry.needs)
            paths = save(name, frame, runs, out, formats=formats, style=style)
        except StudyError as error:
            yield f"not drawn: {name}: {error}"
        else:
            yield f"{name}: {paths[0]}"
