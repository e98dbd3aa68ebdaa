"""`study sweep`. As in `study.cli.app`, heavy imports are inside."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import surface as surfacing
from study.cli.execute import execute, submit
from study.cli.options import (
    DataRoot,
    DeviceName,
    DryRun,
    ExecutorName,
    ProfileFile,
    Results,
    Threads,
    Workers,
    at_home,
    complain,
    finite,
    results_folder,
)
from study.config.choices import Mode
from study.errors import StudyError, printable
from study.text import counted

if TYPE_CHECKING:
    from study.config.run import RunSpec
    from study.config.surface import Surface
    from study.config.sweep import Sweep
    from study.launch.machine import Machine
    from study.launch.slurm.profile import Profile
    from study.launch.sweep import Planned


def _complete_sweep_file(incomplete: str) -> list[str]:
    from study.config.ready import ready_sweeps

    return [f"{name}.yaml" for name in ready_sweeps() if name.startswith(incomplete)]


def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="a sweep file, or the name of a ready one", autocompletion=_complete_sweep_file
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="e.g. seed=0,1 recipe.iterations=1000")
    ] = None,
    dry_run: DryRun = False,
    mode: Annotated[
        Mode, typer.Option(help="missing: unfinished runs; retry: failed ones too; force: all runs again")
    ] = "missing",
    executor: ExecutorName = "auto",
    profile: ProfileFile = None,
    device: DeviceName = "auto",
    workers: Workers = None,
    threads: Threads = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, callback=finite, help="seconds between checkpoints")
    ] = 60.0,
    watchdog: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", min=0.1, callback=finite, help="kill workers that make no progress for MINUTES"
        ),
    ] = None,
    results: Results = None,
    data_root: DataRoot = None,
    figures: Annotated[Path, typer.Option("--figures", callback=at_home, help="figures folder")] = Path("figures"),
) -> None:
    """Train the unfinished runs of a sweep file.

    Then print the final errors and draw the figures. Stop with Ctrl-C at any time; rerun to continue.
    """
    from study.config.ready import find_sweep_file
    from study.config.sweep import load
    from study.data import default_root
    from study.launch.images import compared
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.slurm.submissions import adopt_orphans
    from study.launch.sweep import check, choose_executor, plan_sweep, record

    planned = plan_sweep(load(find_sweep_file(file), overrides or ()), results_folder(results), mode)
    cluster, root = load_profile(profile), data_root or default_root()
    if dry_run:
        _print_plan(*compared(planned, root))
        return
    chosen = choose_executor(executor)
    patience = math.inf if watchdog is None else 60 * watchdog
    machine = Machine(root, chosen, device, workers, threads, checkpoint_seconds, patience)
    if planned.work:
        check(planned, machine, cluster)
    _print_remarks(planned)
    planned, said = compared(planned, root)
    print(*said, sep="\n", end="\n" if said else "")
    if earlier := record(planned):
        print(
            f"note: {planned.sweep.name} also has {counted(earlier, 'run')} of earlier calls, and its tables and figures show "
            f"them. `name=...` keeps calls apart; to leave earlier ones out, remove {planned.files.sweep} first"
        )
    if chosen == "slurm":
        adopt_orphans(planned.files.results)
    if planned.work:
        if not _train(planned, machine, cluster):
            raise typer.Exit(130)
    else:
        print(_nothing_to_do(planned))
        if planned.count("hold"):
            raise typer.Exit(1)
    code = _surfaces(planned, machine, cluster, mode)
    if code == 130:
        raise typer.Exit(code)
    if code is not None and not (planned.work and chosen == "slurm"):
        raise typer.Exit(max(code, _show_results(planned, figures)))


def _surfaces(planned: Planned, machine: Machine, profile: Profile, mode: Mode) -> int | None:
    """Measure the surfaces that the sweep names, if their runs are trained; as `study.cli.surface.measure`."""
    sweep = planned.sweep
    if not (chosen := _chosen_surfaces(sweep)):
        return 0
    from study.launch.surface import of_sweep

    request = of_sweep(planned.files, chosen, sweep.whole)
    # A run that starts over takes its surfaces with it.
    try:
        return surfacing.measure(request, machine, profile, "retry" if mode == "retry" else "missing")
    except StudyError as error:  # the runs' own results are shown all the same
        complain(*error.args)
        return 2


def _chosen_surfaces(sweep: Sweep) -> dict[str, Surface]:
    """The surfaces around the runs that this call is about."""
    return {name: surface for name, surface in sweep.surfaces.items() if surface.run in sweep.runs}


def _train(planned: Planned, machine: Machine, profile: Profile) -> bool:
    """Have the runs trained; False when interrupted."""
    from study.launch.local.pool import pool_of
    from study.launch.local.terminal import runs_shown
    from study.launch.sweep import open_packs
    from study.store.collect import collect

    work, files = planned.work, planned.files
    count = f"{len(work)} of {len(planned.actions)} runs"
    if machine.executor == "slurm":
        submit(files, open_packs(planned, profile.runs_per_gpu), profile, machine, "runs", count)
        return True
    pool = pool_of(machine, len(planned.sweep.runs))
    print(f"{files.name}: {count} to train, into {files.folder}/")
    packs = open_packs(planned, pool.pack_size, len(pool.devices))
    shown, ready = runs_shown(work, planned.sweep.runs), planned.count("keep")
    complete = execute(packs, pool, machine, shown, ready, "runs", "trained")
    collect(files, afresh=False)
    return complete


def _print_plan(planned: Planned, said: list[str]) -> None:
    from study.config.differences import differing, label
    from study.launch.plan.runs import cost

    fields = differing(planned.sweep.runs.values())
    names = {run_id: label(spec, fields) for run_id, spec in planned.sweep.runs.items()}
    width = max(map(len, names.values()), default=0)
    for action in planned.actions:
        spec, name = planned.sweep.runs[action.run_id], names[action.run_id]
        reason = f"  ({action.reason})" if action.reason else ""
        recipe = _recipe(spec, fields)
        print(f"{action.verb:<7} {name:<{width}} {spec.dataset}  {recipe}  {action.run_id}{reason}")
    print(*said, sep="\n", end="\n" if said else "")
    work = planned.work
    arithmetic = 2 * sum(map(cost, work.values()))
    count = len(_chosen_surfaces(planned.sweep))
    surfaces = f", {count} surfaces (see `study surface`)" if count else ""
    whole = len(planned.sweep.whole)
    every = counted(whole, "run")
    runs = every if len(planned.actions) == whole else f"{len(planned.actions)} of {every}"
    print(f"{planned.sweep.name}: {runs}, {len(work)} to train ({arithmetic:.2g} FLOP){surfaces}; nothing was done")
    _print_remarks(planned)


def _print_remarks(planned: Planned) -> None:
    """Print what finished runs lack, and settings without effect in the runs to train."""
    from study.config.remarks import remarks

    for words, count in Counter(planned.lacking.values()).items():
        print(f"note: {counted(count, 'finished run')}: {words}")
    said = Counter((_recipe(spec, ()), "; ".join(remarks(spec))) for spec in planned.work.values())
    for (recipe, text), count in said.items():
        if text:
            print(f"note: {recipe} ({count} of {len(planned.work)} runs): {text}")


def _recipe(spec: RunSpec, told: Sequence[str]) -> str:
    """`he2015_cifar learning_rate=0.03`: the recipe's name and its changed fields, but for those in `told`."""
    from study.config.differences import text
    from study.config.recipes import changes
    from study.config.stored import flat

    recipe = flat(spec.recipe.model_dump(mode="json"))
    further = [name for name in changes(spec.recipe.model_dump(mode="json")) if f"recipe.{name}" not in told]
    return " ".join([spec.recipe.name, *(f"{name}={text(recipe[name])}" for name in further)])


