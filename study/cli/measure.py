"""The verbs that measure trained networks. As in `study.cli.app`, heavy imports are inside the verbs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from study.cli.options import DataRoot, Results, Use, complete_sweep, print_lines, sweep_files, working
from study.config import Device


def probe(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN", autocompletion=complete_sweep)],
    probes: Annotated[
        str | None, typer.Option(help="comma-separated, see `study list probes` [default: all but costly ones]")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="number of training images [default: the run's]")] = None,
    device: Annotated[Device, typer.Option(help="auto: the GPU if there is one")] = "auto",
    *,
    use: Use = None,
    results: Results,
    data_root: DataRoot,
) -> None:
    """Measure networks on their newest checkpoints, into probes.parquet."""
    from study.launch import probe as afterwards
    from study.training.session import Session

    names = afterwards.chosen_probes(probes)
    session = Session(data_root, afterwards.chosen_device(device))
    failed = False
    with working("starting") as told:
        for line in afterwards.probe(sweep_files(what, results), names, images, session, told):
            print(line.text, file=sys.stderr if line.failed or line.loud else sys.stdout, flush=True)
            failed = failed or line.failed
    raise typer.Exit(1 if failed else 0)


def embed(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="ids of trained runs, or unique prefixes")],
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
