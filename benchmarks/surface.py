"""How fast surfaces are measured, compared with the obvious way, and whether the losses agree.

    python benchmarks/surface.py
    python benchmarks/surface.py --run results/SWEEP/runs/RUN --data-root data

The obvious way sets the weights of a point with `load_state_dict`, then loops over a DataLoader with 2 workers over images as
torchvision's CIFAR-10 holds and transforms them, in eager float32, on all cores. `study` is as many workers as there are
cores, of one thread each, as `study surface` has them. With `--many`, `vmapped` is eager, four points at once on one core.
`gpu.py` measures surfaces on a GPU.

Contenders are processes that take turns of one or a few points. Prints the median over rounds of each rate in images per second
and point, its ratio to the obvious way, and the difference of the losses. Without `--run`, the
network is untrained, with the BN statistics of its images, which are noise of CIFAR-10's shape.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from textbook import Cifar
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader
from torchvision import transforms

from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.surface import Surface
from study.config.sweep import one
from study.data.images import ImageSet, image_set
from study.launch.attempt.provenance import ALLOCATOR
from study.launch.attempt.runs import load_data
from study.measure.probes.batch_norm import recalibrate
from study.measure.surface.directions import random
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.flat import Flat
from study.measure.surface.plane import Plane
from study.networks.network import build, structure
from study.store import runs as store
from study.store.layout import RunFiles
from study.training.feeds.images import Images
from study.training.precision import backends
from study.training.start import final

TOGETHER = 4
"""Points that the vmapped contender evaluates at once."""


class Case:
    """A network, a plane around it, and images."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device, self.count = torch.device(options.device), options.images
        self.spec, self.data, state = _trained(options) if options.run else _made(options)
        self.feed = Images(self.data, self.device, self.spec.recipe.mean)
        network = structure(self.spec, self.feed.channels, self.feed.classes)
        network.load_state_dict(state, strict=False)
        self.network = network.to(self.device).eval()
        if not options.run:
            recalibrate(
                self.network, [self.feed.at("train", torch.arange(min(256, self.count), device=self.device))[0]]
            )
        self.flat = Flat(self.network)
        centre = self.flat.pack(self.network.state_dict()).cpu()
        self.plane = Plane(centre, random(self.flat, centre, 0, 2, "filter"), ((-1.0, 1.0),) * 2, "", 1)

    def state(self, point: tuple[float, float]) -> dict[str, Tensor]:
        """The network's state at a point."""
        vector = self.plane.centre + torch.tensor(point) @ self.plane.directions
        return dict(self.flat.parts(vector))


