"""Training loops in separate processes, for `bench.py`; they are stopped while it is not their turn.

    python benchmarks/loops.py --depth 20 --precision fp32

reads a number of steps from each line of input, runs them with one thread, and prints the seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from study.errors import StudyError
from study.launch.attempt.provenance import ALLOCATOR

TEXTBOOK = Path(__file__).with_name("textbook.py")


class Loops:
    """Processes that run steps at the same time in their turn, and are stopped, with their children, outside it.

    Parameters
    ----------
    commands
        One a process: each answers a line with a number of steps by a line with the seconds that they took.
    tuned
        Whether they have the environment of a worker.
    """

    def __init__(self, commands: Sequence[Sequence[str]], tuned: bool) -> None:
        plain = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
        self.processes = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env=plain | ALLOCATOR if tuned else plain,
            )
            for command in commands
        ]

    def __enter__(self) -> Loops:
        self.train(1)
        return self

    def train(self, steps: int) -> float:
        """Seconds that so many steps took in the slowest of the processes.

        Raises
        ------
        StudyError
            A process ended.
        """
        for process in self.processes:
            assert process.stdin is not None
            self._signal(process, signal.SIGCONT)
            with suppress(BrokenPipeError):
                process.stdin.write(f"{steps}\n")
                process.stdin.flush()
        seconds = []
        for process in self.processes:
            assert process.stdout is not None
            answer = process.stdout.readline()
            if not answer:
                raise StudyError(f"a training loop ended early; to see why: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]
            seconds.append(float(answer))
        for process in self.processes:
            self._signal(process, signal.SIGSTOP)
        return max(seconds)

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            self._signal(process, signal.SIGKILL)
            process.wait()

    @staticmethod
    def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def workers(depth: int, precision: str, count: int) -> Loops:
    """As many single-threaded processes as a sweep would have workers, each training a ResNet of its own."""
    command = [sys.executable, __file__, "--depth", str(depth), "--precision", precision]
    return Loops([command] * count, tuned=True)


def textbook(script: Path, depth: int, device: str) -> Loops:
    """The textbook loop, with as many threads as torch takes."""
    command = [sys.executable, "-W", "ignore", str(script), "--serve", "--depth", str(depth), "--device", device]
    return Loops([command], tuned=False)


def main() -> None:
    """Serve steps of a ResNet on the CPU."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--precision", required=True)
    options = parser.parse_args()
    if sys.platform == "linux":  # it may be standing still when its parent is killed
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    import torch
    from harness import Case, noise, timed_steps

    from study.training.feeds.images import Images

    torch.set_num_threads(1)
    case = Case("", [("residual", options.depth)], options.precision)
    train = timed_steps(case.specs(), Images(noise(), torch.device("cpu")))
    for line in sys.stdin:
        print(train(int(line)), flush=True)


if __name__ == "__main__":
    main()
