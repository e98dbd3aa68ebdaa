"""Arguments that several verbs of `study` share, and what they stand for."""

from __future__ import annotations

import math
import re
import shlex
import sys
import unicodedata
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from study.store.layout import SweepFiles


class Device(StrEnum):
    """What is trained on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Mode(StrEnum):
    """What to do about runs that were started before."""

    missing = "missing"
    retry = "retry"
    force = "force"


class Executor(StrEnum):
    """Who trains."""

    auto = "auto"
    slurm = "slurm"
    local = "local"
    debug = "debug"


MOST = 1024
"""Of workers, and of threads of one: a larger number is a slip of the pen, and would bring the machine to its knees."""


def finite(value: float | None) -> float | None:
    """A number that was given as an option, if it was; NaN and infinity are refused."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def at_home(path: Path | None) -> Path | None:
    """A path that was given as an option, if it was, with `~` as the home that it stands for."""
    from study.text import user_path

    return None if path is None else user_path(path)


def complete_sweep(incomplete: str) -> list[str]:
    """The sweeps that were started and whose name begins so."""
    from study.store.layout import default_results
    from study.store.runs import sweep_names

    return [name for name in sweep_names(default_results()) if name.startswith(incomplete)]


Results = Annotated[
    Path | None, typer.Option("--results", callback=at_home, help="results folder [default: $STUDY_RESULTS or results]")
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", callback=at_home, help="data folder [default: $STUDY_DATA or data]")
]
ProfileFile = Annotated[
    Path | None,
    typer.Option("--profile", envvar="STUDY_PROFILE", callback=at_home, help="a cluster's profile (docs/slurm.md)"),
]
SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help="a sweep's name or file", autocompletion=complete_sweep)
]


def unknown_option(error: Any) -> str:
    """What is said of an option that a verb does not have: click's error with the option or the field that was meant."""
    from study.config.fields import ALIASES
    from study.errors import closest

    options = {name[2:]: name for option in error.ctx.command.params for name in option.opts if name.startswith("--")}
    word = error.option_name.lstrip("-")
    meant = options.get((closest(word, options, ALIASES) or "").removeprefix("--"))
    if meant is None and error.ctx.command.name in ("sweep", "describe"):  # these take fields, without dashes
        from study.config.stored import columns

        meant = closest(word, columns(), ALIASES)
        meant = None if meant is None or meant.startswith("--") else f"{meant}=..."
    return f"no option '{error.option_name}'" + (f"; did you mean '{meant}'?" if meant else "")


def results_folder(folder: Path | None) -> Path:
    """The results folder that was named, or the default."""
    from study.store.layout import default_results

    return folder or default_results()


def sweep_files(name: str, results: Path | None) -> SweepFiles:
    """The files of a sweep that is named by its name, its results folder or its sweep file.

    Raises
    ------
    StudyError
        It is named by a file that is none of a sweep, or by what names no folder within another.
    """
    from study.errors import StudyError
    from study.store.layout import SweepFiles
    from study.text import user_path

    path = user_path(name)
    if path.suffix in (".yaml", ".yml"):
        from study.config.ready import find_sweep_file
        from study.config.sweep import load

        return SweepFiles(results_folder(results), load(find_sweep_file(name)).name)
    if path.name in ("", ".."):
        raise StudyError(f"'{name}' names no sweep: give its name, its results folder or its sweep file")
    if "/" in name.rstrip("/"):
        return SweepFiles(path.parent, path.name)
    return SweepFiles(results_folder(results), unicodedata.normalize("NFC", path.name))


def again() -> str:
    """The command that goes on where this one ends: itself, without a `--mode force`, which would start over."""
    return "study " + re.sub(r" --mode[ =]force\b", "", shlex.join(sys.argv[1:]))


def complain(*mistakes: str) -> None:
    """Say on standard error what is wrong, each in a line."""
    from study.errors import one_line

    for mistake in mistakes:
        print(f"study: {one_line(mistake)}", file=sys.stderr)
