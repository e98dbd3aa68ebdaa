"""Cost of each probe, in training steps.

    python benchmarks/probes.py
    python benchmarks/probes.py --rounds 5 --images 1024
    python benchmarks/probes.py --rounds 1 --images 128 --probes hessian

On ResNet-20 and plain-56, on noise of CIFAR-10's shape, with one thread. In each round every probe measures once, right after the
training steps it is compared with, so that other load slows both. Prints medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from study.config.identity import run_id
from study.config.registry import PROBES
from study.config.sweep import Value, resolve
from study.data.images import image_set
from study.launch.attempt.provenance import ALLOCATOR
from study.measure.probes import Subject, measure
from study.store.layout import RunFiles
from study.training.feeds.images import Images
from study.training.lane import Lane

NETWORKS = [("residual", 20), ("plain", 56)]
STEPS = 3

USUAL = [name for name, entry in PROBES.items() if entry.usual]
"""Without those that take minutes."""


def noise(count: int = 10_000) -> Images:
    """Images of CIFAR-10's shape."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(count, dtype=np.int64) % 10
    part = slice(0, 1024)
    data = image_set("noise", (images, labels), (images[part], labels[part]), tuple("0123456789"))
    return Images(data, torch.device("cpu"))


def step_seconds(lane: Lane) -> float:
    """Seconds of a step of training, as the mean of a few."""
    began = time.perf_counter()
    for _ in range(STEPS):
        lane.prepare()
        lane.program.step()
        lane.iteration += 1
    return (time.perf_counter() - began) / STEPS


def compare(network: str, depth: int, probes: list[str], images: Images, count: int, rounds: int, folder: Path) -> None:
    """Print a line for each probe of one network."""
    fields = {"network": network, "depth": depth, "data": "cifar10", "recipe": "he2015_cifar", "seed": 0}
    spec = resolve({key: Value(value, "benchmark") for key, value in fields.items()})
    lane = Lane(spec, RunFiles(folder / run_id(spec)), images)
    step_seconds(lane)
    seconds: dict[str, list[float]] = {name: [] for name in probes}
    ratios: dict[str, list[float]] = {name: [] for name in probes}
    steps: list[float] = []
    for _ in range(rounds):
        for name in probes:
            steps.append(step_seconds(lane))
            subject = Subject.of(spec, lane.program.state()["network"], images, count)
            [taken] = measure([name], subject)
            seconds[name].append(taken.seconds)
            ratios[name].append(taken.seconds / steps[-1])
    print(f"{spec.title}: a step of {spec.recipe.batch_size} images takes {statistics.median(steps):.2f} s")
    for name in probes:
        cost, ratio = statistics.median(seconds[name]), statistics.median(ratios[name])
        print(f"  {name:<12} {cost:7.2f} s {ratio:7.2f} steps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--probes", default=",".join(USUAL), help="names, with commas between them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = noise()
    with tempfile.TemporaryDirectory() as folder:
        for network, depth in NETWORKS:
            compare(network, depth, options.probes.split(","), images, options.images, options.rounds, Path(folder))


if __name__ == "__main__":
    if not ALLOCATOR.items() <= os.environ.items():  # malloc as in a process that trains; it reads this but once
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main()