def _made(options: argparse.Namespace) -> tuple[RunSpec, ImageSet, dict[str, Tensor]]:
    words = [f"network={options.network}", f"depth={options.depth}"]
    spec = one(words, {"data": "cifar10", "recipe": "he2015_cifar", "seed": 0})
    draws = np.random.RandomState(0)
    images = draws.randint(0, 256, (options.images, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(options.images, dtype=np.int64) % 10
    data = image_set("noise", (images, labels), (images[:100], labels[:100]), tuple("0123456789"))
    return spec, data, build(spec, 3, 10).state_dict()


def _trained(options: argparse.Namespace) -> tuple[RunSpec, ImageSet, dict[str, Tensor]]:
    files = RunFiles(options.run)
    spec = store.read_spec(files)
    assert run_id(spec) == files.run_id
    data = load_data(spec, options.data_root)
    assert isinstance(data, ImageSet)
    return spec, data, final(files)["network"]


# -- contenders: each yields, for every point that it is sent, the loss there ---------------------------------------------


def obvious(case: Case, precision: str) -> Iterator[Any]:
    """Set the weights, loop over a DataLoader of images as torchvision's CIFAR-10 holds them."""
    count = min(case.count, len(case.feed))
    mean = case.feed.mean.cpu().permute(2, 0, 1) / 255
    transform = transforms.Compose([transforms.ToTensor(), lambda image: image - mean])
    data = Cifar(case.data.train_images[:count], case.data.train_labels[:count], transform)
    loader = DataLoader(data, batch_size=128, num_workers=2)
    point, losses = (yield), None
    while True:
        case.network.load_state_dict(case.state(point), strict=False)
        total = 0.0
        with torch.no_grad():
            for batch, labels in loader:
                logits = case.network(batch.to(case.device))
                total += float(F.cross_entropy(logits, labels.to(case.device), reduction="sum"))
        losses = total / count
        point = yield losses


def ours(case: Case, precision: str, graph: bool = True) -> Iterator[Any]:
    """The evaluator of `study surface`."""
    count = min(case.count, len(case.feed))
    fields = {"run": run_id(case.spec), "data": "train", "precision": precision}
    surface = Surface.model_validate(fields if count == len(case.feed) else fields | {"subset": count})
    evaluator = Evaluator(surface, case.spec, case.plane, case.feed)
    evaluator.recording = evaluator.recording and graph
    point = yield
    while True:
        point = yield evaluator.at(point)["train"].loss


def vmapped(case: Case, precision: str) -> Iterator[Any]:
    """Several points at once: convolutions of theirs become one grouped convolution each."""
    count = min(case.count, len(case.feed))

    def logits(state: dict[str, Tensor], images: Tensor) -> Tensor:
        out: Tensor = functional_call(case.network, state, (images,))
        return out

    many = vmap(logits, in_dims=(0, None))
    point = yield
    while True:
        points = [tuple(c * (1 - 0.01 * i) for c in point) for i in range(TOGETHER)]
        states = [case.state(place) for place in points]
        stacked = {name: torch.stack([state[name] for state in states]).to(case.device) for name in states[0]}
        total = torch.zeros(TOGETHER, dtype=torch.float64, device=case.device)
        with torch.no_grad():
            for start in range(0, count, 64):
                numbers = torch.arange(start, min(count, start + 64), device=case.device)
                images, labels = case.feed.at("train", numbers)
                found = many(stacked, images)
                total += torch.stack([F.cross_entropy(one_, labels, reduction="sum") for one_ in found]).double()
        point = yield float(total[0]) / count


CONTENDERS = {"obvious": obvious, "study": ours, "vmapped": vmapped}


def serve(options: argparse.Namespace) -> None:
    """Measure each point that comes in, and say how long it took."""
    torch.set_num_threads(options.threads)
    case = Case(options)
    with backends({options.precision}, case.device, deterministic=True):
        contender = CONTENDERS[options.serve](case, options.precision)
        next(contender)
        contender.send((0.0, 0.0))
        print("ready", flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            loss = contender.send(tuple(json.loads(line)))
            print(json.dumps({"seconds": time.perf_counter() - began, "loss": loss}), flush=True)


# -- the rounds -------------------------------------------------------------------------------------------------------------


class Server:
    """A contender: one process, or as many as there are cores, side by side."""

    def __init__(self, options: argparse.Namespace, name: str, precision: str, copies: int, threads: int) -> None:
        self.name, self.points = f"{name} {precision}", copies * (TOGETHER if name == "vmapped" else 1)
        words = [sys.executable, __file__, *sys.argv[1:], "--serve", name, "--precision", precision]
        words += ["--threads", str(threads)]
        environment = {**ALLOCATOR, **os.environ, "OMP_NUM_THREADS": str(threads)}
        self.processes = [
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(copies)
        ]
        for process in self.processes:
            assert process.stdout is not None and process.stdout.readline().strip() == "ready"

    def turn(self, point: tuple[float, float]) -> tuple[float, float]:
        """Points a second, and the loss of this one."""
        began = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(point) + "\n")
            process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for process in self.processes if process.stdout is not None]
        return self.points / (time.perf_counter() - began), float(answers[0]["loss"])

    def close(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def compare(options: argparse.Namespace) -> None:
    """Let all contenders measure the same points, in turns."""
    cores = os.cpu_count() or 1
    lineup = [("obvious", "fp32", 1, cores), ("study", "fp32", cores, 1), ("study", "bf16", cores, 1)]
    if options.many:
        lineup.append(("vmapped", "fp32", 1, 1))
    servers = [Server(options, *entry) for entry in lineup]
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    worst: dict[str, float] = dict.fromkeys(rates, 0.0)
    for number in range(options.rounds):
        point = (0.02 * number, -0.01 * number)
        expected = 0.0
        for server in servers:
            rate, loss = server.turn(point)
            rates[server.name].append(rate)
            expected = loss if server is servers[0] else expected
            worst[server.name] = max(worst[server.name], abs(loss - expected) / max(1.0, abs(expected)))
        time.sleep(0.2)
    for server in servers:
        server.close()
    base = rates[servers[0].name]
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, base, strict=True))
        speed = statistics.median(found) * options.images
        hours = 51 * 51 * 50_000 / speed / 3600
        print(f"  {name:<14} {speed:10,.0f} images/s {ratio:6.2f} x   loss off by {worst[name]:.1e}", end="")
        print(f"   51 x 51 points of 50,000: {hours:.1f} h", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="residual", choices=["plain", "residual"])
    parser.add_argument("--depth", type=int)
    parser.add_argument("--run", type=Path, help="a trained run's folder, instead of an untrained network")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.set_defaults(device="cpu")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--many", action="store_true", help="several points at once, too")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="fp32", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    for depth in [options.depth] if options.depth or options.run else (20, 56):
        if depth is not None:
            sys.argv += ["--depth", str(depth)]
            print(f"{options.network} {depth}, {options.images:,} images", flush=True)
        compare(options)


if __name__ == "__main__":
    main()
