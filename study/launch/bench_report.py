"""What `study bench` prints and keeps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from study.errors import StudyError
from study.launch.bench import bench
from study.launch.local import visible_gpus
from study.launch.provenance import cpu_model, usable_cores
from study.store.layout import bench_file
from study.store.measurements import Measurement, write_measurements
from study.training.ceilings import Ceilings
from study.training.precision import bf16_gain

HEAD = (
    f"{'':<12} {'lanes':>5} {'precision':>9} {'':<9}{'images/s':>9} {'x textbook':>10} {'of floor':>9} {'over bare':>9}"
)
WHAT = """
textbook   benchmarks/textbook.py, in fp32 whatever the row's precision
workers    as a sweep trains on a CPU: a network on each core, one thread each; the images of all
bare       one network on all cores, as the rest: forward, backward and SGD on one batch
step       with samples and augmentation
run        with curves, progress and checkpoints, as in a sweep
of floor   the time that arithmetic or memory alone would take, at the ceilings above, over the time taken
"""


def report(results: Path, device: str, threads: int | None, quick: bool) -> Iterator[str]:
    """Run the benchmark; yields the lines to print, and writes `bench.parquet` into the results folder at the end.

    Raises
    ------
    StudyError
        A GPU is asked for, and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError("--device cuda: torch finds no GPU here (see `study doctor`); leave it out to measure the CPU")
    target = torch.device("cuda" if device != "cpu" and visible_gpus() and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads or usable_cores())
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else cpu_model()
    machine: dict[str, str | int | float] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    measurements = []
    yield f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    with tempfile.TemporaryDirectory() as scratch:
        for item in bench(target, Path(scratch), quick):
            if isinstance(item, Ceilings):
                machine |= {f"{p}_flops": rate for p, rate in item.flops.items()}
                machine |= {"copy_bytes_per_second": item.copy, "launch_seconds": item.launch}
                yield from _ceilings(item, target)
                yield HEAD
            else:
                measurements.append(item)
                yield _line(item)
    path = bench_file(results)
    write_measurements(path, measurements, machine)
    yield WHAT
    yield str(path)


def _ceilings(ceilings: Ceilings, device: torch.device) -> Iterator[str]:
    products = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in ceilings.flops.items())
    yield f"matrix product: {products} GFLOP/s; copy: {ceilings.copy / 1e9:,.0f} GB/s; launch: {ceilings.launch * 1e6:.1f} us"
    if device.type == "cpu":
        yield f"a convolution in bf16 is {bf16_gain():.2f} times as fast as in fp32"


def _line(m: Measurement) -> str:
    ratio = "" if m.ratio_to_textbook is None else f"{m.ratio_to_textbook:.2f}"
    return (
        f"{m.networks:<12} {m.lanes:>5} {m.precision:>9} {m.measure:<9}{m.images_per_second:>9,.0f} {ratio:>10} "
        f"{m.share_of_floor:>9.0%} {m.over_bare:>+9.1%}"
    )
