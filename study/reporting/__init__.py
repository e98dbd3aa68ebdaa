"""A sweep as one HTML page that opens from disk: verdict, curves, surfaces, figures, tables, and every run's spec."""

from __future__ import annotations

from pathlib import Path


def report(sweep: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a sweep, and return its path.

    Parameters
    ----------
    sweep
        A sweep's results folder, such as `results/quickstart`.
    out
        The file; by default `figures/<sweep>/report.html`. The write is atomic, and equal input gives equal bytes.

    Raises
    ------
    StudyError
        There is no such sweep, or its files are damaged.
    """
    from study.reporting.write import place, write
    from study.store.layout import SweepFiles

    folder = Path(sweep)
    files = SweepFiles(folder.parent, folder.name)
    path = Path(out) if out is not None else place(files.name)
    write(files, path)
    return path
