"""Every figure that the data of some sweeps can feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.plotting import once, save
from study.store.read import read_frame


def draw_all(folders: Sequence[Path], out: Path, formats: Sequence[str], **look: Any) -> Iterator[str]:
    """A line for each figure as it is drawn into `out`: its first file; and one for all that the data can't feed.

    `look` has the options that all figures have: `style`, `width`, `bare`.

    Raises
    ------
    StudyError
        An unknown format, style or width, or no such sweep.
    """
    from study.plotting.base import output
    from study.plotting.base.style import styled

    output.check(formats)
    with styled(
        look.get("style", "paper"), width=look.get("width")
    ):  # unknown ones are refused before anything is written
        pass
    read = cache(lambda needs: read_frame(needs, folders))  # once for all figures that need it
    read("curves")  # a sweep that is not there is no figure's fault
    names = [folder.name for folder in folders]
    absent: dict[str, list[str]] = {}
    for name, entry in once():
        try:
            frame, runs = read(entry.needs)
            paths = save(name, frame, runs, out, formats=formats, sweeps=names, **look)
        except StudyError as error:
            absent.setdefault(str(error), []).append(name)
        else:
            yield f"{name}: {paths[0]}"
    if absent:
        names = [name for group in absent.values() for name in group]
        yield f"not drawn, for want of data: {', '.join(names)}; `study figure NAME SWEEP` says what each needs"
