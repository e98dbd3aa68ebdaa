"""Response time of commands that train nothing.

    python benchmarks/command_line.py

Prints the median of several calls, in seconds, with the start-up time of Python, which each includes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALLS = 7
THOUSAND = """
fixed: {data: cifar10, recipe: he2015_cifar}
grid: {network: [plain, residual], depth: [20, 32, 44, 56, 110], seed: [%s]}
"""


def median_seconds(folder: Path, *words: str) -> float:
    """Wall time of `python WORDS`, after one call to warm the file cache."""
    seconds = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "thousand.yaml").write_text(THOUSAND % ", ".join(map(str, range(100))))
        study = ("-m", "study")
        tiny = ("sweep", "quickstart.yaml", "depth=8", "seed=0", "recipe.iterations=10", "recipe.schedule.at=[5]")
        subprocess.run([sys.executable, *study, *tiny], cwd=folder, check=True, capture_output=True)
        for what, words in {
            "python starts": ("-c", "pass"),
            "import study.config.sweep": ("-c", "import study.config.sweep"),
            "import pydantic, yaml": ("-c", "import pydantic, yaml; pydantic.BaseModel"),
            "study --help": (*study, "--help"),
            "1,000 runs --dry-run": (*study, "sweep", "thousand.yaml", "--dry-run"),
            "nothing left to do": (*study, *tiny),
            "study status": (*study, "status", "quickstart"),
        }.items():
            print(f"{what:<26} {median_seconds(folder, *words):6.2f} s", flush=True)


if __name__ == "__main__":
    main()
