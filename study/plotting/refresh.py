"""The figures that a sweep file asks for, drawn again only where what they are drawn from has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from study.config.registry import FIGURES
from study.errors import StudyError
from study.plotting import save
from study.store.layout import SweepFiles
from study.store.read import read_frame


def refresh(files: SweepFiles, names: Sequence[str], out: Path) -> Iterator[str]:
    """A line for each figure: the path of its PDF in `out`, or why it can't be drawn.

    It is drawn where it is missing or older than the collected frames. What a figure needs may not be there yet, such
    as surfaces, which are measured after training; that is no error of the sweep.
    """
    tables = {
        "curves": files.curves,
        "surfaces": files.surfaces_table,
        "probes": files.probes,
    }
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
