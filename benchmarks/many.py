"""A sweep of many runs in all states, as training would leave it on disk; and the cost of a verb on it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from study.config.run import RunSpec
from study.config.sweep import Sweep, load
from study.launch.attempt.provenance import describe
from study.store import lease
from study.store import runs as store
from study.store.files import digest, write_bytes
from study.store.layout import RunFiles, SweepFiles
from study.store.sweeps import write_sweep
from study.store.tables import CURVES, to_bytes

FILE = """\
name: many
description: five networks, plain and residual
fixed:
  data: cifar10
  recipe: {{name: he2015_cifar, evaluate_every: {evaluate_every}, log_every: {log_every}}}
grid: {{network: [plain, residual], depth: [20, 32, 44, 56, 110], seed: [{seeds}]}}
figures: [degradation, depth_error]
"""
ROWS = 208
"""Of a run's curve where nothing else is asked for."""
MEASURE = """
import json, os, sys, time
began, out, process = time.perf_counter(), os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.fork()
if not process:
    os.dup2(out, 1), os.dup2(out, 2)
    os.execv(sys.executable, [sys.executable, "-m", "study", *sys.argv[1:]])
_, status, used = os.wait4(process, 0)
print(json.dumps([time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, status]))
"""
"""A small process between: a child's peak of memory begins with its parent's."""
UNFINISHED = ("failed", "interrupted", "running", "pending")
"""The states of the last seeds of each network; all others are done, except one that has diverged."""


def sweep_file(folder: Path, runs: int, rows: int = ROWS) -> Path:
    """A sweep file that names so many runs (a multiple of ten), each with a curve of about so many rows."""
    file = folder / "many.yaml"
    every = 64000 * 18 // (5 * rows)  # of 18 points 5 are of each evaluated split, and 8 running ones
    seeds = ", ".join(map(str, range(runs // 10)))
    file.write_text(FILE.format(evaluate_every=every, log_every=every * 10 // 16, seeds=seeds))
    return file


def make(file: Path, results: Path, unfinished: bool = True) -> SweepFiles:
    """Put the runs of a sweep file on disk, as if they had been trained; without `unfinished` all are sealed."""
    sweep = load(file)
    files = SweepFiles(results, sweep.name)
    with _without_fsync():
        write_sweep(files, sweep)
        for name, state in _states(sweep, unfinished).items():
            run = files.run(name)
            if state != "pending" and not run.done.exists():
                _leave(run, sweep.runs[name], state)
    return files


def _states(sweep: Sweep, unfinished: bool) -> dict[str, str]:
    last = max(spec.seed for spec in sweep.runs.values())
    late = {last - place: state for place, state in enumerate(UNFINISHED if unfinished else ())}
    states = {name: late.get(spec.seed, "done") for name, spec in sweep.runs.items()}
    first = next(iter(states))
    return states | {first: "diverged"}


def _leave(run: RunFiles, spec: RunSpec, state: str) -> None:
    """A run's files as an attempt leaves them that ends, or is, in this state."""
    through = state in ("done", "diverged")
    whole = spec.recipe.iterations
    reached = whole if through else whole // 2
    store.write_spec(run, spec)
    store.start_attempt(run, describe("cpu", "local", 1))
    content = to_bytes(curve(run.run_id, spec, reached))
    write_bytes(run.curves, content)
    weights = f"{run.run_id} at {reached}".encode()
    write_bytes(run.checkpoint(reached, digest(weights)), weights)
    if state == "running":
        held = lease.claim(run)
        assert held is not None
        held.beat(iteration=reached, error=20.0, images_per_second=1000.0, seconds_left=3600.0)
        return
    if state == "failed":
        store.write_failed(run, "out of memory", "Traceback ...")
    if through:
        outcome = "finished" if state == "done" else state
        sealed = {run.curves.name: digest(content)}
        store.write_done(run, sealed, outcome=outcome, iteration=reached, error=9.5, seconds=7200.0)
        lease.tidy(run)
    store.end_attempt(run, state, reached)


def curve(name: str, spec: RunSpec, until: int) -> pa.Table:
    """A curve that falls as those of such networks do: plain ones less, the deeper they are."""
    recipe, random = spec.recipe, np.random.RandomState(spec.seed)
    final = 8 - spec.depth / 50 if spec.network == "residual" else 7 + spec.depth / 20
    evaluated = np.arange(recipe.evaluate_every, until + 1, recipe.evaluate_every)
    logged = np.arange(recipe.log_every, until + 1, recipe.log_every)
    parts = [
        ("train", logged, final + 3),
        ("train_clean", evaluated, final),
        ("test", evaluated, final + 4),
    ]
    error = [
        level + 60 * np.exp(-at / 6000) + np.where(at < recipe.schedule.at[0], 5, 0) + random.normal(0, 0.4, len(at))
        for _, at, level in parts
    ]
    iteration, percent = np.concatenate([at for _, at, _ in parts]), np.concatenate(error).clip(0, 100)
    return pa.table(
        {
            "run_id": [name] * len(iteration),
            "iteration": iteration,
            "epoch": iteration * recipe.batch_size / 50000,
            "split": [split for split, at, _ in parts for _ in at],
            "loss": percent / 30,
            "error": percent,
            "lr": recipe.learning_rate * recipe.schedule.gamma ** np.searchsorted(recipe.schedule.at, iteration),
            "seconds": iteration * 0.1,
        },
        schema=CURVES.schema,
    )


@contextmanager
def _without_fsync() -> Iterator[None]:
    """Nobody minds if these files do not outlive a power cut."""
    with patch("os.fsync"):
        yield


def measured(words: list[str], folder: Path) -> tuple[float, float, float, int]:
    """`study WORDS` in a folder: wall seconds, CPU seconds, the most MiB that it held, wait status; it prints into `out`."""
    call = [sys.executable, "-c", MEASURE, *words]
    told = subprocess.run(call, cwd=folder, text=True, capture_output=True, check=True).stdout
    wall, cpu, mebibytes, status = json.loads(told)
    return wall, cpu, mebibytes, status
