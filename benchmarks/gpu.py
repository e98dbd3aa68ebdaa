"""Checks and measures the engine on a GPU.

    python benchmarks/gpu.py [--out FOLDER]

First correctness: the samples and losses of the CPU's eager float32 reference, eager steps against recorded ones, lanes
alone against lanes in a pack with one that diverges, a run that is stopped and resumed. Then the goals:
ResNet-20 against the textbook loop (10x), figure 6's ten networks as a pack against one after another in graphs (1.5x),
the time of all ten at 64,000 iterations (12 minutes on an H100), memory against its estimate. Then the choices in
`study.training.engine.Tuning`. About 8 minutes on an H100. Parts are independent: a failure is reported, the others
continue, and the exit status is 1. `--device cpu` tries the program itself, at a tiny size and without graphs.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import math
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ceilings import measure
from harness import FIGURE_6, noise
from loops import TEXTBOOK, textbook

from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.sweep import Value, resolve
from study.networks.shape import needed
from study.store import runs as store
from study.store.layout import RunFiles
from study.store.tables import read_table
from study.training.engine import Engine, engine
from study.training.feeds.images import Images
from study.training.lane import Lane
from study.training.pack import train_pack
from study.training.precision import backends
from study.training.session import Progress, Session, Tuning

ITERATIONS = 64_000
PATIENCE = 400
"""Seconds after which a part is taken to hang: where it does is printed, and the program ends."""


def spec(network: str = "residual", depth: int = 20, precision: str = "bf16", **fields: Any) -> RunSpec:
    """A run of He et al. 2015's recipe, without a warm-up by error, that is not evaluated on the way, BN over the whole batch."""
    fields = {"recipe.evaluate_every": ITERATIONS, "recipe.log_every": 400, "recipe.bn_groups": 1} | {
        name.replace("__", "."): value for name, value in fields.items()
    }
    named = {"network": network, "depth": depth, "precision": precision, "data": "cifar10", "seed": 0}
    return resolve({k: Value(v, "gpu.py") for k, v in {**named, "recipe": "he2015_cifar", **fields}.items()})


