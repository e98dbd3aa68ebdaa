"""Settings of glibc's allocator, and what a training step on a CPU gains from them.

    python benchmarks/allocator.py [--depth 20] [--threads 1] [--rounds 25]

Processes of one program that differ in GLIBC_TUNABLES take turns. Prints the median ratio of times over rounds, and the page
faults per step. Linux only.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

KEEP = "glibc.malloc.trim_threshold=1000000000000:glibc.malloc.mmap_threshold=1000000000000"
WAYS = {
    "as it is": {},
    "large pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "keep what is freed": {"GLIBC_TUNABLES": KEEP},
    "keep it, in large pages": {"GLIBC_TUNABLES": f"{KEEP}:glibc.malloc.hugetlb=1"},
}

STEPS = """
import resource, sys, time, torch
sys.path.insert(0, sys.argv[1])
depth, threads = map(int, sys.argv[2:])
torch.set_num_threads(threads)
from harness import Case, bare, noise
from study.training.feeds.images import Images
train = bare(Case("", [("residual", depth)], "fp32").specs(), Images(noise(1000), torch.device("cpu")))
train(3)
for line in sys.stdin:
    faults, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    train(int(line))
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults, flush=True)
"""


class Loop:
    """A process that takes steps when it is told to, and stands still otherwise."""

    def __init__(self, environment: dict[str, str], arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STEPS, str(Path(__file__).parent), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.seconds: list[float] = []
        self.faults = 0.0
        self.turn(1)
        self.seconds.clear()

    def turn(self, steps: int) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds, faults = self.process.stdout.readline().split()
        self.process.send_signal(signal.SIGSTOP)
        self.seconds.append(float(seconds) / steps)
        self.faults = int(faults) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    arguments = [str(options.depth), str(options.threads)]
    loops = {name: Loop(plain | extra, arguments) for name, extra in WAYS.items()}
    try:
        for _ in range(options.rounds):
            for loop in loops.values():
                loop.turn(2)
    finally:
        for loop in loops.values():
            loop.process.kill()
    base = loops["as it is"].seconds
    for name, loop in loops.items():
        ratio = statistics.median(a / b for a, b in zip(base, loop.seconds, strict=True))
        rate = 128 / statistics.median(loop.seconds)
        print(f"{name:<28} {rate:4.0f} images/s, {loop.faults:6.0f} page faults a step, {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
