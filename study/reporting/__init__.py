"""A sweep as one HTML page that opens from disk: verdict, curves, surfaces, figures, tables, and every run's spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study.plotting.base.frames import tidied_once
from study.reporting.evidence import evidence, pictures
from study.reporting.page import page
from study.reporting.runs import state_line
from study.store.files import write_bytes
from study.store.layout import SweepFiles


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
    folder = Path(sweep)
    path = Path(out) if out is not None else place(folder.name)
    write(SweepFiles(folder.parent, folder.name), path)
    return path


def place(sweep: str) -> Path:
    """Where the report of a sweep is written by default."""
    return Path("figures") / sweep / "report.html"


def write(files: SweepFiles, out: Path, say: Callable[[str], object] = lambda text: None) -> str:
    """Write the report, and return a line about it. `say` is told what takes its time."""
    found = evidence(files)
    with tidied_once():
        content = page(found, pictures(found, say)).encode("utf-8", "replace")
    write_bytes(out, content)
    return f"{out} ({len(content) / 1e6:.1f} MB): {state_line(found.runs)}"
