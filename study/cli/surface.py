"""`study surface`, which also measures the surfaces of `study sweep`. Heavy imports are inside."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.options import MOST, DataRoot, ProfileFile, Results, again, complete_sweep, sweep_files
from study.config.choices import BatchNorm, Device, Executor, Mode, Plane, Precision, Split
from study.errors import StudyError, one_line

if TYPE_CHECKING:
    from study.launch.machine import Machine
    from study.launch.plan.surfaces import SurfaceAction
    from study.launch.slurm.profile import Profile
    from study.launch.surfaces import Asked


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
        bool, typer.Option("--centred", help="for pca: centre on the snapshots' mean, as in Li et al.'s code")
    ] = False,
    trajectory: Annotated[
        bool, typer.Option("--trajectory", help="project the training snapshots onto the plane; always on for pca")
    ] = False,
    data: Annotated[Split | None, typer.Option(help="images [default: both]")] = None,
    subset: Annotated[int | None, typer.Option(min=1, help="number of training images [default: all]")] = None,
    bn: Annotated[BatchNorm | None, typer.Option(help="BN statistics [default: frozen]")] = None,
    precision: Annotated[Precision | None, typer.Option(help="[default: fp32]")] = None,
    orthogonal: Annotated[
        bool, typer.Option("--orthogonal", help="make the second direction orthogonal to the first")
    ] = False,
    refine: Annotated[int | None, typer.Option(min=0, help="halve cells in which the surface bends, so often")] = None,
    curvature: Annotated[
        bool, typer.Option("--curvature", help="measure the Hessian's extreme eigenvalues too (slow)")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="print the plan and exit")] = False,
    mode: Annotated[
        Mode, typer.Option(help="missing: unmeasured points; retry: failed ones too; force: all again")
    ] = "missing",
    executor: Annotated[
        Executor,
        typer.Option(envvar="STUDY_EXECUTOR", help="auto: slurm on a cluster, else local; debug: in this process"),
    ] = "auto",
    profile: ProfileFile = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="on a cluster: jobs per surface")] = None,
    device: Annotated[Device, typer.Option(help="auto: GPUs if there are any")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="worker processes [default: one per GPU, or per core]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="threads per worker [default: cores / workers]")
    ] = None,
    results: Results = None,
    data_root: DataRoot = None,
) -> None:
    """Measure the loss over planes of weights around trained networks.

    Without settings: the surfaces of the sweep's file, or a random plane of 51 x 51 points per run. Stop with Ctrl-C at any
    time; rerun to continue. `surfaces` in a sweep file has more settings (docs/surfaces.md).
    """
    from study.data import default_root
    from study.launch import surfaces
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.slurm.where import adopt_orphans
    from study.launch.sweep import choose_executor

    given = {
        "plane": plane,
        "points": points and _points(points),
        "range": range_ and _ranges(range_),
        "dims": 1 if line else None,
        "planes": planes,
        "centred": centred or None,
        "trajectory": trajectory or None,
        "data": data,
        "subset": subset,
        "bn": bn,
        "precision": precision,
        "orthogonal": orthogonal or None,
        "refine": refine,
        "curvature": curvature or None,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    asked = surfaces.asked(sweep_files(what, results), settings, to or ())
    machine = Machine(data_root or default_root(), choose_executor(executor), device, workers, threads)
    if machine.executor == "slurm" and not dry_run:
        adopt_orphans(asked.files.results)
    raise typer.Exit(measure(asked, machine, load_profile(profile), mode, jobs, dry_run) or 0)


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
    asked: Asked,
    machine: Machine,
    profile: Profile,
    mode: Mode = "missing",
    jobs: int | None = None,
    dry_run: bool = False,
) -> int | None:
    """Have surfaces measured, and say what came of it; the exit code, or None where they were handed to a cluster."""
    from study.launch import surfaces
    from study.launch.plan.surfaces import count

    actions = asked.plan(mode)
    if dry_run:
        print("\n".join(plan_lines(actions)))
        print(f"{len(actions)} surfaces, {count(actions)} to measure; nothing was done")
        return 0
    wrong = surfaces.check(actions, asked, machine)
    usable = surfaces.sound(actions, wrong)
    if wrong and not count(usable):
        raise StudyError(*wrong.values())
    for line in wrong.values():
        print(f"study: {one_line(line)}", file=sys.stderr)
    if machine.executor == "slurm":
        if _submit(asked, usable, machine, profile, jobs):
            return 1 if wrong else None
    elif count(usable) and not _measure_here(asked, usable, machine):
        print("interrupted; what is measured is kept. To go on, give the same command again:", file=sys.stderr)
        print(f"  {again()}", file=sys.stderr)
        return 130
    return max(_show(asked, count(usable) > 0), int(bool(wrong)))


def plan_lines(actions: Sequence[SurfaceAction]) -> list[str]:
    """What `--dry-run` says of each surface."""
    lines = []
    for action in actions:
        reason = f"  ({action.reason})" if action.reason else ""
        lines.append(f"{action.verb:<7} {action.title}  {action.files.run_id}{reason}")
    return lines


def _submit(
    asked: Asked, actions: Sequence[SurfaceAction], machine: Machine, profile: Profile, jobs: int | None
) -> int:
    """Hand to the cluster what is to be measured; the number of jobs, 0 where nothing was left for it."""
    from study.launch import surfaces

    name, accepted = asked.files.name, 0
    for submission in surfaces.submit(asked, actions, machine, profile, jobs):
        accepted += len(submission.packs)
        print(f"{name}: job {submission.job_id}: {len(submission.packs)} packs of chunks accepted")
    if accepted:
        handed = sum(bool(action.chunks) for action in actions)
        print(f"{handed} of {len(asked.surfaces)} surfaces are in the queue, in {accepted} jobs. Next:")
        print(f"  study status {name} --watch\n  study cancel {name}")
        print(f"  {again()}    # again, when they are through: what is missing, and the table")
    return accepted


def _measure_here(asked: Asked, actions: Sequence[SurfaceAction], machine: Machine) -> bool:
    from rich.console import Console

    from study.launch import surfaces
    from study.launch.plan.surfaces import count
    from study.launch.surface_view import SurfaceTerminal

    console = Console()
    print(f"{asked.files.name}: {count(actions)} of {len(asked.surfaces)} surfaces to measure")
    return surfaces.execute(asked, actions, machine, lambda work: SurfaceTerminal(work, console))


def _show(asked: Asked, worked: bool) -> int:
    """Print a line for each surface, and the table's path; 1 where one failed, or is not through after work on it."""
    from study.launch import surfaces
    from study.launch.plan.runs import WORK
    from study.launch.plan.surfaces import count
    from study.store.collect import collect

    actions = asked.plan()
    surfaces.tidy_up(actions)
    for action in actions:
        if action.verb == "keep":
            run = asked.runs[action.surface.run]
            print(surfaces.summary(action, run))
            for warning in surfaces.doubts(action, run):
                print(f"WARNING: {warning}", file=sys.stderr)
        elif action.verb != "hold":
            told = sys.stderr if action.state == "failed" else sys.stdout
            print(f"{action.title}: {action.reason or 'not measured'}", file=told)
    if failed := [action for action in actions if action.state == "failed"]:
        print(
            f"{len(failed)} failed; --mode retry tries again. See {failed[0].files.folder}/chunks/*/log",
            file=sys.stderr,
        )
    left = count(actions, "wait", *WORK)
    if left and worked:
        print(f"note: {left} surfaces are not through; the same command goes on with them")
    if held := count(actions, "hold"):
        print(f"{held} surfaces are held back until their runs are trained")
    if asked.files.sweep.exists():
        collect(asked.files)
        if asked.files.surfaces_table.exists():
            print(f"surfaces: {asked.files.surfaces_table}; draw them with `study figure contours {asked.files.name}`")
    return int(bool(failed) or (worked and left > 0))
