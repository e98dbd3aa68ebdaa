"""Writing the report of a sweep, once or as often as it changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from study.reporting.album import Album
from study.reporting.evidence import THROUGH, Evidence, evidence
from study.reporting.page import page
from study.reporting.runs import state_line
from study.store.files import write_bytes
from study.store.layout import SweepFiles

EVERY, RARELY = 5.0, 60.0
"""Seconds between two looks at a sweep that is being trained, at least and at most;"""
REST = 5
"""between them so many times as long as the last look took, lest the report take the processor from the training."""
RELOAD = 15
"""Seconds after which a page that is watched loads itself anew."""

Say = Callable[[str], object]


def place(sweep: str) -> Path:
    """Where the report of a sweep lies unless told otherwise."""
    return Path("figures") / sweep / "report.html"


def write(files: SweepFiles, out: Path, say: Say = lambda text: None) -> str:
    """Write the report; a line on what was written. `say` is told what takes its time.

    Raises StudyError as `study.reporting.report` does.
    """
    return _write(out, evidence(files), Album(), 0, say)


def watch(files: SweepFiles, out: Path, say: Say, note: Say) -> bool:
    """Write the report whenever the sweep has changed, until nothing of it is left to do, or until Ctrl-C.

    The last page that is written loads itself no more. `say` is told what takes its time, `note` of every page.

    Returns
    -------
    Whether nothing was left to do.
    """
    album = Album()
    try:
        while True:
            began = time.monotonic()
            found = evidence(SweepFiles(files.results, files.name))  # afresh: it knows where runs lie
            if not left(files, found):
                break
            if line := _write(out, found, album, RELOAD, say):
                note(line)
            rest = min(RARELY, max(EVERY, REST * (time.monotonic() - began)))
            say(f"looks at the sweep again every {rest:.0f} s")
            time.sleep(rest)
    except KeyboardInterrupt:
        note(_write(out, evidence(SweepFiles(files.results, files.name)), album, 0, say))
        return False
    note(_write(out, found, album, 0, say))
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


def _write(out: Path, found: Evidence, album: Album, reload: int, say: Say) -> str:
    """Write a page that is not there yet; a line on it, or nothing."""
    content = page(found, album.pictures(found, say), reload).encode("utf-8", "replace")
    if reload and out.exists() and out.read_bytes() == content:
        return ""
    write_bytes(out, content)
    return f"{out} ({len(content) / 1e6:.1f} MB): {state_line(found.runs)}"
