"""The verb `study surface`; `study.cli.execute` does its work. As in `study.cli.app`, heavy imports are inside."""

from __future__ import annotations

import re
from typing import Annotated, get_args

import typer

from study.cli.measure import Deviations, JoinedSweep, Means, ModelName, Weights, chosen
from study.cli.options import (
    DataRoot,
    DeviceName,
    DryRun,
    ExecutorName,
    ProfileFile,
    Results,
    Threads,
    Use,
    WhatIfAny,
    Workers,
)
from study.config import BatchNorm, Mode, Plane, Precision, Split
from study.errors import StudyError


def surface(
    what: WhatIfAny = None,
    plane: Annotated[Plane | None, typer.Option(help="what spans the plane [default: random]")] = None,
    points: Annotated[str | None, typer.Option(help="points per axis: 51, or 51x31 [default: 51]")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="1 for -1 to 1; 0:2; or one per axis: -1:1,0:2")] = None,
    line: Annotated[bool, typer.Option("--line", help="measure a line instead of a plane")] = False,
    planes: Annotated[int | None, typer.Option(min=1, help="number of random planes [default: 1]")] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="for interpolate: another run, or seed=1; twice for a plane")
    ] = None,
    centred: Annotated[
        bool | None, typer.Option("--centred", help="for pca: centre on the snapshots' mean, as in Li et al.'s code")
    ] = None,
    trajectory: Annotated[
        bool | None,
        typer.Option("--trajectory", help="project the training snapshots onto the plane; always on for pca"),
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="train, test or both [default: both]; for --model also a data set")
    ] = None,
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
    model: ModelName = None,
    weights: Weights = None,
    name: JoinedSweep = None,
    mean: Means = None,
    std: Deviations = None,
    *,
    use: Use = None,
    results: Results,
    data_root: DataRoot,
) -> None:
    """Measure the loss over planes of weights around networks.

    Around those of a sweep or, with --model, around one that was trained elsewhere. Without settings: the surfaces of the
    sweep's file, or a random plane of 51 x 51 points per run. Stop with Ctrl-C at any time; rerun to continue. `surfaces` in a
    sweep file has more settings (docs/surfaces.md).
    """
    from study.cli.execute import measure
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.slurm.submissions import adopt_orphans
    from study.launch.surface import checked, request
    from study.launch.sweep import choose_executor

    values = {
        "plane": plane,
        "points": points and _points(points),
        "range": range_ and _ranges(range_),
        "dims": 1 if line else None,
        "planes": planes,
        "centred": centred,
        "trajectory": trajectory,
        "data": next((split for split in data or () if split in get_args(Split)), None),
        "subset": subset,
        "bn": bn,
        "precision": precision,
        "orthogonal": orthogonal,
        "curvature": curvature,
    }
    settings = {key: value for key, value in values.items() if value is not None}
    sets = [name for name in data or () if name not in get_args(Split)]
    if len(sets) > (model is not None):
        raise StudyError(f"--data {sets[-1]}: must be train, test or both; with --model one data set as well")
    if model is not None:  # before it is evaluated
        checked(settings, ["run"] * len(to or ()))
        if dry_run:
            raise StudyError("--dry-run: is of runs, and the network of --model becomes one first")
    given = {"model": model, "weights": weights, "data": next(iter(sets), None), "name": name, "mean": mean, "std": std}
    asked = request(chosen(what, given, results, data_root, device), settings, to or ())
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
