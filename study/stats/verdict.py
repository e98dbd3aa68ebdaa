"""The verdict on a sweep: does depth raise the training error of the plain networks, and does the shortcut mend it?

`findings.py` compares, `answers.py` decides, `report.py` renders text, Markdown, HTML or JSON.
"""

from __future__ import annotations

import pandas as pd

from study.stats.findings import find
from study.stats.outcomes import groups
from study.stats.rates import running
from study.stats.report import Verdict


def verdict(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean", level: float | None = None
) -> Verdict:
    """Compare the networks of one or several sweeps, paired by seed, at the last iteration.

    Parameters
    ----------
    curves, runs
        As `study.read_curves` and `study.read_runs` give them; without `runs`, runs without a curve can't be named.
    training
        What stands for the training error: `train_clean` (evaluation mode, no augmentation) or `train` (running).
    level
        The running training loss, in nats, that convergence is timed to; see `study.stats.rates.rates`.

    Raises
    ------
    StudyError
        A frame that lacks columns, no curve at all, or an unknown split.
    """
    sorted_out = groups(curves, runs, training)
    lines = running(curves)
    return Verdict(tuple(find(group, lines, level) for group in sorted_out), training)
