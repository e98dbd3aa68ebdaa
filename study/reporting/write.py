"""Writing the report of a sweep, once or as often as it changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from study.reporting.album import Album
from study.reporting.evidence import THROUGH, Evidence, evidence
from study.reporting.page import page
from study.store.files import write_bytes
from study.store.layout import SweepFiles

EVERY = 5.0
"""Seconds between two looks at a sweep that is being trained,"""
REST = 10
"""and times as long as the last look took, lest the report take the processor from the training."""
RELOAD = 15
"""Seconds after which a page that is watched loads itself anew."""

Say = Callable[[str], object]


def place(sweep: str) -> Path:
    """Where the report of a sweep lies unless told otherwise."""
    return Path("figures") / sweep / "report.html"


def write(files: SweepFiles, out: Path, say: Say = lambda text: None) -> Path:
    """Write the report; `say` is told what takes its time. Raises StudyError as `study.reporting.report` does."""
    return _write(out, _content(evidence(files), Album(), 0, say))


def watch(files: SweepFiles, out: Path, say: Say, note: Say) -> bool:
    """Write the report whenever the sweep has changed, until nothing of it is left to do, or until Ctrl-C.

    The last page that is written loads itself no more. `say` is told what takes its time, `note` of every page.

    Returns
    -------
    Whether nothing was left to do.
    """
    album, before = Album(), b""
    try:
        while True:
            began = time.monotonic()
            found = evidence(SweepFiles(files.results, files.name))  # afresh: it knows where runs lie
            if not left(files, found):
                break
            content = _content(found, album, RELOAD, say)
            if content != before:
                note(said(_write(out, content), found))
            before = content
            time.sleep(max(EVERY, REST * (time.monotonic() - began)))
    except KeyboardInterrupt:
        found = evidence(SweepFiles(files.results, files.name))
        note(said(_write(out, _content(found, album, 0, say)), found))
        return False
    note(said(_write(out, _content(found, album, 0, say)), found))
    return True


def left(files: SweepFiles, found: Evidence) -> bool:
    """Whether any of its runs, or of the surfaces that it names, may still come to a result."""
    states = dict(zip(found.runs["run_id"], found.runs["state"], strict=True))
    if any(state not in THROUGH for state in states.values()):
        return True
    if not files.sweep.exists():  # collected elsewhere
        return False
    from study.launch.status import surfaces

    return any(
        record["state"] not in THROUGH and states.get(record["run_id"]) == "done"
        for record in surfaces(files)
    )  # fmt: skip


def said(out: Path, found: Evidence) -> str:
    """A line on what was written."""
    from study.reporting.runs import state_line

    return f"{out} ({out.stat().st_size / 1e6:.1f} MB): {state_line(found.runs)}"


def _content(found: Evidence, album: Album, reload: int, say: Say) -> bytes:
    return page(found, album.pictures(found, say), reload).encode("utf-8", "replace")


def _write(out: Path, content: bytes) -> Path:
    write_bytes(out, content)
    return out
