"""Limits of a device: arithmetic, copying, kernel launches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from study.config.run import RunSpec
from study.networks.memory import traffic
from study.networks.shape import macs

SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows of the square matrices whose product is timed."""
COPIED = {"cpu": 8 << 20, "cuda": 1 << 30}
"""Bytes of a timed copy; on a CPU those of a layer's maps, which may fit its caches."""


@dataclass(frozen=True)
class Ceilings:
    """What a device reached at best, of a few tries."""

    flops: dict[str, float]
    """Of a matrix product in each precision, per second."""
    copy: float
    """Bytes read and written by a copy, per second."""
    launch: float
    """Seconds from one small operation to the next; on a GPU within a graph."""

    def floor(self, specs: list[RunSpec]) -> float:
        """Seconds that a step of these networks side by side takes at least: arithmetic or memory, whichever is more.

        The arithmetic is that of three products (forward, and backward to data and weights); the bytes are those of
        separate operations, each reading and writing the memory once.
        """
        arithmetic = sum(6 * macs(spec) * spec.recipe.batch_size / self.flops[spec.precision] for spec in specs)
        return max(arithmetic, sum(traffic(spec) for spec in specs) / self.copy)


def measure(device: torch.device) -> Ceilings:
    """Measure a device's ceilings; takes a few seconds."""
    precisions = {"fp32": torch.float32, "bf16": torch.bfloat16}
    flops = {name: _product(device, dtype) for name, dtype in precisions.items()}
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        flops["tf32"] = _product(device, torch.float32)
        torch.set_float32_matmul_precision("highest")
    else:
        flops["tf32"] = flops["fp32"]
    return Ceilings(flops, _copy(device), _launch(device))


def _product(device: torch.device, dtype: torch.dtype) -> float:
    side = SIDE[device.type]
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / _best(lambda: a @ a, device)


def _copy(device: torch.device) -> float:
    source = torch.zeros(COPIED[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED[device.type] / _best(lambda: target.copy_(source), device, tries=20)


def _launch(device: torch.device) -> float:
    x = torch.zeros(1, device=device)
    count = 1000

    def many() -> None:
        for _ in range(count):
            x.add_(1)

    if device.type == "cpu":
        return _best(many, device) / count
    many()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        many()
    return _best(graph.replay, device) / count


def _best(work: Callable[[], object], device: torch.device, tries: int = 5) -> float:
    """The least seconds that the work took, after one try to warm up."""
    seconds = [_seconds(work, device) for _ in range(tries + 1)]
    return min(seconds[1:])


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
