"""How many workers train on this machine, on which devices, with how many threads."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

from study.errors import StudyError
from study.launch.attempt.provenance import output, usable_cores
from study.launch.machine import Machine

RUNS_PER_GPU = 16
"""Runs trained side by side on a GPU, if they fit into its memory."""


@dataclass(frozen=True)
class Pool:
    """The workers of a machine."""

    devices: tuple[str, ...]
    """One for each worker: `cpu`, `mps`, or `cuda:0`, `cuda:1`, ..."""
    threads: int

    @property
    def pack_size(self) -> int:
        """Runs in a pack; on a CPU a single run fills its worker's cores."""
        return RUNS_PER_GPU if self.devices[0].startswith("cuda") else 1


def pool(machine: Machine, tasks: int) -> Pool:
    """The workers for a sweep of this many runs or chunks: by default one per GPU, or one per core.

    The number of threads depends on the size of the whole sweep, not on what is left, so that a resumed sweep adds its
    sums in the same order as an uninterrupted one. Raises StudyError if a GPU is requested and none is visible.
    """
    if machine.device == "mps":
        if platform.system() != "Darwin":
            raise StudyError("--device mps: Apple's GPUs need macOS; leave it out to use this machine's GPU or CPU")
        return Pool(("mps",) * (machine.workers or 1), machine.threads or 1)
    gpus = 0 if machine.device == "cpu" else _visible_gpus()
    if machine.device == "cuda" and not gpus:
        raise StudyError("--device cuda: no GPU is visible here (see `study doctor`); leave it out to use the CPU")
    cores = usable_cores()
    count = machine.workers or gpus or cores
    threads = machine.threads or max(1, cores // min(count, max(1, tasks)))
    return Pool(tuple(f"cuda:{i % gpus}" if gpus else "cpu" for i in range(count)), threads)


def _visible_gpus() -> int:
    """GPUs that a worker could use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([item for item in visible.split(",") if item.strip() and item.strip() != "-1"])
    return sum(line.startswith("GPU ") for line in (output("nvidia-smi", "-L") or "").splitlines())
