"""The verbs of `study`: parse, call, print. Every heavy import is inside the verb that needs it."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import figures, measure, surface, sweep
from study.cli.options import (
    DataRoot,
    Results,
    SweepName,
    complain,
    complete_sweep,
    results_folder,
    sweep_files,
    unknown_option,
)
from study.errors import StudyError, one_line, printable
from study.store.files import WriteError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

app = typer.Typer(
    name="study",
    help="Does depth hurt, and do shortcuts mend it? Degradation studies on one machine or a SLURM cluster.",
    epilog="Start with: study sweep quickstart.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command()(sweep.sweep)


@app.command()
def status(
    sweep: SweepName,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="refresh until Ctrl-C")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: an object a run, then one a surface")] = False,
    results: Results = None,
) -> None:
    """Show each run of a sweep: state, iteration, error, speed, time left, attempts. Reads only."""
    from rich.console import Console, Group
    from rich.text import Text

    from study.launch.status import picture, report, surfaces, surfaces_picture

    files = sweep_files(sweep, results)
    if as_json:
        print(json.dumps([*report(files), *surfaces(files)], indent=1))
        return

    def now() -> Group:
        measured = surfaces(files)
        runs = picture(report(files))
        return Group(runs, Text(), surfaces_picture(measured)) if measured else runs

    console = Console()
    if not watch:
        console.print(now())
        return
    import time

    from rich.live import Live

    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            live.update(now(), refresh=True)
            time.sleep(2)


@app.command()
def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run id, or enough of it to tell which")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as the run goes on, until Ctrl-C")] = False,
    results: Results = None,
) -> None:
    """Print the log of a run, over all its attempts."""
    from study.launch.status import follow_log
    from study.store.find import find_run

    for text in follow_log(find_run(results_folder(results), run), follow):
        print("\n".join(map(printable, text.split("\n"))), end="", flush=True)


@app.command()
def cancel(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN", autocompletion=complete_sweep)], results: Results = None
) -> None:
    """Take the jobs of a sweep, or of one run, out of SLURM's queue; those that run checkpoint first."""
    from study.launch.slurm.cancel import cancel as cancel_jobs

    for line in cancel_jobs(results_folder(results), what):
        print(line)


@app.command()
def collect(sweep: SweepName, results: Results = None) -> None:
    """Gather a sweep's curves, runs and measurements into Parquet files; safe while it is being trained."""
    from study.store.collect import collect as gather

    for path in gather(sweep_files(sweep, results)):
        print(path)


class Listing(StrEnum):
    """What `study list` can list."""

    sweeps = "sweeps"
    data = "data"
    recipes = "recipes"
    networks = "networks"
    fields = "fields"
    probes = "probes"
    figures = "figures"
    tables = "tables"


@app.command("list")
def list_(
    what: Annotated[Listing | None, typer.Argument(help="one kind; else all")] = None,
    results: Results = None,
    data_root: DataRoot = None,
) -> None:
    """List sweeps, data sets, recipes, networks, fields of a run, probes, figures and tables."""
    from study.cli.catalogue import listing
    from study.data import default_root

    for kind in [what] if what else list(Listing):
        print(f"{kind.value}:")
        found = listing(kind.value, results_folder(results), data_root or default_root())
        lines = [(printable(name), printable(summary)) for name, summary in found]
        width = max((len(name) for name, _ in lines), default=0)
        for name, summary in lines:
            print(f"  {name:<{width}}  {summary}")


@app.command()
def describe(
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="of a run, e.g. network=residual depth=56")
    ] = None,
) -> None:
    """Show a network: its layers, parameters, multiply-adds and shortcuts, as the papers' tables do."""
    from study.networks import describe as words

    print(words.describe(words.run_of(fields or ())), end="")


@app.command()
def doctor(results: Results = None, data_root: DataRoot = None) -> None:
    """Say what works on this machine, what is missing, and how to get it."""
    from study.cli.doctor import examine
    from study.data import default_root

    sound = True
    for finding in examine(results_folder(results), data_root or default_root()):
        print(f"{finding.mark:<5} {finding.subject:<16} {finding.says}", flush=True)
        sound = sound and finding.mark != "FAIL"
    raise typer.Exit(0 if sound else 1)


app.command()(figures.figure)
app.command()(figures.figures)
app.command()(figures.report)
app.command()(figures.table)
app.command()(figures.verdict)
app.command()(figures.export)
app.command()(measure.probe)
app.command()(surface.surface)
app.command()(measure.embed)


@app.command()
def schema() -> None:
    """Print the JSON schema of a sweep file, for editors."""
    from study.config.sweep import sweep_schema

    print(json.dumps(sweep_schema(), indent=1))


def _version(wanted: bool) -> None:
    if wanted:
        from study.version import VERSION

        print(f"study {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and exit")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry of the command `study`. Exit codes: 0 all done, 1 some run failed, 2 a mistake in the call, 130 interrupted."""
    lasting = len(sys.argv) > 1 and sys.argv[1] in LASTING
    for name in ("stdout", "stderr"):
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            # A name that the terminal cannot show is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
            if stream is getattr(sys, f"__{name}__"):  # the process's own, not what a caller put there
                setattr(sys, name, _unbroken(stream, lasting or name == "stderr"))
    logging.getLogger("study").handlers = [_notes()]
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except StudyError as error:
        complain(*error.args)
        code = 2
    except WriteError as error:  # a folder that cannot be written, a full disk
        complain(f"{error}; what was there is still there, and the same command goes on once this can be written")
        code = 2
    except OSError as error:
        complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        code = 2
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        # Typer's usage errors; some of its versions bring their own copy of click, so they are told by their shape.
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message()
        if message.startswith("Usage:"):  # `study` alone: the help
            print(message)
        else:
            message = (
                unknown_option(error) if hasattr(error, "option_name") and hasattr(error, "possibilities") else message
            )
            words = " ".join(message.replace("Value error, ", "").split())
            complain(f"{words} (see study --help)")
        code = 2
    sys.exit(code if isinstance(code, int) else 0)


LASTING = ("sweep", "surface", "probe", "embed")
"""Verbs whose work is worth more than what they print: they go on where nobody reads that any more."""


class _Pipe(io.RawIOBase):
    """A stream whose reader may end before it, as of `study list | head -1`: what lasts goes on, all else ends quietly."""

    def __init__(self, number: int, lasting: bool) -> None:
        self.number, self.lasting, self.heard = number, lasting, True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.number

    def isatty(self) -> bool:
        return os.isatty(self.number)

    def write(self, content: Buffer) -> int:
        try:
            return os.write(self.number, content) if self.heard else memoryview(content).nbytes
        except BrokenPipeError:
            self.heard = False
        if not self.lasting:
            sys.exit(128 + signal.SIGPIPE)
        if self.number == 1:
            print("study: note: nobody reads the output any more; the work goes on", file=sys.stderr)
        return memoryview(content).nbytes


def _unbroken(stream: io.TextIOWrapper, lasting: bool) -> io.TextIOWrapper:
    """The same stream as a `_Pipe`."""
    stream.flush()
    buffer = io.BufferedWriter(_Pipe(stream.fileno(), lasting))
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering)


class _Note(logging.Formatter):
    """What is logged as a line for the terminal: a traceback is for a run's log."""

    def format(self, record: logging.LogRecord) -> str:
        return f"study: note: {one_line(record.getMessage())}"


def _notes() -> logging.Handler:
    """What this package warns of while nothing else listens: a file that is damaged, a measurement that is passed over."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Note())
    return handler
