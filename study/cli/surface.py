"""The verb `study surface`; `study.cli.execute` does its work. As in `study.cli.app`, heavy imports are inside."""

from __future__ import annotations

import re
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
    complete_sweep,
    sweep_files,
)
from study.config import BatchNorm, Mode, Plane, Precision, Split
from study.errors import StudyError


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
    use: Use = None,
    results: Results,
    data_root: DataRoot,
) -> None:
    """Measure the loss over planes of weights around trained networks.

    Without settings: the surfaces of the sweep's file, or a random plane of 51 x 51 points per run. Stop with Ctrl-C at any
    time; rerun to continue. `surfaces` in a sweep file has more settings (docs/surfaces.md).
    """
    from study.cli.execute import measure
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.slurm.submissions import adopt_orphans
    from study.launch.surface import request
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
    asked = request(sweep_files(what, results), settings, to or ())
    machine = Machine(data_root, choose_executor(executor), device, workers, threads)
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
