"""Figures of whole sweeps: every one that the data can feed, or those that a sweep file asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from study.config.registry import FIGURES
from study.errors import StudyError
from study.plotting import save
from study.store.layout import SweepFiles
from study.store.read import read_frame


def draw_all(folders: Sequence[Path], out: Path, formats: Sequence[str], **look: Any) -> Iterator[str]:
    """A line for each figure as it is drawn into `out`: its first file; and one for all that the data can't feed.

    `look` has the options that all figures have: `style`, `width`, `bare`.
    """
    from study.plotting.base import output
    from study.plotting.base.style import styled

    output.check(formats)
    with styled(look.get("style", "paper"), width=look.get("width")):
        pass  # unknown ones are refused before anything is written
    read = cache(lambda needs: read_frame(needs, folders))  # once for all figures that need it
    read("curves")  # a missing sweep is no figure's fault
    absent, seen = [], set()
    for name, entry in FIGURES.items():
        if entry.target in seen:  # under another name
            continue
        seen.add(entry.target)
        try:
            paths = save(name, *read(entry.needs), out, formats=formats, sweeps=[f.name for f in folders], **look)
            yield f"{name}: {paths[0]}"
        except StudyError:
            absent.append(name)
    if absent:
        yield f"not drawn, for want of data: {', '.join(absent)}; `study figure NAME SWEEP` says what each needs"


def refresh(files: SweepFiles, names: Sequence[str], out: Path) -> Iterator[str]:
    """A line for each figure: the path of its PDF in `out`, or why it can't be drawn.

    It is drawn where it is missing or older than the collected frames. What a figure needs may be measured later, such as
    surfaces after training; that is no error of the sweep.
    """
    tables = {"curves": files.curves, "surfaces": files.surfaces_table, "probes": files.probes}
    read = cache(lambda needs: read_frame(needs, [files.folder]))  # once for all figures that need it
    for name in names:
        needs = FIGURES[name].needs
        sources = [path for path in (tables[needs], files.runs_table) if path.exists()]
        csv = out / f"{name}.csv"  # written last
        try:
            if not csv.exists() or csv.stat().st_mtime < max(path.stat().st_mtime for path in sources):
                save(name, *read(needs), out, sweeps=[files.name])
            yield f"figure: {out / name}.pdf"
        except StudyError as error:
            yield f"note: no figure {name}: {error}"
