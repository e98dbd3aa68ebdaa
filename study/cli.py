"""The verbs of `study`: parse, call, print. Every heavy import is inside the verb that needs it."""

from __future__ import annotations

import io
import json
import logging
import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study import looking, measuring, surfacing
from study.errors import StudyError, one_line, printable
from study.options import (
    MOST,
    DataRoot,
    Device,
    Executor,
    Mode,
    Results,
    SweepName,
    again,
    complete_sweep,
    finite,
    results_folder,
    sweep_files,
)
from study.store.files import WriteError

if TYPE_CHECKING:
    from study.launch.profile import Profile
    from study.launch.sweep import Machine, Planned
    from study.spec.run import RunSpec

app = typer.Typer(
    name="study",
    help="Does depth hurt, and do shortcuts mend it? Degradation studies on one machine or a SLURM cluster.",
    epilog="Start with: study sweep quickstart.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete_sweep_file(incomplete: str) -> list[str]:
    from study.launch.sweep import ready_sweeps

    return [f"{name}.yaml" for name in ready_sweeps() if name.startswith(incomplete)]


# -- sweep ------------------------------------------------------------------------------------------------------------


@app.command()
def sweep(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="a sweep file, or a ready one", autocompletion=_complete_sweep_file)
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="e.g. seed=0,1 recipe.iterations=1000")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="say what would be done, and do nothing")] = False,
    mode: Annotated[
        Mode, typer.Option(help="missing: what is not there yet; retry: failed runs too; force: all again")
    ] = Mode.missing,
    executor: Annotated[
        Executor,
        typer.Option(envvar="STUDY_EXECUTOR", help="who trains; auto: slurm on a cluster; debug: this process"),
    ] = Executor.auto,
    profile: Annotated[
        Path | None, typer.Option(envvar="STUDY_PROFILE", help="a cluster's profile, for slurm (docs/slurm.md)")
    ] = None,
    device: Annotated[Device, typer.Option(help="auto: GPUs where there are any")] = Device.auto,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="runs at once [default: one per GPU, else per core]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="threads of a worker [default: the cores shared out]")
    ] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, callback=finite, help="training time that a crash may cost")
    ] = 60.0,
    watchdog: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", min=0.1, callback=finite, help="end what takes no step for so long; its runs go on"
        ),
    ] = None,
    results: Results = None,
    data_root: DataRoot = None,
    figures: Annotated[Path, typer.Option("--figures", help="folder for the figures")] = Path("figures"),
) -> None:
    """Train what a sweep file names and is not there yet; then show its errors and draw its figures.

    Stop it with Ctrl-C at any time: the same command goes on where it was.
    """
    from study.data import default_root
    from study.launch.profile import load_profile
    from study.launch.sweep import Machine, adopt_orphans, check, choose_executor, find_sweep_file, plan_sweep, record
    from study.spec.sweep import load

    named = load(find_sweep_file(file), overrides or ())
    cluster = load_profile(profile)
    planned = plan_sweep(named, results_folder(results), mode.value)
    if dry_run:
        _print_plan(planned)
        return
    chosen = choose_executor(executor.value)
    patience = math.inf if watchdog is None else 60 * watchdog
    machine = Machine(data_root or default_root(), chosen, device.value, workers, threads, checkpoint_seconds, patience)
    if planned.work:
        check(planned, machine, cluster)
    dropped, aside = record(planned)
    if aside:
        print(
            f"note: {planned.files.folder}/ had results of other runs, with no folders left; they are kept in {aside}/"
        )
    if dropped:
        print(f"note: {named.name} named {dropped} other runs before; they stay on disk. `name=...` keeps both apart")
    if chosen == "slurm":
        adopt_orphans(planned.files.results)
        if planned.work:
            _submit(planned, machine, cluster)
    elif planned.work and not _train(planned, machine):
        print("interrupted, and checkpointed. To go on, give the same command again:", file=sys.stderr)
        print(f"  {again()}", file=sys.stderr)
        raise typer.Exit(130)
    if not planned.work:
        print(_nothing_to_do(planned))
        if planned.count("hold"):
            raise typer.Exit(1)
    code = _surfaces(planned, machine, cluster, mode)
    if code == 130:
        raise typer.Exit(code)
    if code is not None and not (planned.work and chosen == "slurm"):
        raise typer.Exit(max(code, _show_results(planned, figures)))


