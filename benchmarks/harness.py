"""How fast a machine trains, compared with its limits: ways to train that take turns, for `bench.py` and `gpu.py`.

All ways to train alternate, a few steps at a time, so that other load slows them alike; ratios are medians over the rounds.
Images are noise, so no data set is needed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ceilings import Ceilings, measure
from loops import TEXTBOOK, textbook, workers

from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.sweep import Value, resolve
from study.data import ImageSet
from study.data.decode import slow_progress
from study.data.images import image_set
from study.launch.attempt.provenance import usable_cores
from study.launch.machine import CHECKPOINT_SECONDS
from study.store import runs as store
from study.store.layout import RunFiles
from study.training.engine import engine
from study.training.feeds.images import Images
from study.training.lane import Lane
from study.training.pack import advance, train_pack
from study.training.precision import backends
from study.training.program import Program
from study.training.session import CPU, Progress, Session, Tuning

FIGURE_6 = [(network, depth) for depth in (110, 56, 44, 32, 20) for network in ("plain", "residual")]
IMAGES = 10_000


@dataclass(frozen=True)
class Case:
    """Networks to train side by side, in one precision."""

    title: str
    networks: Sequence[tuple[str, int]]
    precision: str

    def specs(self) -> list[RunSpec]:
        """As runs of He et al. 2015's recipe that are never evaluated (that is the study's work, not its overhead), with BN over
        the whole batch, as the textbook loop has it."""
        recipe = {"name": "he2015_cifar", "bn_groups": 1, "evaluate_every": 64_000, "log_every": 391}
        fields = {"data": "cifar10", "precision": self.precision, **{f"recipe.{k}": v for k, v in recipe.items()}}
        fields["recipe"] = fields.pop("recipe.name")
        return [_spec(network=network, depth=depth, seed=0, **fields) for network, depth in self.networks]


def _spec(**fields: Any) -> RunSpec:
    return resolve({key: Value(value, "bench.py") for key, value in fields.items()})


def cases(quick: bool) -> list[Case]:
    """What is measured: ResNet-20 and 56 alone, and two side by side."""
    depths = [20] if quick else [20, 56]
    alone = [Case(f"ResNet-{d}", [("residual", d)], p) for d in depths for p in ("fp32", "bf16")]
    return alone + ([] if quick else [Case("2 ResNet-20", [("residual", 20)] * 2, "fp32")])


@dataclass(frozen=True)
class Measurement:
    """The speed of one way to train some networks."""

    networks: str
    """Such as `ResNet-20`."""
    lanes: int
    precision: str
    measure: str
    images_per_second: float
    """Of all lanes together; the median over rounds."""
    ratio_to_textbook: float | None
    share_of_floor: float
    """The time that arithmetic or memory alone would take, over the time taken."""
    over_bare: float
    """Time taken over that of the bare step, minus 1."""


Train = Callable[[int], float]
"""Takes steps of some networks, and returns the seconds that they took."""


def alternate(trains: Mapping[str, Train], rounds: int, turn: float, few: int) -> dict[str, list[float]]:
    """Let ways to train take turns of about `turn` seconds, whole multiples of `few` steps; seconds a step in each round.

    What disturbs a busy machine falls on all alike. Each one takes a few steps before, to warm up.
    """
    steps = {name: few * max(1, int(turn / train(few))) for name, train in trains.items()}
    found: dict[str, list[float]] = {name: [] for name in trains}
    with slow_progress(", ".join(trains), rounds * len(trains)) as progress:
        for _ in range(rounds):
            for name, train in trains.items():
                found[name].append(train(steps[name]) / steps[name])
                progress(1)
    return found


def bench(scratch: Path, quick: bool = False) -> Iterator[Ceilings | Measurement]:
    """Measure the CPU's ceilings, then each case; yields as it goes.

    Parameters
    ----------
    scratch
        A folder for the run that is trained by the whole harness.
    quick
        ResNet-20 alone, in a fifth of the rounds.
    """
    ceilings = measure(CPU)
    yield ceilings
    data = noise()
    for case in cases(quick):
        yield from _case(case, data, ceilings, scratch, rounds=5 if quick else 25)


def noise(count: int = IMAGES, test: int = 1000) -> ImageSet:
    """A data set of CIFAR's shape."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (count + test, 32, 32, 3), np.uint8)
    labels = random.randint(0, 10, count + test).astype(np.int64)
    names = tuple(map(str, range(10)))
    return image_set("noise", (images[:count], labels[:count]), (images[count:], labels[count:]), names)


