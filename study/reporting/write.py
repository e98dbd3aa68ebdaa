"""Writing the report of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study.reporting.album import pictures
from study.reporting.evidence import evidence
from study.reporting.page import page
from study.reporting.payload import state_line
from study.store.files import write_bytes
from study.store.layout import SweepFiles

Say = Callable[[str], object]


def place(sweep: str) -> Path:
    """Where the report of a sweep lies unless told otherwise."""
    return Path("figures") / sweep / "report.html"


def write(files: SweepFiles, out: Path, say: Say = lambda text: None) -> str:
    """Write the report; a line on what was written. `say` is told what takes its time.

    Raises StudyError as `study.reporting.report` does.
    """
    found = evidence(files)
    content = page(found, pictures(found, say)).encode("utf-8", "replace")
    write_bytes(out, content)
    return f"{out} ({len(content) / 1e6:.1f} MB): {state_line(found.runs)}"
