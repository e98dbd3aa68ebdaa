"""Figures and tables: pure functions of data frames, drawn without torch.

A figure is one module here and one line of `study.config.registry.FIGURES`. Its target takes
`(frame, runs, *, **options)`, where its registry entry says which frame, and returns a `study.plotting.base.canvas.Plot`: the
picture, the tidy frame of exactly what it shows, and the text to write under it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from study.config.components import Figure as FigureComponent
from study.config.components import Table
from study.config.registry import FIGURES, TABLES
from study.errors import StudyError, nearest

if TYPE_CHECKING:  # pandas and matplotlib take a second to import: only a figure that is drawn pays for them
    import pandas as pd
    from matplotlib.figure import Figure

    from study.plotting.base.canvas import Plot

__all__ = ["check", "check_table", "figure", "plot", "save", "table"]


def figure(name: str, frame: pd.DataFrame, runs: pd.DataFrame | None = None, **options: Any) -> Figure:
    """Draw a figure by its registered name.

    Parameters
    ----------
    name
        A name in `study list figures`.
    frame
        What the figure is drawn from, with the fields of its run on each row: curves as `study.read_curves` gives them
        (one row per (run_id, iteration, split), errors in percent), or surfaces as `study.read_surfaces` does.
    runs
        One row per planned run; without it, runs of which nothing is in the frame can't be named on the figure.
    options
        What the figure itself takes, and `style`.

    Raises
    ------
    StudyError
        An unknown name, option or style, or a frame that can't feed the figure.
    """
    return plot(name, frame, runs, **options).figure


def save(
    name: str,
    frame: pd.DataFrame,
    runs: pd.DataFrame | None,
    out: Path,
    *,
    formats: Sequence[str] = ("pdf", "png", "svg"),
    style: str = "paper",
    **options: Any,
) -> list[Path]:
    """Write `out/<name>.<format>` for each format, its caption `out/<name>.txt`, and `out/<name>.csv`: what was drawn.

    Every write is atomic, and equal input gives equal bytes. Arguments and errors as for `figure`.

    Returns
    -------
    The files written, the CSV last.
    """
    from study.plotting.base import output

    output.check(formats)
    return output.write(plot(name, frame, runs, style=style, **options), name, Path(out), formats, style)


def table(name: str, frame: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Make a table by its registered name; `study.plotting.tables.render.render` writes it as text.

    Arguments and errors as for `figure`; `attrs["notes"]` of the table are what to write below it.
    """
    made: pd.DataFrame = check_table(name).load()(frame, runs)
    return made


def check_table(name: str) -> Table:
    """A table's entry in the registry. Raises StudyError for an unknown one."""
    if name not in TABLES:
        raise StudyError(f"unknown table '{name}'{nearest(name, TABLES, listing='tables')}")
    return TABLES[name]


def check(name: str, options: Mapping[str, Any] = MappingProxyType({})) -> FigureComponent:
    """A figure's entry in the registry.

    Raises
    ------
    StudyError
        An unknown figure, an option that it does not take, or one whose value is of another kind than the figure declares.
    """
    if name not in FIGURES:
        raise StudyError(f"unknown figure '{name}'{nearest(name, FIGURES, listing='figures')}")
    entry = FIGURES[name]
    if options:  # only then is the figure's module imported
        parameters = inspect.signature(entry.load()).parameters.values()
        known = {"style": "str", **{p.name: str(p.annotation) for p in parameters if p.kind is p.KEYWORD_ONLY}}
        for option, value in options.items():
            if option not in known:
                raise StudyError(f"unknown option '{option}' of figure '{name}'{nearest(option, known)}")
            kinds = known[option].split(" | ")
            if set(kinds) <= {*KINDS, "None"} and not any(_is_a(kind, value) for kind in kinds):
                wanted = " or ".join(KINDS[kind] for kind in kinds if kind in KINDS)
                raise StudyError(f"option '{option}' of figure '{name}' must be {wanted}, not {value!r:.80}")
    return entry


KINDS = {"str": "a word", "int": "a whole number", "float": "a finite number"}
"""What a figure's signature says of its options, and what that is called."""


def _is_a(kind: str, value: Any) -> bool:
    """Whether a value, of a command line or of a program that has NumPy's numbers, is of a kind."""
    if kind == "None" or value is None:
        return kind == "None" and value is None
    if kind == "str" or isinstance(value, str | bool):
        return kind == "str" and isinstance(value, str)
    return isinstance(value, Integral) or (kind == "float" and isinstance(value, Real) and math.isfinite(value))


def plot(name: str, frame: pd.DataFrame, runs: pd.DataFrame | None, *, style: str = "paper", **options: Any) -> Plot:
    """As `figure`, with the frame of what is drawn, and the caption."""
    entry = check(name, options)
    from study.plotting.base import fonts
    from study.plotting.base.canvas import Picture
    from study.plotting.base.style import styled

    draw: Callable[..., Plot] = entry.load()
    with styled(style, fonts.further([frame, runs])):
        drawn = draw(frame, runs, **options)
    if isinstance(drawn.figure, Picture):
        drawn.figure.style = style
    return drawn