def _case(case: Case, data: ImageSet, ceilings: Ceilings, scratch: Path, rounds: int) -> Iterator[Measurement]:
    specs, cores = case.specs(), usable_cores()
    images = Images(data, CPU)
    with ExitStack() as stack:
        stack.enter_context(backends({case.precision}, CPU, deterministic=True))
        trains: dict[str, Train] = {}
        if len(specs) == 1:
            trains["textbook"] = stack.enter_context(textbook(TEXTBOOK, specs[0].depth, "cpu")).train
            if cores > 1:
                trains["workers"] = stack.enter_context(workers(specs[0].depth, case.precision, cores)).train
        # The harness around the step, the step, the bare step.
        trains["run"] = _run(specs, data, scratch)
        trains["step"] = timed_steps(specs, images)
        trains["bare"] = _timed(bare(specs, images), CPU)
        seconds = alternate(trains, rounds, turn=1.0, few=2)
    if "workers" in seconds:  # which train a network each
        seconds["workers"] = [each / cores for each in seconds["workers"]]
    batch, floor = sum(spec.recipe.batch_size for spec in specs), ceilings.floor(specs)
    for name, each in seconds.items():
        typical = statistics.median(each)
        yield Measurement(
            networks=case.title,
            lanes=len(specs),
            precision=case.precision,
            measure=name,
            images_per_second=batch / typical,
            ratio_to_textbook=median_ratio(seconds["textbook"], each) if "textbook" in seconds else None,
            share_of_floor=floor / typical,
            over_bare=median_ratio(each, seconds["bare"]) - 1,
        )


def median_ratio(one: list[float], other: list[float]) -> float:
    """Of times in rounds in which both took their turn: what slows a round slows both."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def _timed(train: Callable[[int], None], device: torch.device) -> Train:
    def timed(steps: int) -> float:
        began = time.perf_counter()
        train(steps)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    # To warm up; one more than whole strides, so that a graph of a single step is recorded, too.
    timed(1 if device.type == "cpu" else 65)
    return timed


class _Bare(Program):
    """Forward, backward and SGD on a batch that stays: nothing but what any training has to do."""

    def __init__(self, spec: RunSpec, images: Images) -> None:
        super().__init__(spec, images)
        self.batch = images.at("train", torch.arange(spec.recipe.batch_size, device=images.device))

    def step(self) -> None:
        _, _, gradients = self._differentiate(*self.batch)
        self._descend(gradients)


def bare(specs: list[RunSpec], images: Images) -> Callable[[int], None]:
    return engine([_Bare(spec, images) for spec in specs], Tuning()).steps


def timed_steps(
    specs: list[RunSpec],
    images: Images,
    tuning: Tuning = Tuning(),  # noqa: B008 -- it is immutable
    change: Callable[[Program], None] = lambda program: None,
) -> Train:
    """Takes whole steps as the engine does, and times them: samples, augmentation, forward, backward, SGD, counters.

    `change` may change a program before its first step.
    """
    lanes = [Lane(spec, None, images) for spec in specs]  # type: ignore[arg-type]  # writes nothing
    for lane in lanes:
        change(lane.program)
    runner = engine([lane.program for lane in lanes], tuning)

    def train(steps: int) -> None:
        while steps:
            steps -= advance(lanes, runner, steps)

    return _timed(train, images.device)


def _run(specs: list[RunSpec], data: ImageSet, scratch: Path) -> Train:
    """What `study sweep` does, in its own folder: curves, progress, and a checkpoint for each minute."""
    runs = []
    for number, spec in enumerate(specs):
        files = RunFiles(scratch / str(number) / run_id(spec))
        store.write_spec(files, spec)
        runs.append((spec, files))

    def train(steps: int) -> float:
        reports: list[tuple[int, float]] = []

        def report(progress: Progress) -> None:
            if progress.run_id == runs[0][1].run_id:
                reports.append((progress.iteration, time.perf_counter()))

        # The first report comes before the first step, the second when libraries and graphs have warmed up.
        train_pack(
            runs,
            data,
            Session(
                stopped=lambda: len(reports) > 1 and reports[-1][0] - reports[1][0] >= steps,
                report=report,
            ),
        )
        (first, began), (last, ended) = reports[1], reports[-1]
        # Then the checkpoint, which a sweep writes once a minute.
        checkpoint = (time.perf_counter() - ended) / CHECKPOINT_SECONDS
        return (ended - began) * (1 + checkpoint) / (last - first) * steps

    return train
