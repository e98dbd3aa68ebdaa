"""Writing a plot: the picture in each format, its caption, and the CSV of what it shows. Equal input gives equal bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from study.errors import StudyError, nearest
from study.plotting.canvas import Plot
from study.plotting.style import styled

# What each format would stamp with the time of day is left out.
METADATA: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "png": {}, "svg": {"Date": None}}


def check(formats: Sequence[str]) -> None:
    """Raise StudyError for a format that can't be written."""
    for name in formats:
        if name not in METADATA:
            raise StudyError(f"unknown figure format '{name}'{nearest(name, METADATA)}")


def write(plot: Plot, name: str, out: Path, formats: Sequence[str], style: str) -> list[Path]:
    """Write picture, caption and CSV into `out`, made where it is missing; the files, the CSV last."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    with styled(style):
        for extension in formats:
            paths.append(out / f"{name}.{extension}")
            picture = partial(plot.figure.savefig, format=extension, metadata=METADATA[extension])
            _replace(paths[-1], picture)
    paths.append(out / f"{name}.txt")
    _replace(paths[-1], lambda path: path.write_text(plot.caption, encoding="utf-8"))
    paths.append(out / f"{name}.csv")
    _replace(paths[-1], partial(plot.data.to_csv, index=False, lineterminator="\n"))
    return paths


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    """Fill a temporary file in the same folder, then put it in the place of `path` in one step."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(Path(temporary))
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
