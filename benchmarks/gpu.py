"""Checks and measures the engine on one H200 or H100, in sittings of a few minutes that go on where the last one ended.

    python benchmarks/gpu.py [--budget SECONDS] [--out FOLDER] [--data-root FOLDER]

The parts (`gpu_parts.py`) stand in the order of their worth. Each runs in a process of its own, so that one that fails, hangs or
crashes leaves the others alone. What is finished lies in FOLDER/gpu.json and is skipped; FOLDER/gpu.md is a table of it, with a
line for each choice of the engine's defaults. Parts that failed or were interrupted come again after the others.

Images are noise of CIFAR-10's shape, or with `--data-root` the image folder `cifar10-jpeg` there. `--device cpu --tiny` tries
the program itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_parts import PARTS, Bench, Part
from textbook import end_with_parent

from study.errors import StudyError
from study.store.files import read_json, write_bytes, write_json

BEGAN = time.perf_counter()
STARTING = 15
"""Seconds in which a part's process imports torch and finds the GPU; part of what is expected of each."""
PATIENCE = 4
"""How many times as long as expected a part may take."""


class Sitting:
    """What is finished, and what is to be done in the time left."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.file = options, options.out / "gpu.json"
        options.out.mkdir(parents=True, exist_ok=True)
        gpu = options.device == "cuda"
        machine = {"device": torch.cuda.get_device_name() if gpu else "cpu", "torch": torch.__version__}
        machine |= {"images": "cifar10-jpeg" if options.data_root else "noise", "tiny": options.tiny}
        self.found = read_json(self.file) or {"machine": machine, "parts": {}}
        self.parts: dict[str, Any] = self.found["parts"]
        if self.found["machine"] != machine:
            raise StudyError(f"{self.file} is of {self.found['machine']}, and this is {machine}; choose another --out")

    def left(self) -> float:
        """Seconds left of the budget."""
        return float(self.options.budget) - (time.perf_counter() - BEGAN)

    def plan(self) -> list[Part]:
        """Print what is done and what is to come; return what fits into the time left, the most worthwhile first."""
        todo = [p for p in PARTS if self.parts.get(p.name, {}).get("state") != "done"]
        todo.sort(key=lambda part: part.name in self.parts)
        now, seconds = [], 0.0
        for part in todo:
            if seconds + self.expected(part) <= self.left():
                seconds += self.expected(part)
                now.append(part)
        print(f"{title(self.found)}; {self.left():.0f} s to go")
        for part in PARTS:
            state = "now" if part in now else "later" if part in todo else "done"
            print(f"  {state:<6} {part.name:<16} {self.expected(part):4.0f} s  {part.what}")
        print(f"{seconds:.0f} s expected for {len(now)} of {len(todo)} parts left; results: {self.file}", flush=True)
        if todo and not now:
            print(f"give at least --budget {min(map(self.expected, todo)) + STARTING:.0f}")
        return now

    def expected(self, part: Part) -> float:
        """Seconds that a part took, or should take with its process."""
        found = self.parts.get(part.name, {})
        return float(found["seconds"]) if found.get("state") == "done" else STARTING + part.seconds

    def take(self, part: Part) -> None:
        """Do a part and keep what it found."""
        began, patience = time.perf_counter(), min(PATIENCE * self.expected(part), self.left())
        self.parts[part.name] = {"state": "interrupted"}
        self.keep()
        with tempfile.TemporaryDirectory() as scratch:
            answer = Path(scratch) / "found.json"
            command = [sys.executable, *sys.argv, "--part", part.name, "--answer", str(answer)]
            process = subprocess.Popen(command, start_new_session=True)
            try:
                process.wait(patience)
                failed = f"its process ended with {process.returncode}; see above"
            except subprocess.TimeoutExpired:
                failed = f"took longer than {patience:.0f} s"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            found = json.loads(answer.read_text()) if answer.exists() else {"state": "failed", "error": failed}
        self.parts[part.name] = found | {"seconds": round(time.perf_counter() - began, 1)}
        self.keep()
        print(*said(part.name, found), sep="\n", flush=True)

    def keep(self) -> None:
        """Write the results as JSON and as a table."""
        write_json(self.file, self.found)
        write_bytes(self.file.with_suffix(".md"), ("\n".join(table(self.found)) + "\n").encode())


def title(found: dict[str, Any]) -> str:
    """On what it was measured."""
    machine = found["machine"]
    tiny = ", tiny: the numbers mean nothing" if machine["tiny"] else ""
    return f"{machine['device']}, torch {machine['torch']}, images: {machine['images']}{tiny}"


def said(name: str, found: dict[str, Any]) -> list[str]:
    """The lines that a part ends with."""
    lines: list[str] = found.get("lines", [f"{name}: {found['state']}: {found.get('error', 'not finished')}"])
    return lines


def table(found: dict[str, Any]) -> Iterator[str]:
    """The lines of a Markdown page: what follows, and all numbers."""
    yield f"{title(found)}\n"
    parts = [(part.name, found["parts"][part.name]) for part in PARTS if part.name in found["parts"]]
    for name, part in parts:
        yield from (f"- {line}" for line in said(name, part))
    yield "\n| part | measured | value |\n| --- | --- | ---: |"
    for name, part in parts:
        for measured, value in flat(part.get("numbers", {})):
            yield f"| {name} | {measured} | {value:.4g} |"


def flat(numbers: dict[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Nested numbers, each with the names that lead to it."""
    for name, value in numbers.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}, ")
        else:
            yield before + name, value


def clocks() -> str:
    """Clocks, temperature and power as nvidia-smi reads them; nothing is set."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = "--query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw,utilization.gpu"
    asked = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def answer(options: argparse.Namespace) -> int:
    """Do one part in this process, and write what it found."""
    end_with_parent()
    part = next(part for part in PARTS if part.name == options.part)
    try:
        bench = Bench(torch.device("cuda:0" if options.device == "cuda" else "cpu"), options.tiny, options.data_root)
        before = clocks()
        numbers, lines = part.work(bench)
        found = {"state": "done", "lines": lines, "numbers": numbers, "clocks": [before, clocks()]}
    except Exception as error:
        traceback.print_exc()
        found = {"state": "failed", "error": f"{type(error).__name__}: {error}".splitlines()[0]}
    write_bytes(options.answer, json.dumps(found).encode())
    return found["state"] != "done"


def main() -> int:
    """Take the parts that fit; 1 if one failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=840, help="seconds of this sitting [default: %(default)s]")
    parser.add_argument("--out", type=Path, default=Path("results") / "gpu", help="[default: %(default)s]")
    parser.add_argument("--data-root", type=Path, help="folder with cifar10-jpeg [default: noise]")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try the program")
    parser.add_argument("--tiny", action="store_true", help="a few steps of small networks")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return answer(options)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here; --device cpu --tiny tries the program itself")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sitting = Sitting(options)
        for part in sitting.plan():
            if sitting.expected(part) <= sitting.left():  # those before may have taken longer
                sitting.take(part)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except StudyError as error:
        parser.error(str(error))
    waiting = [p.name for p in PARTS if sitting.parts.get(p.name, {}).get("state") != "done"]
    print(f"left: {', '.join(waiting)}; the same command goes on" if waiting else "all parts are done")
    print(f"table: {sitting.file.with_suffix('.md')}")
    return int(any(found["state"] == "failed" for found in sitting.parts.values()))


if __name__ == "__main__":
    sys.exit(main())
