"""Synthetic attempts: sweeps that were interrupted, preempted, killed and went on, as `study.read_attempts` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .conftest import FIELDS, Frames

BEGAN = pd.Timestamp("2026-11-22T09:31:26.649", tz="UTC")
NETWORKS = [(network, depth) for network in ("plain", "residual") for depth in (20, 32, 44, 56, 110)]


def run(network: str, depth: int, seed: int, state: str = "done", **fields: Any) -> dict[str, Any]:
    """A row of the runs frame."""
    own = {
        "network": network, "depth": depth, "seed": seed, "family": "cifar", "stem": "cifar",
        "shortcut": None if network == "plain" else "A", **FIELDS, "recipe_changes": "", **fields,
    }  # fmt: skip
    point = f"{network}-{depth}-{own['dataset']}"
    times = {"iteration": 64_000 if state == "done" else 100, "started": pd.NaT, "finished": pd.NaT}
    return own | {"point_id": point, "run_id": f"{point}-s{seed}", "state": state} | times


def attempt(
    of: dict[str, Any],
    number: int,
    start: float,
    end: float | None,
    outcome: str | None,
    why: str | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """A row of the attempts frame; times in seconds since the sweep began, `last_sign` likewise."""
    times = {"start": start, "end": end, "last_sign": facts.pop("last_sign", None)}
    stamps = {name: pd.NaT if t is None else BEGAN + pd.Timedelta(seconds=t) for name, t in times.items()}
    own = {"executor": "local", "host": "node1", "node": None, "job": None, "device": "cpu", "threads": 1, "pid": 1}
    return of | {"attempt": number, "outcome": outcome, "why": why} | stamps | own | facts


def frames(tries: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]]) -> Frames:
    """As the store gives them."""
    table = pd.DataFrame(tries)
    for name in ("start", "end", "last_sign"):
        table[name] = pd.to_datetime(table[name], utc=True)
    return table, pd.DataFrame(runs)


def eventful() -> Frames:
    """Seven runs, of which each met with something else; two hosts."""
    done, plain = run("plain", 20, 0), run("plain", 20, 1)
    killed, lost = run("plain", 56, 0), run("plain", 56, 1, "diverged")
    failed, going = run("residual", 20, 0, "failed"), run("residual", 56, 0, "running")
    never = run("residual", 56, 1, "pending")
    tries = [
        attempt(done, 1, 0, 600, "done"),
        attempt(plain, 1, 10, 300, "interrupted", "Ctrl-C"),
        attempt(plain, 2, 900, 1300, "done", host="node2"),
        attempt(killed, 1, 20, None, None, last_sign=200.0),
        attempt(killed, 2, 900, 1500, "interrupted", "preemption (SIGUSR2)", host="node2"),
        attempt(killed, 3, 1700, 2100, "done"),
        attempt(lost, 1, 600, 1000, "diverged"),
        attempt(failed, 1, 1100, 1200, "failed", "CUDA out of memory"),
        attempt(going, 1, 1500, None, "running", last_sign=2400.0, host="node2"),
    ]
    return frames(tries, [done, plain, killed, lost, failed, going, never])


def crowd(count: int, workers: int = 16, hosts: int = 3) -> Frames:
    """So many runs of ten networks on as many workers as are free; some diverge, fail or are preempted."""
    rng = np.random.default_rng(0)
    free, runs, tries = np.zeros(workers), [], []
    for number in range(count):
        network, depth = NETWORKS[number % len(NETWORKS)]
        fate = rng.random()
        state = "diverged" if fate < 0.03 else "failed" if fate < 0.05 else "done"
        runs.append(run(network, depth, number // len(NETWORKS), state))
        for at, outcome in enumerate((["interrupted"] if rng.random() < 0.1 else []) + [state], 1):
            worker = int(np.argmin(free))
            long = depth * 8 * rng.uniform(0.8, 1.2) * (0.4 if outcome != "done" else 1)
            start = free[worker]
            why = {"interrupted": "preemption (SIGUSR2)", "failed": "CUDA out of memory"}.get(outcome)
            node = f"gpu{worker % hosts:02d}"
            more = {"node": node, "host": node, "device": "NVIDIA H100 80GB HBM3", "executor": "slurm"}
            tries.append(attempt(runs[-1], at, start, start + long, outcome, why, **more))
            free[worker] = start + long + 5 + (3600 if rng.random() < 0.002 else 0)
    return frames(tries, runs)
