"""How fast this machine's CPU trains, compared with its limits and with a textbook loop. Needs no data.

python benchmarks/bench.py [--threads N] [--quick]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from study.launch.attempt.provenance import ALLOCATOR

if not ALLOCATOR.items() <= os.environ.items():  # malloc reads them at the start of a process
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})

import torch
from ceilings import Ceilings
from harness import Measurement, bench

from study.launch.attempt.provenance import cpu_model, usable_cores
from study.training.precision import bf16_gain

HEAD = (
    f"{'':<12} {'lanes':>5} {'precision':>9} {'':<9}{'images/s':>9} {'x textbook':>10} {'of floor':>9} {'over bare':>9}"
)
WHAT = """
textbook   benchmarks/textbook.py, in fp32 whatever the row's precision
workers    as a sweep trains: a network on each core, one thread each; the images of all
bare       one network on all cores, as the rest: forward, backward and SGD on one batch
step       with samples and augmentation
run        with curves, progress and checkpoints, as in a sweep
of floor   the time that arithmetic or memory alone would take, at the ceilings above, over the time taken
"""


def report(quick: bool) -> Iterator[str]:
    """Run the benchmark; yields the lines to print."""
    yield f"{cpu_model()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    with tempfile.TemporaryDirectory() as scratch:
        for item in bench(Path(scratch), quick):
            if isinstance(item, Ceilings):
                yield from _ceilings(item)
                yield HEAD
            else:
                yield _line(item)
    yield WHAT


def _ceilings(ceilings: Ceilings) -> Iterator[str]:
    products = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in ceilings.flops.items())
    yield f"matrix product: {products} GFLOP/s; copy: {ceilings.copy / 1e9:,.0f} GB/s; launch: {ceilings.launch * 1e6:.1f} us"
    yield f"a convolution in bf16 is {bf16_gain():.2f} times as fast as in fp32"


def _line(m: Measurement) -> str:
    ratio = "" if m.ratio_to_textbook is None else f"{m.ratio_to_textbook:.2f}"
    return (
        f"{m.networks:<12} {m.lanes:>5} {m.precision:>9} {m.measure:<9}{m.images_per_second:>9,.0f} {ratio:>10} "
        f"{m.share_of_floor:>9.0%} {m.over_bare:>+9.1%}"
    )


def main() -> None:
    """Parse the command line, and print as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores(), help="[default: all cores]")
    parser.add_argument("--quick", action="store_true", help="ResNet-20 alone, a few rounds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for line in report(options.quick):
        print(line, flush=True)


if __name__ == "__main__":
    main()
