"""How well `study sweep --dry-run` foretells the time that a sweep then takes.

    python benchmarks/forecast.py [FIELD=VALUE]...

For quickstart.yaml, and for a small sweep on CIFAR-10 (or other data: `data=fashion_mnist`), it asks for the forecast from
a measurement, runs the sweep from start to figures, and asks for the forecast from these runs. The goal is a ratio from
0.75 to 1.25. Other load on the machine must not change meanwhile.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL = [
    "depth=20,56",
    "seed=0",
    "recipe.batch_size=64",
    "recipe.iterations=150",
    "recipe.schedule.at=[90,130]",
    "recipe.evaluate_every=75",
    "train_subset=2000",
]
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def study(folder: str, *words: str) -> str:
    """What a command prints; it shares the data folder of this process."""
    data = str(Path(os.environ.get("STUDY_DATA", "data")).absolute())
    environment = {**os.environ, "STUDY_EXECUTOR": "local", "STUDY_DATA": data}
    command = [sys.executable, "-m", "study", *words]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def foretold(folder: str, *words: str) -> float:
    """Seconds that a dry run foretells."""
    told = " ".join(study(folder, *words, "--dry-run").split())
    found = re.search(r"time: about ([0-9.]+) (\w+)", told)
    assert found, told
    return float(found[1]) * SECONDS[found[2]]


def main() -> None:
    for sweep in (["quickstart.yaml"], ["fig6.yaml", *SMALL, *sys.argv[1:]]):
        with tempfile.TemporaryDirectory() as folder:
            measured = foretold(folder, "sweep", *sweep, "--measure")
            load, began = os.getloadavg()[0], time.perf_counter()
            study(folder, "sweep", *sweep)
            took = time.perf_counter() - began
            earlier = foretold(folder, "sweep", *sweep, "--mode", "force")
        print(f"{sweep[0]}: took {took:.0f} s at a load of {load:.1f} before and {os.getloadavg()[0]:.1f} after")
        print(f"  foretold by a measurement {measured:.0f} s, {measured / took:.2f} of it", flush=True)
        print(f"  foretold by these runs    {earlier:.0f} s, {earlier / took:.2f} of it", flush=True)


if __name__ == "__main__":
    main()
