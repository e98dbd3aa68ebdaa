"""Figures and tables: pure functions of data frames, drawn without torch.

A figure is one module here and one line of `study.config.registry.FIGURES`. Its target takes `(frame, runs, *, **options)`,
where its registry entry says which frame, and returns a `study.plotting.base.page.Plot`: the picture, the tidy frame of
exactly what it shows, and the text to write under it.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from study.config import own
from study.config.components import Component, Table
from study.config.components import Figure as FigureComponent
from study.config.registry import FIGURES, TABLES
from study.errors import StudyError, nearest
from study.version import VERSION

if TYPE_CHECKING:  # pandas and matplotlib take a second to import: only a figure that is drawn pays for them
    import pandas as pd

    from study.plotting.base.page import Plot

__all__ = ["check", "check_table", "figure", "plot", "save", "table"]

COMMON = {"style": str, "width": str | float | None, "bare": bool}
"""The options that every figure has."""


def _registers(name: Any, frame: Any, options: Mapping[str, Any]) -> bool:
    """Whether a call is that of a decorator."""
    if frame is None and isinstance(name, str) and "needs" not in options:
        raise StudyError(f"{name}: give the frame that it is made from, such as study.read_curves(...)")
    return frame is None


def figure(
    name: Any = None, frame: pd.DataFrame | None = None, runs: pd.DataFrame | None = None, **options: Any
) -> Any:
    """Draw a figure by its registered name; or, as `@study.figure` or `@study.figure(needs="probes")`, register one.

    What is registered is a function `(frame, runs, *, options) -> study.Plot`.

    Parameters
    ----------
    name
        A name in `study list figures`.
    frame
        What the figure is drawn from, with the fields of its run on each row: curves as `study.read_curves` gives them
        (one row per (run_id, iteration, split), errors in percent), surfaces as `study.read_surfaces` does, or probes.
    runs
        One row per planned run; without it, runs that have no rows in the frame can't be named on the figure.
    options
        The figure's own, and `style` (`paper` or `talk`), `width` (`column`, `page` or inches) and `bare` (whether headers
        and notes are left out, for a paper whose caption has them).

    Raises
    ------
    StudyError
        An unknown name, option or style, or a frame that can't feed the figure.
    """
    if _registers(name, frame, options):
        return own.figure(name, **options) if callable(name) else own.figure(name=name, **options)
    return plot(name, cast("pd.DataFrame", frame), runs, **options).figure


def save(
    name: str,
    frame: pd.DataFrame,
    runs: pd.DataFrame | None,
    out: Path,
    *,
    formats: Sequence[str] = ("pdf", "png", "svg"),
    sweeps: Sequence[str] = (),
    **options: Any,
) -> list[Path]:
    """Write `out/<name>.<format>` for each format, its caption `.txt`, and `.csv`, what was drawn; the paths, the CSV last.

    Every write is atomic, and equal input gives equal bytes. The pictures' metadata have the command that makes them from
    these `sweeps`, and the versions. Further arguments and errors as for `figure`.
    """
    from study.plotting.base import output

    output.check(formats)
    drawn = plot(name, frame, runs, **options)
    made = provenance(name, frame if runs is None else runs, sweeps, options)
    return output.write(drawn, name, Path(out), formats, made)


def provenance(name: str, runs: pd.DataFrame, sweeps: Sequence[str], options: Mapping[str, Any]) -> dict[str, str]:
    """How a figure is made: its name, the command, and the versions of programs that trained and drew."""
    from matplotlib import __version__ as matplotlib_version

    usual = {"style": "paper", "width": None, "bare": False}
    words = [
        f"{key}={str(v).lower() if v is True else v}" for key, v in options.items() if (key, v) not in usual.items()
    ]
    command = shlex.join(["study", "figure", name, *(sweeps or ["SWEEP"]), *words])
    trained = {key: sorted(set(runs[key].dropna().map(str))) for key in ("torch", "commit") if key in runs}
    versions = [f"study {VERSION}", f"matplotlib {matplotlib_version}"]
    versions += [f"{key} {', '.join(known)}" for key, known in trained.items() if known]
    return {"figure": f"{name}: {FIGURES[name].summary}", "command": command, "versions": "; ".join(versions)}


def table(name: Any = None, frame: pd.DataFrame | None = None, runs: pd.DataFrame | None = None, **facts: Any) -> Any:
    """Make a table by its registered name, or, as `@study.table`, register a function `(frame, runs) -> DataFrame`.

    `study.plotting.tables.render.render` writes a table as text.

    Arguments and errors as for `figure`; `attrs["notes"]` of the table are what to write below it.
    """
    if _registers(name, frame, facts):
        return own.table(name, **facts) if callable(name) else own.table(name=name, **facts)
    entry = check_table(name)
    with _named(cast("pd.DataFrame", frame), runs):
        return entry.load()(_with_fields(entry, cast("pd.DataFrame", frame), runs), runs)


def _named(frame: pd.DataFrame, runs: pd.DataFrame | None) -> AbstractContextManager[None]:
    from study.stats.naming import naming

    known = frame if runs is None else runs
    return naming(known["family"].dropna().unique() if "family" in known else ())


def _with_fields(entry: Component, frame: pd.DataFrame, runs: pd.DataFrame | None) -> pd.DataFrame:
    """What a figure or a table gets: one of the user's own has the fields of the run on each row, as `study.read_curves`."""
    if entry.source is None or runs is None or "network" in frame:
        return frame
    return frame.merge(runs[["run_id", *(name for name in runs if name not in frame)]], on="run_id")


def check_table(name: str) -> Table:
    """A table's entry in the registry."""
    if name not in TABLES:
        raise StudyError(f"unknown table '{name}'{nearest(name, TABLES, listing='tables')}")
    return TABLES[name]


def check(name: str, options: Mapping[str, Any] = MappingProxyType({})) -> FigureComponent:
    """A figure's entry in the registry, once its options are known to be among those it declares, and of their types."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if name not in FIGURES:
        raise StudyError(f"unknown figure '{name}'{nearest(name, FIGURES, listing='figures')}")
    entry, known = FIGURES[name], dict[str, Any](COMMON)
    if not options.keys() <= COMMON.keys():  # only then is the figure's module imported
        parameters = inspect.signature(entry.load(), eval_str=True).parameters.values()
        known |= {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in known:
            raise StudyError(f"unknown option '{option}' of figure '{name}'{nearest(option, known)}")
        plain = value.item() if hasattr(value, "item") else value  # a number of NumPy
        try:
            TypeAdapter(known[option], config=ConfigDict(allow_inf_nan=False)).validate_python(plain, strict=True)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise StudyError(f"option '{option}' of figure '{name}' must be {wanted}, not {value!r:.80}") from None
    return entry


def plot(
    name: str,
    frame: pd.DataFrame,
    runs: pd.DataFrame | None,
    *,
    style: str = "paper",
    width: str | float | None = None,
    bare: bool = False,
    **options: Any,
) -> Plot:
    """As `figure`, with the frame of what is drawn, and the caption."""
    entry = check(name, {**options, "style": style, "width": width, "bare": bare})
    from study.plotting.base import fonts
    from study.plotting.base.style import styled

    draw: Callable[..., Plot] = entry.load()
    with styled(style, fonts.further([frame, runs]), width, bare), _named(frame, runs):
        return draw(_with_fields(entry, frame, runs), runs, **options)
