"""Writing a plot: the picture in each format, its caption, and the CSV of what it shows. Equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from study.errors import StudyError, nearest
from study.plotting.base.page import Plot, saved
from study.store.files import sweep_away_temporaries, write_bytes

FORMATS = ("pdf", "png", "svg")
TIMES = {"pdf": "CreationDate", "svg": "Date"}
"""What a format would stamp with the time of day."""
KEYS = {
    "pdf": ("Title", "Subject", "Keywords"),
    "png": ("Title", "Description", "Source"),
    "svg": ("Title", "Description", "Source"),
}
"""What each format calls the name of the figure, the command that makes it, and the versions."""


def check(formats: Sequence[str]) -> None:
    """Raise StudyError for a format that can't be written."""
    for name in formats:
        if name not in FORMATS:
            raise StudyError(f"unknown figure format '{name}'{nearest(name, FORMATS)}")


def write(plot: Plot, name: str, out: Path, formats: Sequence[str], made: Mapping[str, str]) -> list[Path]:
    """Write picture, caption and CSV into `out`, made where it is missing; the files, the CSV last."""
    sweep_away_temporaries(out)
    files = {extension: picture(plot, extension, made) for extension in formats}
    files |= {"txt": plot.caption.encode(), "csv": csv(plot)}
    for extension, content in files.items():
        write_bytes(out / f"{name}.{extension}", content)
    return [out / f"{name}.{extension}" for extension in files]


def picture(plot: Plot, extension: str, made: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The picture as a file of this format, whose metadata say how it was `made` (`study.plotting.provenance`)."""
    said = zip(KEYS[extension], (made.get(key) for key in ("figure", "command", "versions")), strict=True)
    stamps = {TIMES[extension]: None} if extension in TIMES else {}
    return saved(plot.figure, extension, metadata={key: text for key, text in said if text} | stamps)


def csv(plot: Plot) -> bytes:
    """The CSV of what the plot shows."""
    content: str = plot.data.to_csv(index=False, lineterminator="\n")
    return content.encode()
