"""Overhead of a sweep of small runs over its bare steps, core utilisation, and memory.

    python benchmarks/sweep_on_cpu.py

Eight runs of digits are trained by `study sweep` on all cores, from start to end: start of Python and torch, data,
curves, evaluations, checkpoints, figures. Right before and after it, as many single-threaded processes as there are cores
time the bare step (forward, backward and SGD on one batch) of each network at the same time. Linux only.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = ["network=plain,residual", "depth=20", "seed=0,1,2,3"]
RECIPE = {"iterations": 1500, "schedule.at": "[900,1200]", "evaluate_every": 500, "log_every": 50, "batch_size": 128}
BARE = """
import sys, time, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from harness import bare
from study.config.sweep import Value, resolve
from study.data import load
from study.training.feeds.images import Images
from pathlib import Path
images = Images(load(name="digits", root=Path("data")), torch.device("cpu"))
fields = {"data": "digits", "recipe": "quick", "recipe.batch_size": 128, "depth": 20, "seed": 0}
trains = []
for network in ("plain", "residual"):
    spec = resolve({k: Value(v, "bench") for k, v in {**fields, "network": network}.items()})
    trains.append(bare([spec], images))
for train in trains:
    train(20)
sys.stdin.readline()
began = time.perf_counter()
for train in trains:
    train(150)
print((time.perf_counter() - began) / 300, flush=True)
"""


def bare_step(environment: dict[str, str]) -> float:
    """Seconds of a bare step, mean over the two networks and over processes that keep all cores busy."""
    cores = len(os.sched_getaffinity(0))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(cores)
    ]
    time.sleep(15)  # all have warmed up
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in processes) / cores


def main() -> None:
    from study.launch.allocator import ALLOCATOR

    environment = {**os.environ, **ALLOCATOR, "STUDY_EXECUTOR": "local", "OMP_NUM_THREADS": "1"}
    cores = len(os.sched_getaffinity(0))
    before = bare_step(environment)
    with tempfile.TemporaryDirectory() as folder:
        overrides = RUNS + [f"recipe.{name}={value}" for name, value in RECIPE.items()]
        command = [sys.executable, "-m", "study", "sweep", "quickstart.yaml", *overrides]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
        wall = time.perf_counter() - began
        after_use = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs = Path(folder).glob("results/*/runs/*/done.json")
        training = sum(json.loads(path.read_text())["seconds"] for path in runs)
    after = bare_step(environment)
    cpu = after_use.ru_utime + after_use.ru_stime - used.ru_utime - used.ru_stime
    ideal = 8 * RECIPE["iterations"] * (before + after) / 2 / cores  # type: ignore[operator]
    print(f"bare step {1e3 * before:.1f} ms before, {1e3 * after:.1f} ms after, {cores} processes at once")
    print(f"8 runs of {RECIPE['iterations']} steps: {wall:.1f} s; summed bare steps over {cores} cores: {ideal:.1f} s")
    print(f"ratio {wall / ideal:.2f}; cores busy {cpu / wall / cores:.0%}; in training {training / wall / cores:.0%}")
    print(f"largest process: {after_use.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