def _nothing_to_do(planned: Planned) -> str:
    name = planned.sweep.name
    counts = [
        (planned.count("wait"), f"in training or in the queue (see `study status {name}`)"),
        (planned.count("hold"), "waiting for the runs they start from (see --dry-run)"),
        (planned.count("leave"), f"failed (see `study status {name}`; --mode retry tries again)"),
    ]
    words = [f"{planned.count('keep')} of {len(planned.actions)} runs are finished"]
    words += [f"{count} {what}" for count, what in counts if count]
    left = "train" if _chosen_surfaces(planned.sweep) else "do"
    return f"{name}: nothing is left to {left}; {', '.join(words)}"


def _show_results(planned: Planned, figures: Path) -> int:
    """Print the table of final errors and the paths of the figures; returns the exit code."""
    from study.plotting.every import refresh
    from study.plotting.tables.errors import final_errors
    from study.plotting.tables.render import render
    from study.store.collect import collect
    from study.store.read import read_frames

    collected = collect(planned.files, afresh=False)
    curves, runs = read_frames([planned.files.folder])
    if not curves.empty:
        print()
        print(render(final_errors(curves, runs), "text"), end="")
    runs = runs[runs["run_id"].isin(list(planned.sweep.runs))]  # the table above is of the whole sweep
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
        print(f"note: {left} runs are unfinished{told}; rerun to continue")
        return 1
    return 1 if len(failed) else 0
