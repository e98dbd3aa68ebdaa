"""The verbs that measure trained networks. As in `study.cli.app`, heavy imports are inside the verbs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import DataRoot, Device, Results, at_home, complete_sweep, results_folder, sweep_files


def probe(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN", autocompletion=complete_sweep)],
    probes: Annotated[
        str | None, typer.Option(help="comma-separated, see `study list probes` [default: all not costly]")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="training images [default: as in the run's spec]")] = None,
    device: Annotated[Device, typer.Option(help="auto: the GPU where there is one")] = Device.auto,
    results: Results = None,
    data_root: DataRoot = None,
) -> None:
    """Measure the networks of a sweep, or of one run, on their newest checkpoints, into probes.parquet."""
    from rich.console import Console

    from study.data import default_root
    from study.launch import probe as afterwards

    asked = afterwards.order(probes, images, device.value, data_root or default_root())
    failed = False
    with Console(stderr=True).status("") as shown:
        for line in afterwards.probe(sweep_files(what, results), asked, shown.update):
            print(line.text, file=sys.stderr if line.failed or line.loud else sys.stdout, flush=True)
            failed = failed or line.failed
    raise typer.Exit(1 if failed else 0)


def embed(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="trained runs: ids, or enough of them")],
    depth: Annotated[int, typer.Option(help="layers of the network that they are stretched to")],
    sweep: Annotated[
        Path | None,
        typer.Option(callback=at_home, help="write a sweep file that trains on from the stretched networks"),
    ] = None,
    device: Annotated[Device, typer.Option(help="auto: the GPU where there is one")] = Device.auto,
    results: Results = None,
    data_root: DataRoot = None,
) -> None:
    """Stretch trained networks by exact identity layers, and show that the deeper ones compute the same.

    He et al. 2015, section 1: a deeper network need not train worse, since this solution exists.
    """
    from rich.console import Console

    from study.data import default_root
    from study.launch import embed as certify
    from study.launch.probe import chosen_device

    if sweep is not None:
        certify.check_new(sweep)
    specs = []
    with Console(stderr=True).status("") as shown:
        for run in runs:
            shown.update(f"{run}: comparing")
            where = (results_folder(results), data_root or default_root(), chosen_device(device.value))
            spec, certificate = certify.embed(run, depth, *where)
            specs.append(spec)
            print("\n".join(certify.lines(certificate)))
    if sweep is None:
        print("to train on from there, give --sweep FILE.yaml")
        return
    certify.sweep_file(sweep, specs)
    print(f"sweep file: {sweep}; train with `study sweep {shlex.quote(str(sweep))}`")
