"""Submit tasks to a cluster or run them here: for `study sweep` and `study surface`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from study.cli.options import again

if TYPE_CHECKING:
    from study.launch.local.pool import Pool
    from study.launch.local.terminal import Shown
    from study.launch.machine import Machine
    from study.launch.slurm.profile import Profile
    from study.store.layout import SweepFiles


def print_plan(rows: Sequence[dict[str, str]]) -> None:
    """Print what would be done about each run or surface, its reason last."""
    from study.launch.columns import room, table

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
    packs: Sequence[list[Path]],
    pool: Pool,
    machine: Machine,
    shown: Iterable[Shown],
    ready: int,
    noun: str,
    verb: str,
) -> bool:
    """Run packs of tasks on this machine, with progress bars; False when interrupted."""
    from rich.console import Console

    from study.launch.local.terminal import Terminal
    from study.launch.local.train import train, train_here

    with Terminal(shown, ready, Console(), noun, verb) as view:
        run = train_here if machine.executor == "debug" else train
        complete = run(packs, pool, machine, view)
    if not complete:
        print(f"interrupted; nothing is lost; rerun to continue:\n  {again()}", file=sys.stderr)
    return complete
