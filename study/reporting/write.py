"""Writing the report of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study.reporting.album import pictures
from study.reporting.evidence import evidence
from study.reporting.page import page
from study.reporting.runs import state_line
from study.store.files import write_bytes
from study.store.layout import SweepFiles


def place(sweep: str) -> Path:
    """Where the report of a sweep is written by default."""
    return Path("figures") / sweep / "report.html"


def write(files: SweepFiles, out: Path, say: Callable[[str], object] = lambda text: None) -> str:
    """Write the report, and return a line about it. `say` is told what takes its time."""
    found = evidence(files)
    content = page(found, pictures(found, say)).encode("utf-8", "replace")
    write_bytes(out, content)
    return f"{out} ({len(content) / 1e6:.1f} MB): {state_line(found.runs)}"
