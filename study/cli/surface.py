"""`study surface`, which also measures the surfaces of `study sweep`. Heavy imports are inside."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.execute import execute, print_plan, submit
from study.cli.options import (
    DataRoot,
    DeviceName,
    DryRun,
    ExecutorName,
    ProfileFile,
    Results,
    Threads,
    Workers,
    complain,
    complete_sweep,
    print_lines,
    sweep_files,
    working,
)
from study.config.choices import BatchNorm, Mode, Plane, Precision, Split
from study.errors import StudyError

if TYPE_CHECKING:
    from study.launch.machine import Machine
    from study.launch.plan.surface import SurfaceAction, SurfaceRequest
    from study.launch.slurm.profile import Profile


def surface(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN", autocompletion=complete_sweep)],
    plane: Annotated[Plane | None, typer.Option(help="what spans the plane [default: random]")] = None,
    points: Annotated[str | None, typer.Option(help="points per axis: 51, or 51x31 [default: 51]")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="1 for -1 to 1; 0:2; or one per axis: -1:1,0:2")] = None,
    line: Annotated[bool, typer.Option("--line", help="measure a line instead of a plane")] = False,
    planes: Annotated[int | None, typer.Option(min=1, help="number of random planes [default: 1]")] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="for interpolate: another run, or seed=1; twice for a plane"),
    ] = None,
    centred: Annotated[
        bool | None, typer.Option("--centred", help="for pca: centre on the snapshots' mean, as in Li et al.'s code")
    ] = None,
    trajectory: Annotated[
        bool | None,
        typer.Option("--trajectory", help="project the training snapshots onto the plane; always on for pca"),
    ] = None,
    data: Annotated[Split | None, typer.Option(help="images [default: both]")] = None,
    subset: Annotated[int | None, typer.Option(min=1, help="number of training images [default: all]")] = None,
    bn: Annotated[BatchNorm | None, typer.Option(help="BN statistics [default: frozen]")] = None,
    precision: Annotated[Precision | None, typer.Option(help="[default: fp32]")] = None,
    orthogonal: Annotated[
        bool | None, typer.Option("--orthogonal", help="make the second direction orthogonal to the first")
    ] = None,
    curvature: Annotated[
        bool | None, typer.Option("--curvature", help="measure the Hessian's extreme eigenvalues too (slow)")
    ] = None,
    dry_run: DryRun = False,
    mode: Annotated[
        Mode, typer.Option(help="missing: unmeasured points; retry: failed ones too; force: all again")
    ] = "missing",
    executor: ExecutorName = "auto",
    profile: ProfileFile = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="on a cluster: jobs per surface")] = None,
    device: DeviceName = "auto",
    workers: Workers = None,
    threads: Threads = None,
    *,
    results: Results,
    data_root: DataRoot,
) -> None:
    """Measure the loss over planes of weights around trained networks.

    Without settings: the surfaces of the sweep's file, or a random plane of 51 x 51 points per run. Stop with Ctrl-C at any
    time; rerun to continue. `surfaces` in a sweep file has more settings (docs/surfaces.md).
    """
    from study.launch import surface as surfaces
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.slurm.submissions import adopt_orphans
    from study.launch.sweep import choose_executor

    given = {
        "plane": plane,
        "points": points and _points(points),
        "range": range_ and _ranges(range_),
        "dims": 1 if line else None,
        "planes": planes,
        "centred": centred,
        "trajectory": trajectory,
        "data": data,
        "subset": subset,
        "bn": bn,
        "precision": precision,
        "orthogonal": orthogonal,
        "curvature": curvature,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    request = surfaces.request(sweep_files(what, results), settings, to or ())
    machine = Machine(data_root, choose_executor(executor), device, workers, threads)
    if machine.executor == "slurm" and not dry_run:
        adopt_orphans(request.files.results)
    raise typer.Exit(measure(request, machine, load_profile(profile), mode, jobs, dry_run) or 0)


def _points(text: str) -> int | list[int]:
    """`51` or `51x31`."""
    if not re.fullmatch(r"\d{1,6}(x\d{1,6})?", text):
        raise StudyError(f"--points {text}: write it as 51, or as 51x31")
    first, _, second = text.partition("x")
    return [int(first), int(second)] if second else int(first)


def _ranges(text: str) -> float | list[list[float]]:
    """`1`, `0:2` or `-1:1,0:2`."""
    try:
        if ":" not in text:
            return float(text)
        pairs = [[float(end) for end in pair.split(":")] for pair in text.split(",")]
    except ValueError:
        raise StudyError(f"--range {text}: write it as 1, as 0:2, or as -1:1,0:2") from None
    return pairs[0] if len(pairs) == 1 else pairs  # type: ignore[return-value]


def measure(
    request: SurfaceRequest,
    machine: Machine,
    profile: Profile,
    mode: Mode = "missing",
    jobs: int | None = None,
    dry_run: bool = False,
) -> int | None:
    """Measure surfaces and print the results; returns the exit code, or None if they were submitted to a cluster."""
    from study.launch import surface as surfaces
    from study.launch.plan.state import count

    actions = request.plan(mode)
    if dry_run:
        rows = [(a.verb, a.title, a.files.run_id, a.reason) for a in actions]
        print_plan([dict(zip(("action", "surface", "id", "reason"), row, strict=True)) for row in rows])
        print(f"{len(actions)} surfaces, {count(actions)} to measure; nothing was done")
        return 0
    with working("checking the networks"):
        wrong = surfaces.check(actions, request, machine)
    usable = [action for action in actions if not wrong.keys() & {action.surface.run, *action.surface.to}]
    if wrong and not count(usable):
        raise StudyError(*wrong.values())
    complain(*wrong.values())
    worked = count(usable) > 0
    if machine.executor == "slurm":
        if packs := surfaces.open_packs(usable, jobs, surfaces.CHUNKS_PER_JOB):
            part = f"{sum(bool(action.chunks) for action in usable)} of {len(actions)} surfaces"
            submit(request.files, packs, profile.single_task(), machine, "chunks", part)
            return 1 if wrong else None
    elif worked and not _measure_here(request, usable, machine):
        return 130
    return max(_show(request, worked), int(bool(wrong)))


def _measure_here(request: SurfaceRequest, actions: Sequence[SurfaceAction], machine: Machine) -> bool:
    """Measure on this machine; False when interrupted."""
    from study.launch import surface as surfaces
    from study.launch.local.pool import pool
    from study.launch.local.terminal import surfaces_shown
    from study.launch.plan.state import count

    print(f"{request.files.name}: {count(actions)} of {len(request.surfaces)} surfaces to measure")
    packs = surfaces.open_packs(actions)
    shown, ready = surfaces_shown(actions, packs), count(actions, "keep")
    return execute(packs, pool(machine, request.chunks), machine, shown, ready, "surfaces", "measured")


def _show(request: SurfaceRequest, worked: bool) -> int:
    """Print a line for each surface and the path of the table; returns the exit code."""
    from study.launch import surface as surfaces
    from study.launch.plan.state import WORK, count
    from study.store.collect import collect
    from study.store.lease import tidy

    actions = request.plan()
    for action in actions:
        if action.verb == "keep":
            for task in (action.files, *action.files.chunks()):
                tidy(task)  # what killed processes left
            run = request.runs[action.surface.run]
            print_lines([surfaces.summary(action)])
            for warning in surfaces.doubts(action, run):
                print(f"WARNING: {warning}", file=sys.stderr)
        elif action.verb != "hold":
            told = sys.stderr if action.state == "failed" else sys.stdout
            print(f"{action.title}: {action.reason or 'not measured'}", file=told)
    if failed := [action for action in actions if action.state == "failed"]:
        logs = f"{failed[0].files.folder}/chunks/*/log"
        print(f"{len(failed)} failed; --mode retry tries again. See {logs}", file=sys.stderr)
    left = count(actions, "wait", *WORK)
    if left and worked:
        print(f"note: {left} surfaces are unfinished; rerun to continue")
    if held := count(actions, "hold"):
        print(f"{held} surfaces are waiting until their runs are trained")
    if request.files.sweep.exists():
        collect(request.files)
        if request.files.surfaces_table.exists():
            draw = f"`study figure contours {request.files.name}`"
            print_lines([f"surfaces: {request.files.surfaces_table}; draw them with {draw}"])
    return int(bool(failed) or (worked and left > 0))
