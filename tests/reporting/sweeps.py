"""Sweeps to report on, without a disk: synthetic frames, some of them with the names that a stranger might choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from study.reporting.album import Picture
from study.reporting.evidence import Evidence, Frames
from study.reporting.page import page
from tests.plotting.conftest import study, with_absences
from tests.plotting.planes import four, together

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{7*7}}</title>-->]]>\u202eמזל טוב漢字"
PICTURE = Picture(
    "degradation", "error over iterations", "image/svg+xml",
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 70 40'><path d='M0 40L70 0' stroke='red'/></svg>",
    "What it shows.\n\nOf which runs.\n", b"a,b\n1,2\n",
)  # fmt: skip


def found(curves: pd.DataFrame, runs: pd.DataFrame, planes: pd.DataFrame | None = None, name: str = "mine") -> Evidence:
    """Evidence of these frames."""
    frames: dict[str, Frames] = {"curves": (curves, runs), "surfaces": (pd.DataFrame(), runs)}
    if planes is not None:
        frames["surfaces"] = (planes, runs)
    return Evidence(name, "Does depth hurt?", lambda needs: frames.get(needs, (pd.DataFrame(), runs)))


def usual() -> Evidence:
    """Plain and residual 20 and 56 with runs that are not done, and surfaces of all four."""
    curves, runs = with_absences()
    extra = {"seconds": [float(place) for place in range(len(runs))], "host": "h", "cpu": "a processor"}
    return found(curves, runs.assign(**extra), four())


def strangers() -> Evidence:
    """As `usual`, with `HOSTILE` in front of every text, names of columns of the spec aside."""
    curves, runs = study(seeds=2, iterations=400, evaluations=8)
    runs = runs.assign(message="m", host="h", cpu="c", commit="k", recipe_changes="r", point_id=runs["point_id"])
    planes = together(four(shape=(5, 5)), four(shape=(3, 3), refine=1, modes=("batch",)))
    hostile = [_hostile(frame) for frame in (curves, runs, planes)]
    return Evidence(HOSTILE, HOSTILE, found(*hostile).read)


def _hostile(frame: pd.DataFrame) -> pd.DataFrame:
    texts = [
        column
        for column in frame.columns
        if column not in ("split", "normalisation") and frame[column].map(lambda value: isinstance(value, str)).any()
    ]
    made = frame.copy()
    for column in texts:
        made[column] = frame[column].map(lambda value: HOSTILE + value if isinstance(value, str) else value)
    return made


def many(runs: int = 100) -> Evidence:
    """So many runs of a real length."""
    return found(*study(depths=(20, 32, 44, 56, 110), seeds=runs // 10))


def written(evidence: Evidence, path: Path, change: Callable[[str], str] = str) -> Path:
    """Its page as a file."""
    path.write_text(change(page(evidence, [PICTURE])), "utf-8")
    return path
