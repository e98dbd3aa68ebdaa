"""Words for messages, and paths with `~`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from study.errors import StudyError


def listed(items: Iterable[Any]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """`0 to 4 and 7`: integers, with runs of neighbours joined."""
    ordered = sorted(set(numbers))
    blocks = [[n for _, n in block] for _, block in groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])]
    return listed(text for b in blocks for text in ([f"{b[0]} to {b[-1]}"] if len(b) > 2 else b))


def duration(seconds: float | None) -> str:
    """`48 s`, `3:07`, `1:02:03`, `2 d 5 h`; `?` when unknown."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole >= 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def roughly(seconds: float) -> str:
    """`50 s`, `2.5 min`, `12 min`, `6 h`, `3 d`: two digits at most, for estimates."""
    units = (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800), ("d", 86_400, float("inf")))
    unit, size = next((unit, size) for unit, size, end in units if seconds < end)
    number = (
        f"{seconds / size:.0f}" if seconds >= 10 * size or size == 1 else f"{seconds / size:.1f}".removesuffix(".0")
    )
    return f"{number} {unit}"


def user_path(path: str | Path) -> Path:
    """A path with `~` expanded, which a shell does not do in `--results=~/x` and in variables; StudyError without a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        words = "'~' stands for a home folder, and none is known here; write the whole path"
        raise StudyError(f"{path}: {words}") from None
