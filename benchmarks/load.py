"""Time and memory of each verb on a sweep of 5,000 runs.

    python -m benchmarks.load [--runs 5000] [--only status]

The runs are synthetic. Each verb runs in its own process. Prints its wall time, CPU time and peak memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.many import make, measured, sweep_file
from study.launch.attempt.provenance import cpu_model

FIGURES = ("degradation", "depth_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000, help="a multiple of ten")
    parser.add_argument("--only", default="", help="measure only verbs that start with this")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, began = sweep_file(folder, told.runs), time.perf_counter()
        make(file, folder / "results")
        print(f"{told.runs} runs made in {time.perf_counter() - began:.0f} s; {os.cpu_count()} cores, {cpu_model()}")
        print(f"{'':<46} {'wall s':>7} {'CPU s':>7} {'MiB':>6}")
        verbs = Verbs(folder, told.only)
        verbs.call("sweep many.yaml --dry-run")
        verbs.call("status many")
        verbs.call("status many --json")
        verbs.call("collect many", "first")
        verbs.call("collect many", "nothing is new")
        make(file, folder / "results", unfinished=False)
        verbs.call("sweep many.yaml", "nothing is left to train")
        verbs.call("sweep many.yaml", "again")
        verbs.look("")
        verbs.call("report many")
        for path in (folder / "results" / "many").iterdir():
            if path.suffix != ".parquet":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        verbs.look("collected files alone")


class Verbs:
    """Calls of `study` in a folder, and what they cost."""

    def __init__(self, folder: Path, only: str) -> None:
        self.folder, self.only = folder, only

    def look(self, note: str) -> None:
        """The verbs that look at results."""
        for name in FIGURES:
            self.call(f"figure {name} many", note)
        self.call("table errors many", note)
        self.call("verdict many", note)

    def call(self, words: str, note: str = "") -> None:
        """One call, as a process of its own; its cost is printed, and why it failed if it did."""
        if not words.startswith(self.only):
            return
        wall, cpu, mebibytes, status = measured(words.split(), self.folder)
        title = f"{words} ({note})" if note else words
        print(f"{title:<46} {wall:7.2f} {cpu:7.2f} {mebibytes:6.0f}", flush=True)
        if status:
            print((self.folder / "out").read_text()[-2000:])


if __name__ == "__main__":
    main()
