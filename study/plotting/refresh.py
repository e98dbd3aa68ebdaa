"""The figures that a sweep file asks for, drawn again only where its curves have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from study.plotting import save
from study.store.layout import SweepFiles


def refresh(files: SweepFiles, names: Sequence[str], curves: pd.DataFrame, runs: pd.DataFrame, out: Path) -> list[Path]:
    """The PDF of each figure in `out`, drawn where it is missing or older than the collected curves."""
    collected = max(path.stat().st_mtime for path in (files.curves, files.runs_table))
    pictures = []
    for name in names:
        csv = out / f"{name}.csv"  # written last
        if not csv.exists() or csv.stat().st_mtime < collected:
            save(name, curves, runs, out)
        pictures.append(out / f"{name}.pdf")
    return pictures