def _surfaces(planned: Planned, machine: Machine, profile: Profile, mode: Mode) -> int | None:
    """Have the surfaces measured that the sweep names, as far as their runs are trained; as `study.surfacing.measure`."""
    if not planned.sweep.surfaces:
        return 0
    from study.launch.surfaces import of_sweep

    asked = of_sweep(planned.files, planned.sweep.surfaces, planned.sweep.runs)
    # Those of a run that starts over are forgotten with it.
    try:
        return surfacing.measure(asked, machine, profile, "retry" if mode is Mode.retry else "missing")
    except StudyError as error:  # the runs' own results are there all the same, and shown
        _complain(*error.args)
        return 2


def _submit(planned: Planned, machine: Machine, profile: Profile) -> None:
    from study.launch.sweep import submit

    name, jobs = planned.sweep.name, 0
    for submission in submit(planned, machine, profile):
        jobs += len(submission.packs)
        print(f"{name}: job {submission.job_id}: {len(submission.packs)} packs accepted")
    print(f"{len(planned.work)} of {len(planned.actions)} runs are in the queue, in {jobs} jobs. Next:")
    print(f"  study status {name} --watch\n  study logs RUN -f\n  study cancel {name}")
    print(f"  {again()}    # again, when they are through: what is missing, table, figures")


def _print_plan(planned: Planned) -> None:
    from study.launch.plan import cost
    from study.launch.view import label

    width = max((len(label(spec)) for spec in planned.sweep.runs.values()), default=0)
    for action in planned.actions:
        spec = planned.sweep.runs[action.run_id]
        reason = f"  ({action.reason})" if action.reason else ""
        print(f"{action.verb:<7} {label(spec):<{width}} {spec.dataset}  {_recipe(spec)}  {action.run_id}{reason}")
    work = planned.work
    arithmetic = 2 * sum(map(cost, work.values()))
    surfaces = f", {len(planned.sweep.surfaces)} surfaces (see `study surface`)" if planned.sweep.surfaces else ""
    print(
        f"{planned.sweep.name}: {len(planned.actions)} runs, {len(work)} to train ({arithmetic:.2g} FLOP){surfaces}; "
        "nothing was done"
    )


def _recipe(spec: RunSpec) -> str:
    """`he2015_cifar learning_rate=0.03`: a named recipe, and what is changed of it."""
    from study.spec.recipes import changes

    recipe = spec.recipe.model_dump(mode="json")
    return " ".join([spec.recipe.name, *(f"{name}={recipe[name]}" for name in changes(recipe))])


def _train(planned: Planned, machine: Machine) -> bool:
    from rich.console import Console

    from study.launch.sweep import execute
    from study.launch.view import Terminal

    work = planned.work
    print(f"{planned.sweep.name}: {len(work)} of {len(planned.actions)} runs to train, into {planned.files.folder}/")
    with Terminal(work, planned.count("keep"), Console()) as view:
        _, complete = execute(planned, machine, view)
    return complete


def _nothing_to_do(planned: Planned) -> str:
    total, kept = len(planned.actions), planned.count("keep")
    others = []
    if waiting := planned.count("wait"):
        others.append(f"{waiting} in training or in the queue (see `study status {planned.sweep.name}`)")
    if held := planned.count("hold"):
        others.append(f"{held} held back until the runs that they start from are trained (see --dry-run)")
    if failed := planned.count("leave"):
        others.append(f"{failed} failed (see `study status {planned.sweep.name}`; --mode retry tries again)")
    left = "do" if not planned.sweep.surfaces else "train"
    return f"{planned.sweep.name}: nothing is left to {left}; " + ", ".join(
        [f"{kept} of {total} runs are there", *others]
    )


