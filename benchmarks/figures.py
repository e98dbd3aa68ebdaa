"""Time of `study figure NAME SWEEP` from a cold start, for each figure and each sweep in the repository.

    python benchmarks/figures.py [--rounds 3] [--only fig6 gradients]

A figure should take less than 3 s, with PDF, PNG, SVG, caption and CSV. Figures that a sweep has no data for are skipped. Medians
over alternating rounds; `import` is `python -c "import matplotlib.figure, pandas"`, which every figure needs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from statistics import median

from study.config.registry import FIGURES

SWEEPS = ("quickstart", "probes_quick", "surfaces_quick", "cifar10-jpeg_small")


def seconds(command: list[str]) -> float | None:
    """Wall time; None if the command fails."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - start if done.returncode == 0 else None


def main() -> None:
    """Print a line a figure: the slowest sweep's median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(FIGURES))
    arguments = parser.parse_args()
    base = [sys.executable, "-c", "import matplotlib.figure, pandas"]
    with tempfile.TemporaryDirectory() as out:
        commands = {("import", ""): base} | {
            (name, sweep): [sys.executable, "-m", "study", "figure", name, sweep, "--out", out]
            for name in arguments.only
            for sweep in SWEEPS
        }
        taken: dict[tuple[str, str], list[float]] = {}
        for round_ in range(arguments.rounds):
            for key, command in commands.items():
                if round_ and key not in taken:
                    continue
                if (spent := seconds(command)) is not None:
                    taken.setdefault(key, []).append(spent)
    for name in ["import", *arguments.only]:
        found = {sweep: median(times) for (figure, sweep), times in taken.items() if figure == name}
        if found:
            slowest = max(found, key=lambda sweep: found[sweep])
            print(f"{name:<16} {found[slowest]:5.2f} s  {slowest}")


if __name__ == "__main__":
    main()
