"""Arguments that several verbs share, and what they mean."""

from __future__ import annotations

import math
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from study.config import Device, Executor
from study.errors import StudyError, closest, one_line
from study.store.layout import SweepFiles, default_results
from study.text import user_path

MOST = 1024
"""Limit of workers and of threads per worker: more is a typing error."""


def finite(value: float | None) -> float | None:
    """Check that an option is neither NaN nor infinite."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def at_home(path: Path | None) -> Path | None:
    """Expand `~` in an option."""
    return None if path is None else user_path(path)


def complete_sweep(incomplete: str) -> list[str]:
    """Complete the name of a sweep that has been started."""
    from study.store.find import sweep_names

    return [name for name in sweep_names(default_results()) if name.startswith(incomplete)]


def _data_root() -> Path:
    from study.data import default_root

    return default_root()


def _option(default: Callable[[], Path], text: str) -> Any:
    return typer.Option(default_factory=default, callback=at_home, help=text, show_default=False)


Results = Annotated[Path, _option(default_results, "results folder [default: $STUDY_RESULTS or results]")]
DataRoot = Annotated[Path, _option(_data_root, "data folder [default: $STUDY_DATA or data]")]
ProfileFile = Annotated[
    Path | None,
    typer.Option("--profile", envvar="STUDY_PROFILE", callback=at_home, help="profile of a cluster (docs/slurm.md)"),
]


def _use(names: list[str] | None) -> list[str]:
    from study.config.use import use

    for name in names or ():
        use(name)
    return names or []


Use = Annotated[
    list[str] | None,
    typer.Option(
        "--use", callback=_use, is_eager=True, metavar="FILE.py", help="import your components; FILE.py:NAME: a network"
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="print the plan and exit")]
ExecutorName = Annotated[
    Executor,
    typer.Option(
        "--executor", envvar="STUDY_EXECUTOR", help="auto: slurm on a cluster, else local; debug: in this process"
    ),
]
DeviceName = Annotated[Device, typer.Option("--device", help="auto: GPUs if there are any; mps: untested")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=MOST, help="worker processes [default: one per GPU, or per core]")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=MOST, help="threads per worker [default: cores / workers]")
]
SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help="name or file of a sweep", autocompletion=complete_sweep)
]
_sweep_or_run = typer.Argument(
    metavar="SWEEP|RUN", help="a sweep, or a run by its id or a unique prefix", autocompletion=complete_sweep
)
What = Annotated[str, _sweep_or_run]
WhatIfAny = Annotated[str | None, _sweep_or_run]


def unknown_option(error: Any) -> str:
    """Click's error about an unknown option, with the option or field that was probably meant."""
    from study.config.fields import ALIASES

    options = {name[2:]: name for option in error.ctx.command.params for name in option.opts if name.startswith("--")}
    word = error.option_name.lstrip("-")
    meant = options.get((closest(word, options, ALIASES) or "").removeprefix("--"))
    if error.ctx.command.name in ("sweep", "describe"):  # these take fields, without dashes
        from study.config.stored import settable

        field = closest(word, settable(), ALIASES)
        if field and not field.startswith("--") and (meant is None or field == word):
            meant = f"{field}=..."
    return f"no option '{error.option_name}'" + (f"; did you mean '{meant}'?" if meant else "")


def sweep_files(name: str, results: Path) -> SweepFiles:
    """The files of a sweep given by its name, its results folder or its sweep file."""
    path = user_path(name)
    if path.suffix in (".yaml", ".yml"):
        from study.config.ready import find_sweep_file
        from study.config.sweep import load

        return SweepFiles(results, load(find_sweep_file(name)).name)
    if path.name in ("", ".."):
        raise StudyError(f"'{name}' is not a sweep: give its name, its results folder or its sweep file")
    if "/" in name.rstrip("/"):
        return SweepFiles(path.parent, path.name)
    return SweepFiles(results, unicodedata.normalize("NFC", path.name))


def again() -> str:
    """The command that continues this one: itself, without a `--mode force`, which would start over."""
    return "study " + re.sub(r" --mode[ =]force\b", "", shlex.join(sys.argv[1:]))


def print_lines(lines: Iterable[str], head: str = "") -> None:
    """Print messages, each after a head; at a terminal they are broken between words and continue below themselves."""
    from study.launch.columns import hanging, room

    for line in lines:
        text = line.lstrip()
        print(hanging(head + " " * (len(line) - len(text)), text, room()), flush=True)


@contextmanager
def working(words: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal, on standard error, what is being done; the function that is yielded changes the words."""
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    spinner = Spinner("dots", Text(words))
    # What is printed meanwhile goes above it, unless it goes into a file.
    with Live(spinner, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()):
        yield lambda text: spinner.update(text=Text(text))


def complain(*mistakes: str) -> None:
    """Print mistakes to standard error, one line each."""
    for mistake in mistakes:
        print(f"study: {one_line(mistake)}", file=sys.stderr)
