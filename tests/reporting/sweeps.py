"""Sweeps to report on, without a disk: synthetic frames, some of them with names that an attacker might choose."""

from pathlib import Path

import pandas as pd

from study.reporting.evidence import Evidence, Frames, Picture
from study.reporting.page import page
from tests.plotting.conftest import study, with_absences
from tests.plotting.planes import four

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{7*7}}</title>-->]]>\u202eמזל טוב漢字%{x}"
PICTURE = Picture(
    "degradation", "error over iterations", "image/svg+xml",
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 70 40'><path d='M0 40L70 0' stroke='red'/></svg>",
    "What it shows.\n\nOf which runs.\n", b"a,b\n1,2\n", b"%PDF",
)  # fmt: skip
RECORD = {
    "description": "Does depth hurt?", "command": "study sweep mine.yaml seed=0,1", "file": "name: mine\n", "study": "0.1.0",
}  # fmt: skip


def found(curves: pd.DataFrame, runs: pd.DataFrame, planes: pd.DataFrame | None = None, name: str = "mine") -> Evidence:
    """Evidence of these frames."""
    frames: dict[str, Frames] = {"curves": (curves, runs), "surfaces": (pd.DataFrame(), runs)}
    if planes is not None:
        frames["surfaces"] = (planes, runs)
    return Evidence(name, RECORD, lambda needs: frames.get(needs, (pd.DataFrame(), runs)))


def usual() -> Evidence:
    """Plain and residual networks of 20 and 56 layers, some runs unfinished, and surfaces of all four."""
    curves, runs = with_absences()
    extra = {"seconds": [float(place) for place in range(len(runs))], "host": "h", "cpu": "a processor"}
    return found(curves, runs.assign(**extra), four(shape=(11, 11)))


def strangers() -> Evidence:
    """As `usual`, with `HOSTILE` in front of every text, names of columns of the spec aside."""
    curves, runs = study(seeds=2, iterations=400, evaluations=8)
    runs = runs.assign(message="m", host="h", cpu="c", commit="k", recipe_changes="r", point_id=runs["point_id"])
    hostile = [_hostile(frame) for frame in (curves, runs, four(shape=(5, 5)))]
    return Evidence(HOSTILE, dict.fromkeys(RECORD, HOSTILE), found(*hostile).read)


def _hostile(frame: pd.DataFrame) -> pd.DataFrame:
    made = frame.copy()
    for column in frame:
        if column not in ("split", "normalisation") and frame[column].map(lambda v: isinstance(v, str)).any():
            made[column] = frame[column].map(lambda value: HOSTILE + value if isinstance(value, str) else value)
    return made


def written(evidence: Evidence, path: Path) -> Path:
    """Its page as a file."""
    path.write_text(page(evidence, {PICTURE.name: PICTURE}), "utf-8")
    return path
