"""Submit tasks to a cluster or run them here, for `study sweep` and `study surface`; measure surfaces."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from study.cli.options import again, complain, print_lines, working
from study.config import Mode
from study.errors import StudyError
from study.launch import surface as surfaces
from study.launch.columns import room, table
from study.launch.local.pool import Pool, pool
from study.launch.local.terminal import Shown, Terminal, surfaces_shown
from study.launch.local.workers import train, train_here
from study.launch.machine import Machine
from study.launch.plan.state import WORK, count
from study.launch.plan.surface import SurfaceRequest
from study.launch.slurm.profile import Profile
from study.store.collect import collect
from study.store.layout import SweepFiles
from study.store.lease import keeping, tidy


def print_plan(rows: Sequence[dict[str, str]]) -> None:
    """Print what would be done about each run or surface, its reason last."""
    print(table(rows, room(), ("recipe", "id", "data"), heads=False), end="")


def submit(
    files: SweepFiles, packs: Sequence[list[Path]], profile: Profile, machine: Machine, noun: str, count: str
) -> None:
    """Submit packs of tasks (`runs` or `chunks`), `count` such as `3 of 4 runs`; print how to follow them."""
    from study.launch.slurm.submit import submit as sbatch

    jobs = 0
    for submission in sbatch(files, packs, profile, machine, f"up to {max(map(len, packs))} {noun}"):
        jobs += len(submission.packs)
        print(f"{files.name}: job {submission.job_id}: {len(submission.packs)} packs of {noun} accepted")
    print(f"{count} are in the queue, in {jobs} jobs. Next:")
    print(f"  study status {files.name} --watch\n  study logs RUN -f\n  study cancel {files.name}")
    print(f"  {again()}    # when they have ended: submit what is missing, show the results")


def execute(
    files: SweepFiles,
    packs: Sequence[list[Path]],
    pool: Pool,
    machine: Machine,
    shown: Iterable[Shown],
    ready: int,
    noun: str,
    verb: str,
) -> bool:
    """Run packs of tasks on this machine, with progress bars; False when interrupted, by the machine's deadline too."""
    tasks = [folder for pack in packs for folder in pack]
    with keeping(files.results, tasks), Terminal(shown, ready, Console(), noun, verb) as view:
        run = train_here if machine.executor == "debug" else train
        complete = run(packs, pool, machine, view)
    if not complete:
        why = "stopped by --max-hours" if machine.over else "interrupted"
        print(f"{why}; nothing is lost; rerun to continue:\n  {again()}", file=sys.stderr)
    return complete


def measure(
    request: SurfaceRequest,
    machine: Machine,
    profile: Profile,
    mode: Mode = "missing",
    jobs: int | None = None,
    dry_run: bool = False,
) -> int | None:
    """Measure surfaces and print the results; returns the exit code, or None if they were submitted to a cluster."""
    if machine.device == "mps":
        machine = replace(machine, device="cpu")  # float64 is needed
    actions = request.plan(mode)
    if dry_run:
        rows = [(a.verb, a.title, a.files.run_id, a.reason) for a in actions]
        print_plan([dict(zip(("action", "surface", "id", "reason"), row, strict=True)) for row in rows])
        print(f"{len(actions)} surfaces, {count(actions)} to measure; nothing was done")
        return 0
    with working("checking the networks"):
        kept, said = surfaces.with_bn(request.surfaces, request.specs, machine.data_root)
        if said:
            request = replace(request, surfaces=kept)
            actions = request.plan(mode)
        wrong = surfaces.check(actions, request, machine)
    print_lines(said)
    usable = [action for action in actions if action.files.run_id not in wrong]
    if wrong and not count(usable):
        raise StudyError(*dict.fromkeys(wrong.values()))
    complain(*dict.fromkeys(wrong.values()))
    worked = count(usable) > 0
    if machine.executor == "slurm":
        if packs := surfaces.open_packs(usable, jobs, surfaces.CHUNKS_PER_JOB):
            part = f"{sum(bool(action.chunks) for action in usable)} of {len(actions)} surfaces"
            submit(request.files, packs, profile.single_task(), machine, "chunks", part)
            return 1 if wrong else None
    elif worked:
        print(f"{request.files.name}: {count(usable)} of {len(request.surfaces)} surfaces to measure")
        packs = surfaces.open_packs(usable)
        shown, ready, mine = surfaces_shown(usable, packs), count(usable, "keep"), pool(machine, request.chunks)
        if not execute(request.files, packs, mine, machine, shown, ready, "surfaces", "measured"):
            return 130
    return max(_show(request, worked), int(bool(wrong)))


def _show(request: SurfaceRequest, worked: bool) -> int:
    """Print a line for each surface and the path of the table; returns the exit code."""
    actions = request.plan()
    for action in actions:
        if action.verb == "keep":
            for task in (action.files, *action.files.chunks()):
                tidy(task)  # what killed processes left
            line, doubts = surfaces.summary(action, request.runs[action.surface.run])
            print_lines([line])
            for warning in doubts:
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
