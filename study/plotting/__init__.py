"""Figures and tables: pure functions of data frames, drawn without torch.

A figure is one module here and one line of `study.spec.registry.FIGURES`. Its target takes
`(curves, runs, **options)` and returns a `study.plotting.canvas.Plot`: the picture, and the tidy frame of exactly
what it shows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.errors import StudyError, nearest
from study.spec.registry import FIGURES, TABLES

if TYPE_CHECKING:  # pandas and matplotlib take a second to import: only a figure that is drawn pays for them
    import pandas as pd
    from matplotlib.figure import Figure

    from study.plotting.canvas import Plot

__all__ = ["figure", "save", "table"]


def figure(name: str, curves: pd.DataFrame, runs: pd.DataFrame | None = None, **options: Any) -> Figure:
    """Draw a figure by its registered name.

    Parameters
    ----------
    name
        A name in `study list figures`.
    curves
        One row per (run_id, iteration, split), as `study.read_curves` gives it; errors in percent.
    runs
        One row per planned run; without it, runs that have no curve yet can't be named on the figure.
    options
        What the figure itself takes, and `style`.

    Raises
    ------
    StudyError
        An unknown name, option or style, or a frame that can't feed the figure.
    """
    return _plot(name, curves, runs, **options).figure


def save(
    name: str,
    curves: pd.DataFrame,
    runs: pd.DataFrame | None,
    out: Path,
    *,
    formats: Sequence[str] = ("pdf", "png", "svg"),
    style: str = "paper",
    **options: Any,
) -> list[Path]:
    """Write `out/<name>.<format>` for each format, and `out/<name>.csv` with exactly what was drawn.

    Every write is atomic, and equal input gives equal bytes. Arguments and errors as for `figure`.

    Returns
    -------
    The files written, the CSV last.
    """
    from study.plotting import output

    output.check(formats)
    return output.write(_plot(name, curves, runs, style=style, **options), name, Path(out), formats, style)


def table(name: str, curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Make a table by its registered name; `study.plotting.tables.render` writes it as text.

    Arguments and errors as for `figure`.
    """
    if name not in TABLES:
        raise StudyError(f"unknown table '{name}'{nearest(name, TABLES)}")
    made: pd.DataFrame = TABLES[name].load()(curves, runs)
    return made


def _plot(name: str, curves: pd.DataFrame, runs: pd.DataFrame | None, *, style: str = "paper", **options: Any) -> Plot:
    if name not in FIGURES:
        raise StudyError(f"unknown figure '{name}'{nearest(name, FIGURES)}")
    from study.plotting.style import styled

    draw: Callable[..., Plot] = FIGURES[name].load()
    known = set(inspect.signature(draw).parameters) - {"curves", "runs"}
    for option in options:
        if option not in known:
            raise StudyError(f"unknown option '{option}' of figure '{name}'{nearest(option, known)}")
    with styled(style):
        return draw(curves, runs, **options)
