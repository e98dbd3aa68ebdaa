"""What a device can do at most: arithmetic, copying, launches. What a training is measured against."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from study.config.registry import BLOCKS
from study.config.run import RunSpec
from study.networks.shape import layers, macs

SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows of the square matrices whose product is timed."""
COPIED = {"cpu": 8 << 20, "cuda": 1 << 30}
"""Bytes of a timed copy: on a CPU as many as a layer's maps have, which its caches may hold."""


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


def traffic(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Bytes that a training step reads and writes, when each of its operations does so once.

    With I and O the elements before and after a convolution: forward, the convolution I + O, BN's statistics O, its
    normalisation 2 O, ReLU 2 O; backward, the convolution 2 (I + O), ReLU 3 O, BN's sums 2 O and its gradient 3 O. An
    addition has 3 O forward, and 3 O backward where the gradients meet.
    """
    itemsize = 2 if spec.precision == "bf16" else 4
    elements, before = 0, channels * size**2
    for layer in layers(spec, channels, classes, size):
        if layer.name.startswith("head"):
            continue
        output = layer.out_maps * layer.size**2
        elements += 3 * before + 16 * output
        if spec.network == "residual" and layer.name.endswith(f".conv{len(BLOCKS[spec.block.name].kernels)}"):
            elements += 6 * output
        before = output
    return elements * spec.recipe.batch_size * itemsize


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