class Bench:
    """The device, the data on it, and what was found."""

    def __init__(self, device: torch.device, out: Path) -> None:
        self.device, self.out, self.tiny = device, out, device.type == "cpu"
        self.data = noise(1000 if self.tiny else 50_000)
        self.images = Images(self.data, device)
        self.found: dict[str, Any] = {"device": "cpu", "torch": torch.__version__}
        if not self.tiny:
            self.found |= {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        self.failed = False
        self.spec = partial(spec, recipe__batch_size=16) if self.tiny else spec

    def part(self, name: str, work: Callable[[], Any]) -> None:
        """Do one part, print what it found, and keep it at once."""
        began = time.perf_counter()
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            self.found[name] = work()
        except Exception as error:
            self.failed = True
            traceback.print_exc()
            self.found[name] = f"FAILED: {type(error).__name__}: {error}"
        faulthandler.cancel_dump_traceback_later()
        print(f"{name}: {json.dumps(self.found[name])}  [{time.perf_counter() - began:.0f} s]", flush=True)
        (self.out / "gpu.json").write_text(json.dumps(self.found, indent=1) + "\n")
        if not self.tiny:
            torch.cuda.empty_cache()

    # -- helpers ------------------------------------------------------------------------------------------------------

    def lanes(self, specs: list[RunSpec], tuning: Tuning, images: Images | None = None) -> tuple[list[Lane], Engine]:
        """Lanes that write nothing, and an engine for them."""
        lanes = [
            Lane(s, None, images or self.images)  # type: ignore[arg-type]
            for s in specs
        ]
        return lanes, engine([lane.program for lane in lanes], tuning)

    def advance(self, lanes: list[Lane], runner: Engine, steps: int) -> None:
        """Take steps without a point of a curve, as a pack does."""
        while steps:
            now = min(steps, runner.stride, *(lane.prepare() for lane in lanes))
            runner.steps(now)
            for lane in lanes:
                lane.iteration += now
            steps -= now

    def wait(self) -> None:
        if not self.tiny:
            torch.cuda.synchronize(self.device)

    def step_seconds(self, specs: list[RunSpec], tuning: Tuning, seconds: float = 3.0) -> dict[str, float]:
        """Time of a step of these networks side by side, and of getting there (recording, compiling)."""
        with backends({specs[0].precision}, self.device, tuning.deterministic):
            began = time.perf_counter()
            lanes, runner = self.lanes(specs, tuning)
            # One more than whole strides, so that the graph of a single step is recorded too.
            self.advance(lanes, runner, 2 if self.tiny else 2 * runner.stride + 1)
            self.wait()
            prepared = time.perf_counter() - began
            steps, taken, began = 2 if self.tiny else 64, 0, time.perf_counter()
            while taken == 0 or time.perf_counter() - began < (0.0 if self.tiny else seconds):
                self.advance(lanes, runner, steps)
                self.wait()
                taken += steps
            return {"step_ms": 1e3 * (time.perf_counter() - began) / taken, "prepare_s": prepared}

    def evaluation_seconds(self, specs: list[RunSpec]) -> float:
        """Time of an evaluation of all of them on all training and test images, as every 1,000 steps of the recipe."""
        with backends({specs[0].precision}, self.device, deterministic=True):
            lanes, runner = self.lanes(specs, Tuning())
            programs = [lane.program for lane in lanes]
            for _ in range(2):  # the first records
                began = time.perf_counter()
                for source in ("train", "test"):
                    runner.evaluate(programs, source, lambda: False)
                self.wait()
        return time.perf_counter() - began

    def losses(self, specs: list[RunSpec], device: torch.device, steps: int, tuning: Tuning) -> list[list[float]]:
        """The loss of each step of each network, side by side."""
        images = self.images if device == self.device else Images(self.data, device)
        with backends({specs[0].precision}, device, tuning.deterministic):
            lanes, runner = self.lanes(specs, tuning, images)
            found = []
            for _ in range(steps):
                for lane in lanes:
                    lane.prepare()
                    lane.program.loss.zero_()
                runner.steps(1)
                for lane in lanes:
                    lane.iteration += 1
                found.append([float(lane.program.loss) for lane in lanes])
        return found

    # -- correctness --------------------------------------------------------------------------------------------------

    def reference(self) -> Any:
        """Samples bit for bit, and losses over 50 steps, of the CPU's eager float32 steps."""
        small = self.spec(precision="fp32", recipe__learning_rate=0.01)
        cpu, steps = torch.device("cpu"), 3 if self.tiny else 50
        batches = []
        for images in (Images(self.data, cpu), self.images):
            lanes, _ = self.lanes([small], Tuning(), images)
            lanes[0].prepare()
            batches.append(images.batch(lanes[0].program.draws(), 4)[0].cpu())
        assert torch.equal(*batches), "the samples differ from the CPU's"
        theirs = self.losses([small], cpu, steps, Tuning())
        # The first steps tell a wrong step from a right one; after that small differences grow, whoever makes them.
        found, wrong = {}, []
        for precision, first, rest in (("fp32", 1e-4, 0.1), ("tf32", 5e-3, 0.1), ("bf16", 3e-2, 0.2)):
            ours = self.losses([replace_precision(small, precision)], self.device, steps, Tuning())
            early, late = far_apart(ours[:3], theirs[:3]), far_apart(ours, theirs)
            found[precision] = {"first 3 steps": early, "all steps": late}
            if not (early < first and late < rest):
                wrong.append(precision)
        assert not wrong, f"losses are off: {found}"
        return found

    def recorded(self) -> Any:
        """Recorded steps against eager ones on this device: largest relative difference over 50 steps."""
        found = {}
        for precision in ("fp32", "tf32", "bf16"):
            for depth in (20,) if self.tiny else (20, 56):
                pair = [self.spec(n, depth, precision, recipe__learning_rate=0.01) for n in ("plain", "residual")]
                steps = 2 if self.tiny else 50
                eager = self.losses(pair, self.device, steps, Tuning(graphs=False))
                played = self.losses(pair, self.device, steps, Tuning(steps_per_graph=1))
                off = far_apart(played, eager)
                assert off < 1e-2, f"{precision}, depth {depth}: recorded steps are off by {off:.2g}"
                found[f"{precision}-{depth}"] = off
        return found

    def packed(self) -> Any:
        """Curves of lanes alone and in a pack with one that diverges, and of one that is stopped and goes on: equal."""
        short = {"recipe__iterations": 12 if self.tiny else 200, "recipe__schedule__at": [5], "recipe__log_every": 10}
        short |= {"recipe__evaluate_every": 100, "recipe__batch_size": 16 if self.tiny else 128}
        specs = [
            self.spec("plain", 20, **short),
            self.spec("residual", 20, **short),
            self.spec("residual", 32, **short),
        ]
        wild = self.spec("plain", 20, **short, recipe__learning_rate=1e30)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            alone = [self.curve(folder / "alone", [s])[0] for s in specs]
            *packed, diverged = self.curve(folder / "pack", [*specs, wild])
            [again] = self.curve(folder / "again", specs[1:2], stop_at=7 if self.tiny else 130)
        assert packed == alone, "a lane's numbers in a pack are not its numbers alone"
        assert again == alone[1], "a run that was stopped has another curve"
        assert "nan" in diverged[-1] or "inf" in diverged[-1], "the lane that should diverge did not"
        return "equal bit for bit"

    def curve(self, results: Path, specs: list[RunSpec], stop_at: int | None = None) -> list[list[str]]:
        """The curves of runs trained side by side; they are stopped once, if told so, and go on."""
        runs = []
        for each in specs:
            files = RunFiles(results / run_id(each))
            store.write_spec(files, each)
            runs.append((each, files))
        taken = [0]

        def stopped() -> bool:
            return stop_at is not None and taken[0] >= stop_at

        def report(progress: Progress) -> None:
            taken[0] = progress.iteration

        if stop_at is not None:
            train_pack(runs, self.data, Session(device=self.device, stopped=stopped, report=report))
        train_pack(runs, self.data, Session(device=self.device))
        rows = [read_table(files.curves).to_pylist() for _, files in runs]
        return [[repr([row[k] for k in ("iteration", "split", "loss", "error")]) for row in part] for part in rows]

    # -- what must be reached -----------------------------------------------------------------------------------------

    def against_textbook(self) -> Any:
        """ResNet-20 and 56 in graphs against the textbook loop: steps a second, as ratios."""
        found = {}
        for depth in (20,) if self.tiny else (20, 56):
            with textbook(TEXTBOOK, depth, str(self.device)) as loop:
                steps = 2 if self.tiny else 300
                theirs = 1e3 * loop.train(steps) / steps
            found[f"textbook-{depth}"] = {"step_ms": theirs}
            for precision in ("fp32", "bf16") if self.tiny else ("fp32", "tf32", "bf16"):
                ours = self.step_seconds([self.spec("residual", depth, precision)], Tuning())
                found[f"{precision}-{depth}"] = ours | {"ratio": theirs / ours["step_ms"]}
        return found

    def figure_6(self) -> Any:
        """The ten networks of figure 6 as one pack, and one after another in graphs; minutes for 64,000 iterations."""
        specs = [self.spec(network, depth) for network, depth in (FIGURE_6[-2:] if self.tiny else FIGURE_6)]
        alone = {s.title: self.step_seconds([s], Tuning(), 1.0)["step_ms"] for s in specs}
        pack = self.step_seconds(specs, Tuning(), 10.0)
        evaluation = self.evaluation_seconds(specs)
        in_fp32 = [replace_precision(s, "fp32") for s in specs]
        serial = sum(alone.values())
        ceilings = measure(self.device)
        return {
            "alone_ms": alone,
            "serial_ms": serial,
            "pack_ms": pack["step_ms"],
            "record_s": pack["prepare_s"],
            "ratio": serial / pack["step_ms"],
            "evaluation_s": evaluation,
            "minutes_for_64k": (ITERATIONS * pack["step_ms"] / 1000 + ITERATIONS / 1000 * evaluation) / 60,
            "pack_ms_fp32": self.step_seconds(in_fp32, Tuning(), 5.0)["step_ms"],
            "floor_minutes": ITERATIONS * ceilings.floor(specs) / 60,
            "ceilings": asdict(ceilings),
        }

    def packs_of_all_sizes(self) -> Any:
        """How many ResNet-20 or 56 side by side it takes to fill the device: milliseconds a step and network."""
        found = {}
        for depth in (20,) if self.tiny else (20, 56):
            for lanes in (1, 2) if self.tiny else (1, 2, 4, 8, 16):
                specs = [self.spec("residual", depth, seed=i) for i in range(lanes)]
                found[f"{lanes} x ResNet-{depth}"] = self.step_seconds(specs, Tuning(), 1.0)["step_ms"] / lanes
        return found

    def memory(self) -> Any:
        """Bytes that a pack took at its peak over the estimate that packs are made by."""
        found = {}
        for precision in ("fp32", "bf16"):
            specs = [self.spec(network, 56, precision) for network in ("plain", "residual")]
            if self.tiny:
                return {s.title: needed(s) for s in specs}
            torch.cuda.empty_cache()
            before = torch.cuda.memory_reserved(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self.step_seconds(specs, Tuning(), 0.1)
            self.evaluation_seconds(specs)
            taken = torch.cuda.max_memory_reserved(self.device) - before
            found[precision] = {"taken": taken, "estimate": sum(map(needed, specs))}
            found[precision]["ratio"] = taken / found[precision]["estimate"]
        return found

    # -- choices ------------------------------------------------------------------------------------------------------

    def tuning(self) -> Any:
        """Each choice of `Tuning` against the default, for ResNet-20 alone and four networks as a pack."""
        choices = {"default": Tuning(), "any order of sums": Tuning(deterministic=False)}
        choices |= {f"{n} steps a graph": Tuning(steps_per_graph=n) for n in ((1,) if self.tiny else (1, 2, 8, 16))}
        choices["eager"] = Tuning(graphs=False)
        found: dict[str, Any] = {}
        for name, choice in choices.items():
            try:
                found[name] = {"ResNet-20": self.step_seconds([self.spec()], choice, 2.0)}
                if not self.tiny:
                    four = [self.spec(network, depth) for network in ("plain", "residual") for depth in (20, 56)]
                    found[name]["plain and ResNet, 20 and 56"] = self.step_seconds(four, choice, 2.0)
            except Exception as error:  # the other choices are still worth knowing
                self.failed = True
                found[name] = f"FAILED: {type(error).__name__}: {error}"
            print(f"  {name}: {found[name]}", flush=True)
        return found


def far_apart(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """Largest relative difference of losses; infinite where one is not finite."""
    pairs = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    if not all(math.isfinite(a) and math.isfinite(b) for a, b in pairs):
        return math.inf
    return max(abs(a - b) / b for a, b in pairs)


def replace_precision(run: RunSpec, precision: str) -> RunSpec:
    return run.model_copy(update={"precision": precision})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("results") / "gpu")
    parser.add_argument("--only", nargs="*", help="names of parts")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        sys.exit("gpu.py: torch finds no GPU here; --device cpu tries the program itself")
    logging.basicConfig(level=logging.WARNING)
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu" if options.device == "cpu" else "cuda:0")
    bench = Bench(device, options.out)
    parts = [
        "reference",
        "recorded",
        "packed",
        "against_textbook",
        "figure_6",
        "packs_of_all_sizes",
        "memory",
        "tuning",
    ]
    for name in options.only or parts:
        bench.part(name, getattr(bench, name))
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()
