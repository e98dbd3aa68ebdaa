"""The verbs that measure trained networks. As in `study.cli.app`, heavy imports are inside the verbs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli.options import DataRoot, Results, Use, WhatIfAny, again, at_home, print_lines, sweep_files, working
from study.config import Device
from study.errors import StudyError
from study.store.layout import SweepFiles

ModelName = Annotated[
    str | None, typer.Option(metavar="FILE.py:NAME", help="measure what this makes: a network trained elsewhere")
]
Weights = Annotated[Path | None, typer.Option(callback=at_home, metavar="FILE", help="for --model: its state dict")]
JoinedSweep = Annotated[str | None, typer.Option(metavar="SWEEP", help="for --model: the sweep that it joins")]
Means = Annotated[str | None, typer.Option(metavar="R,G,B", help="for --model: as in torchvision's Normalize")]
Deviations = Annotated[str | None, typer.Option(metavar="R,G,B", help="for --model: as in torchvision's Normalize")]


def probe(
    what: WhatIfAny = None,
    probes: Annotated[
        str | None, typer.Option(help="comma-separated, see `study list probes` [default: all but costly ones]")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="number of training images [default: the run's]")] = None,
    device: Annotated[Device, typer.Option(help="auto: the GPU if there is one")] = "auto",
    model: ModelName = None,
    weights: Weights = None,
    data: Annotated[str | None, typer.Option(help="with --model: a data set, as in a sweep file")] = None,
    name: JoinedSweep = None,
    mean: Means = None,
    std: Deviations = None,
    *,
    use: Use = None,
    results: Results,
    data_root: DataRoot,
) -> None:
    """Measure networks on their newest checkpoints.

    Or, with --model, a network that was trained elsewhere. The results are added to probes.parquet.
    """
    from study.launch import probe as afterwards
    from study.training.session import Session

    names = afterwards.chosen_probes(probes)
    given = {"model": model, "weights": weights, "data": data, "name": name, "mean": mean, "std": std}
    files = chosen(what, given, results, data_root, device)
    session = Session(data_root, afterwards.chosen_device(device))
    failed = False
    with working("starting") as told:
        for line in afterwards.probe(files, names, images, session, told):
            print(line.text, file=sys.stderr if line.failed or line.loud else sys.stdout, flush=True)
            failed = failed or line.failed
    raise typer.Exit(1 if failed else 0)


def chosen(what: str | None, given: Mapping[str, Any], results: Path, data_root: Path, device: Device) -> SweepFiles:
    """The sweep or run to measure: `what`, or the network of `--model`, which becomes a run first."""
    said = {name: value for name, value in given.items() if value is not None}
    lacking = [f"--{name}" for name in ("model", "weights", "data", "name") if name not in said]
    if said and lacking:
        raise StudyError(f"a network trained elsewhere needs {' and '.join(lacking)} too")
    if bool(said) is (what is not None):
        raise StudyError("name a sweep or a run, or else a network by --model")
    if what is not None:
        return sweep_files(what, results)
    from study.launch.elsewhere import add, record
    from study.launch.probe import chosen_device
    from study.training.session import Session

    files = SweepFiles(results, said["name"])
    with working("importing the network") as told:
        session, normalised = Session(data_root, chosen_device(device)), (said.get("mean", "0"), said.get("std", "1"))
        run, line = add(files, said["model"], said["weights"], said["data"], normalised, session, told)
        record(run, files, again())
    print_lines([line])
    return SweepFiles(results, run.run_id)


def embed(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="ids of trained runs, or unique prefixes")],
    depth: Annotated[int | None, typer.Option(help="depth of the new network [default: the same, folded]")] = None,
    device: Annotated[Device, typer.Option(help="auto: the GPU if there is one")] = "auto",
    *,
    use: Use = None,
    results: Results,
    data_root: DataRoot,
) -> None:
    """Turn a trained network into a deeper one that computes the same.

    It adds identity layers and checks the errors. This is the solution by construction of He et al. 2015, section 1, which
    shows that a deeper network need not train worse. Without --depth each layer becomes one ordinary convolution: BN is folded,
    and so is what stands beside or in it with block: repvgg and convolution: dirac.
    """
    from study.launch.embed import embed as stretch
    from study.launch.probe import chosen_device
    from study.training.session import Session

    session = Session(data_root, chosen_device(device))
    with working("starting") as told:
        for run in runs:
            told(f"{run}: checking")
            print_lines(stretch(run, depth, results, session))