def _show_results(planned: Planned, figures: Path) -> int:
    """Print the table of final errors and the figures' paths; the exit code of the sweep."""
    from study.plotting.refresh import refresh
    from study.plotting.render import render
    from study.plotting.tables import final_errors
    from study.store.collect import collect
    from study.store.reading import read_frames

    collected = collect(planned.files)
    curves, runs = read_frames([planned.files.folder])
    if not curves.empty:
        print()
        print(render(final_errors(curves, runs), "text"), end="")
    failed = runs[runs["state"] == "failed"]
    for _, run in failed.iterrows():
        print(printable(f"failed: {run['run_id']}: {run['message']}"))
    for _, run in runs[(runs["state"] != "failed") & (runs["message"] != "")].iterrows():
        print(printable(f"note: {run['run_id']}: {run['message']}"))
    print()
    print(*[f"{path.stem}: {path}" for path in collected], sep="\n")
    if not curves.empty:
        for line in refresh(planned.files, planned.sweep.figures, figures / planned.sweep.name):
            print(line)
    if planned.work and (left := int((~runs["state"].isin(["done", "diverged", "failed"])).sum())):
        others = int((runs["state"] == "running").sum())  # this command's own workers have ended
        told = f", {others} of them in training by another process" if others else ""
        print(f"note: {left} runs are not through{told}; the same command goes on with them")
        return 1
    return 1 if len(failed) else 0


# -- looking ----------------------------------------------------------------------------------------------------------


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
    from study.launch.status import find_run, follow_log

    for text in follow_log(find_run(results_folder(results), run), follow):
        print("\n".join(map(printable, text.split("\n"))), end="", flush=True)


@app.command()
def cancel(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN", autocompletion=complete_sweep)], results: Results = None
) -> None:
    """Take the jobs of a sweep, or of one run, out of SLURM's queue; those that run checkpoint first."""
    from study.launch.cancel import cancel as cancel_jobs

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
    probes = "probes"
    figures = "figures"
    tables = "tables"


@app.command("list")
def list_(
    what: Annotated[Listing | None, typer.Argument(help="one kind; else all")] = None,
    results: Results = None,
    data_root: DataRoot = None,
) -> None:
    """List sweeps, data sets, recipes, networks, probes and figures."""
    from study.data import default_root
    from study.launch.catalogue import listing

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
    dot: Annotated[bool, typer.Option("--dot", help="print a graph for Graphviz: | dot -Tpdf > network.pdf")] = False,
) -> None:
    """Show a network: its layers, parameters, multiply-adds and shortcuts, as the papers' tables do."""
    from study.networks import describe as words

    spec = words.run_of(fields or ())
    print(words.dot(spec) if dot else words.describe(spec), end="")


@app.command()
def doctor(results: Results = None, data_root: DataRoot = None) -> None:
    """Say what works on this machine, what is missing, and how to get it."""
    from study.data import default_root
    from study.launch.doctor import examine

    sound = True
    for finding in examine(results_folder(results), data_root or default_root()):
        print(f"{finding.mark:<5} {finding.subject:<16} {finding.says}")
        sound = sound and finding.mark != "FAIL"
    raise typer.Exit(0 if sound else 1)


app.command()(looking.figure)
app.command()(looking.figures)
app.command()(looking.report)
app.command()(looking.table)
app.command()(looking.verdict)
app.command()(looking.export)
app.command()(measuring.probe)
app.command()(surfacing.surface)
app.command()(measuring.embed)
app.command()(measuring.bench)


@app.command()
def schema() -> None:
    """Print the JSON schema of a sweep file, for editors."""
    from study.spec.schema import sweep_schema

    print(json.dumps(sweep_schema(), indent=1))


def _version(wanted: bool) -> None:
    if wanted:
        from study import __version__

        print(f"study {__version__}")
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
    logging.getLogger("study").handlers = [_notes()]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
    except StudyError as error:
        _complain(*error.args)
        code = 2
    except BrokenPipeError:  # `study list | head`
        sys.stderr.close()
        code = 0
    except WriteError as error:  # a folder that cannot be written, a full disk
        _complain(f"{error}; what was there is still there, and the same command goes on once this can be written")
        code = 2
    except OSError as error:
        _complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
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
            words = " ".join(message.replace("Value error, ", "").split())
            _complain(f"{words} (see study --help)")
        code = 2
    sys.exit(code if isinstance(code, int) else 0)


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


def _complain(*mistakes: str) -> None:
    for mistake in mistakes:
        print(f"study: {one_line(mistake)}", file=sys.stderr)
