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
    """`read` takes what a figure needs (`curves`, `surfaces`, ...) and gives its frame, and the runs."""

    name: str
    description: str
    read: Callable[[str], Frames]

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run."""
        runs = self.read("curves")[1]
        assert runs is not None
        return runs


def evidence(files: SweepFiles) -> Evidence:
    """What is on disk of a sweep now.

    Raises
    ------
    StudyError
        There is no such sweep, or its files are damaged. Frames are read when they are asked for; but the curves, now.
    """
    read = cache(lambda needs: read_frame(needs, [files.folder]))
    read("curves")
    said = read_json(files.sweep) or {}
    return Evidence(files.name, str(said.get("description") or ""), read)
