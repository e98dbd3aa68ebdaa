"""The command `study`: its verbs, what it prints of errors, and its exit codes. Heavy imports are inside the verbs."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, get_args

import typer

from study.cli import figures, keep, measure, status, surface, sweep
from study.cli.options import DataRoot, Results, Use, complain, print_lines, unknown_option, working
from study.errors import StudyError, printable
from study.launch.attempt.log import warnings_to
from study.store.files import WriteError

Kind = Literal["sweeps", "data", "recipes", "networks", "fields", "probes", "figures", "tables"]


def list_(
    what: Annotated[Kind | None, typer.Argument(help="list one kind only")] = None,
    *,
    use: Use = None,
    results: Results,
    data_root: DataRoot,
) -> None:
    """List sweeps, data sets, networks, fields, figures and so on."""
    from study.cli.catalogue import listing

    for kind in [what] if what else get_args(Kind):
        print(f"{kind}:")
        found = listing(kind, results, data_root)
        lines = [(printable(name), printable(summary)) for name, summary in found]
        width = max((len(name) for name, _ in lines), default=0)
        for name, summary in lines:
            print_lines([summary], f"  {name:<{width}}  ")


def describe(
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="e.g. network=residual depth=56")
    ] = None,
    *,
    use: Use = None,
) -> None:
    """Print the layers, parameters and multiply-adds of a network."""
    from study.networks import describe as words

    print(words.describe(words.run_of(fields or ())), end="")


def doctor(*, results: Results, data_root: DataRoot) -> None:
    """Check this machine: Python, torch, GPUs, SLURM, data sets, disk."""
    from study.cli.doctor import examine

    sound = True
    with working("importing torch"):
        for finding in examine(results, data_root):
            print_lines([finding.says], f"{finding.mark:<5} {finding.subject:<16} ")
            sound = sound and finding.mark != "FAIL"
    raise typer.Exit(0 if sound else 1)


def schema() -> None:
    """Print the JSON schema of a sweep file, for editors."""
    from study.config.schema import sweep_schema

    print(json.dumps(sweep_schema(), indent=1))


VERBS: dict[str, list[tuple[Callable[..., None], str]]] = {
    "Run": [
        (sweep.sweep, "study sweep quickstart.yaml seed=0,1 --dry-run"),
        (status.status, "study status quickstart --watch"),
        (status.logs, "study logs plain-56-digits-s0 -f"),
        (status.cancel, "study cancel fig6"),
    ],
    "Look": [
        (figures.verdict, "study verdict quickstart"),
        (figures.figure, "study figure degradation quickstart ymax=20 --style talk"),
        (figures.figures, "study figures quickstart"),
        (figures.table, "study table errors quickstart --format latex"),
        (figures.report, "study report quickstart"),
        (figures.export, "study export quickstart --format csv"),
    ],
    "Measure": [
        (measure.probe, "study probe quickstart --probes gradients,paths"),
        (surface.surface, "study surface quickstart --points 25 --bn recalibrated"),
        (measure.embed, "study embed plain-20-digits-s0 --depth 56"),
    ],
    "Explore": [
        (list_, "study list figures"),
        (describe, "study describe network=residual depth=56 shortcut=B"),
        (schema, "study schema > sweep.schema.json"),
    ],
    "Maintain": [
        (doctor, "study doctor"),
        (status.collect, "study collect quickstart"),
        (keep.du, "study du quickstart"),
        (keep.prune, "study prune quickstart --dry-run"),
        (keep.rm, "study rm quickstart --failed"),
        (keep.mv, "study mv quickstart first_try"),
        (keep.merge, "study merge /mnt/gpu1/results /mnt/gpu2/results"),
        (keep.diff, "study diff quickstart mine.yaml"),
    ],
}
"""The verbs in the order of `study --help`, each with an example. The help is plain text: rich doubles its time."""


class _Panels(typer.core.TyperGroup):
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for panel, verbs in VERBS.items():
            names = [verb.__name__.rstrip("_") for verb, _ in verbs]
            with formatter.section(panel):
                width = formatter.width - 10
                formatter.write_dl([(f"{name:<8}", self.commands[name].get_short_help_str(width)) for name in names])


app = typer.Typer(
    name="study",
    cls=_Panels,
    help="Does depth hurt, and do shortcuts mend it? Run degradation studies on one machine or a SLURM cluster.",
    epilog="Start with: study sweep quickstart.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb, _example in (pair for verbs in VERBS.values() for pair in verbs):
    app.command(_verb.__name__.rstrip("_"), epilog=f"Example: {_example}")(_verb)


def _version(wanted: bool) -> None:
    if wanted:
        from study.version import VERSION

        print(f"study {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of `study`. Exit codes: 0 all done, 1 a run failed, 2 a mistake in the call, 130 interrupted."""
    _prepare_streams(lasting=len(sys.argv) > 1 and sys.argv[1] in LASTING)
    with warnings_to(lambda text: complain(f"note: {text}"), alone=True):
        try:
            code = app(standalone_mode=False)
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = 130
        except Exception as error:
            complain(*_mistakes(error))
            code = 2
    sys.exit(code if isinstance(code, int) else 0)


def _mistakes(error: Exception) -> Iterable[str]:
    """What to print of an error that the user can mend; any other is raised again."""
    if isinstance(error, StudyError):
        return error.args
    if isinstance(error, WriteError):  # a read-only folder, a full disk
        return [f"{error}; nothing is lost: fix this and rerun the command"]
    if isinstance(error, OSError):
        return [f"{error.filename or 'input or output'}: {error.strerror or error}"]
    if not hasattr(error, "format_message"):  # usage errors; versions of Typer bring their own copy of click
        raise error
    message = error.format_message()
    if message.startswith("Usage:"):  # `study` alone
        print(message)
        return []
    if hasattr(error, "option_name") and hasattr(error, "possibilities"):
        message = unknown_option(error)
    return [" ".join(message.replace("Value error, ", "").split()) + " (see study --help)"]


LASTING = ("sweep", "surface", "probe", "embed")
"""Verbs whose work outlives the reader of their output, as in `study sweep FILE | head -1`; others end quietly with it."""


class _Lasting(io.FileIO):
    """A stream that goes nowhere once its reader has ended."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        if self.fileno() == 1:
            print("study: note: the reader of the output has ended; the work continues", file=sys.stderr)
        return memoryview(content).nbytes


def _prepare_streams(lasting: bool) -> None:
    """Let no unprintable name fail a command, and no reader that ends first fail one that lasts."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue
        if not lasting:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            stream.reconfigure(errors="backslashreplace")
            continue
        raw = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
        lines = stream.line_buffering
        setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=lines))
