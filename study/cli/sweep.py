"""The verb `study sweep`; `study.cli.train` does its work. As in `study.cli.app`, heavy imports are inside."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import (
    DataRoot,
    DeviceName,
    DryRun,
    ExecutorName,
    ProfileFile,
    Results,
    Threads,
    Use,
    Workers,
    at_home,
    finite,
)
from study.config import Mode
from study.errors import StudyError


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
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="e.g. seed=0,1 recipe.iterations=1000")
    ] = None,
    dry_run: DryRun = False,
    timed: Annotated[
        bool, typer.Option("--measure", help="with --dry-run: time networks that were never trained here")
    ] = False,
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
    max_hours: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            min=0,
            max=100_000,
            callback=finite,
            help="checkpoint and stop after HOURS; rerun to continue",
        ),
    ] = None,
    stop_at_chance: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            callback=finite,
            help="end runs at chance after SHARE of their iterations, e.g. 0.2",
        ),
    ] = None,
    seeds_first: Annotated[
        bool, typer.Option("--seeds-first", help="train each network's first seed before any second one")
    ] = False,
    *,
    use: Use = None,
    results: Results,
    data_root: DataRoot,
    figures: Annotated[Path, typer.Option("--figures", callback=at_home, help="figures folder")] = Path("figures"),
) -> None:
    """Train the unfinished runs of a sweep file.

    Then print the final errors and the verdict, and draw the figures. Stop with Ctrl-C at any time; rerun to continue.
    """
    began = time.monotonic()
    if timed and not dry_run:
        raise StudyError("--measure goes with --dry-run: it times the networks, and trains none of them")
    from study.cli.train import dry, run
    from study.config.ready import find_sweep_file
    from study.config.sweep import load
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.sweep import plan_sweep

    planned = plan_sweep(load(find_sweep_file(file), overrides or ()), results, mode, seeds_first, stop_at_chance)
    patience = math.inf if watchdog is None else 60 * watchdog
    deadline = math.inf if max_hours is None else began + 3600 * max_hours
    machine = Machine(
        data_root, executor, device, workers, threads, checkpoint_seconds, patience, deadline, stop_at_chance
    )
    if dry_run:
        dry(planned, machine, load_profile(profile), timed)
        raise typer.Exit
    code = run(planned, machine, load_profile(profile), mode, figures)
    raise typer.Exit(1 if code == 130 and machine.over else code)
