"""What a report is made of: a sweep's name, its description, and its frames, each read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pandas as pd

from study.store.files import read_json
from study.store.layout import SweepFiles
from study.store.read import read_frame

Frames = tuple[pd.DataFrame, pd.DataFrame | None]


@dataclass(frozen=True)
class Evidence:
    """`read` takes what a figure needs (`curves`, `surfaces`, ...) and returns its frame, and the runs."""

    name: str
    description: str
    read: Callable[[str], Frames]

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run."""
        runs = self.read("curves")[1]
        assert runs is not None
        return runs


def evidence(files: SweepFiles) -> Evidence:
    """Open a sweep on disk; its curves are read now, other frames when needed."""
    read = cache(lambda needs: read_frame(needs, [files.folder]))
    read("curves")
    stored = read_json(files.sweep) or {}
    return Evidence(files.name, str(stored.get("description") or ""), read)
