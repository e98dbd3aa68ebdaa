"""Writing a plot: the picture in each format, its caption, and the CSV of what it shows. Equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from study.errors import StudyError, nearest
from study.plotting.base.canvas import Plot
from study.plotting.base.style import styled
from study.store.files import sweep_away_temporaries, write_bytes

# What each format would stamp with the time of day is left out.
METADATA: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "png": {}, "svg": {"Date": None}}


def check(formats: Sequence[str]) -> None:
    """Raise StudyError for a format that can't be written."""
    for name in formats:
        if name not in METADATA:
            raise StudyError(f"unknown figure format '{name}'{nearest(name, METADATA)}")


def write(plot: Plot, name: str, out: Path, formats: Sequence[str], style: str) -> list[Path]:
    """Write picture, caption and CSV into `out`, made where it is missing; the files, the CSV last."""
    sweep_away_temporaries(out)
    paths = []
    for extension in formats:
        paths.append(out / f"{name}.{extension}")
        write_bytes(paths[-1], picture(plot, extension, style))
    paths.append(out / f"{name}.txt")
    write_bytes(paths[-1], plot.caption.encode())
    paths.append(out / f"{name}.csv")
    write_bytes(paths[-1], csv(plot))
    return paths


def picture(plot: Plot, extension: str, style: str = "paper") -> bytes:
    """The picture as a file of this format."""
    file = BytesIO()
    families = plot.figure.texts[0].get_fontfamily()[1:] if plot.figure.texts else ()
    with styled(style, families):
        plot.figure.savefig(file, format=extension, metadata=METADATA[extension])
    return file.getvalue()


def csv(plot: Plot) -> bytes:
    """The CSV of what the plot shows."""
    content: str = plot.data.to_csv(index=False, lineterminator="\n")
    return content.encode()
