"""How fast this machine trains, compared with its limits.

All ways to train alternate, a few steps at a time, so that other load slows them alike; ratios are medians over the rounds.
Images are noise, so no data set is needed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
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
from study.training.session import Progress, Session, Tuning

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


def cases(device: torch.device, quick: bool) -> list[Case]:
    """What is measured: ResNet-20 and 56 alone; on a GPU also two and all ten networks of figure 6 as a pack."""
    precisions = ["fp32", "bf16"] if device.type == "cpu" else ["fp32", "tf32", "bf16"]
    depths = [20] if quick else [20, 56]
    alone = [Case(f"ResNet-{d}", [("residual", d)], p) for d in depths for p in precisions]
    packs = [Case("figure 6", FIGURE_6, "bf16")]
    pairs = [Case("2 ResNet-20", [("residual", 20)] * 2, precisions[0])]
    return alone + (packs if device.type == "cuda" and not quick else []) + ([] if quick else pairs)


@dataclass(frozen=True)
class Measurement:
    """The speed of one way to train some networks."""

    networks: str
    """Such as `ResNet-20`, or `figure 6` for its ten."""
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


@dataclass
class Contender:
    """A way to train; `train(steps)` returns the seconds that it took."""

    measure: str
    train: Callable[[int], float]
    networks: int = 1
    """Of the case that it trains at the same time."""
    seconds: list[float] = field(default_factory=list)
    """Of a step of each of them, in each round: the time for all over their number."""


def bench(device: torch.device, scratch: Path, quick: bool = False) -> Iterator[Ceilings | Measurement]:
    """Measure the device's ceilings, then each case; yields as it goes.

    Parameters
    ----------
    scratch
        A folder for the run that is trained by the whole harness.
    quick
        ResNet-20 alone, in a fifth of the rounds.
    """
    ceilings = measure(device)
    yield ceilings
    data = noise()
    for case in cases(device, quick):
        yield from _case(case, device, data, ceilings, scratch, rounds=5 if quick else 25)


def noise(count: int = IMAGES) -> ImageSet:
    """A data set of CIFAR's shape."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (count + 1000, 32, 32, 3), np.uint8)
    labels = random.randint(0, 10, count + 1000).astype(np.int64)
    names = tuple(map(str, range(10)))
    return image_set("noise", (images[:count], labels[:count]), (images[count:], labels[count:]), names)


def _case(
    case: Case, device: torch.device, data: ImageSet, ceilings: Ceilings, scratch: Path, rounds: int
) -> Iterator[Measurement]:
    specs = case.specs()
    with ExitStack() as stack:
        stack.enter_context(backends({case.precision}, device, deterministic=True))
        contenders = list(_contenders(specs, device, data, scratch))
        if len(specs) == 1:
            loop = stack.enter_context(textbook(TEXTBOOK, specs[0].depth, str(device)))
            contenders.insert(0, Contender("textbook", loop.train))
        if len(specs) == 1 and device.type == "cpu" and (cores := usable_cores()) > 1:
            loops = stack.enter_context(workers(specs[0].depth, case.precision, cores))
            contenders.insert(1, Contender("workers", loops.train, cores))
        steps = _steps(contenders[-1], device)
        progress = stack.enter_context(slow_progress(f"{case.title} {case.precision}", rounds * len(contenders)))
        for _ in range(rounds):
            for contender in contenders:
                contender.seconds.append(contender.train(steps) / steps / contender.networks)
                progress(1)
    by_name = {contender.measure: contender.seconds for contender in contenders}
    batch, floor = sum(spec.recipe.batch_size for spec in specs), ceilings.floor(specs)
    for name, seconds in by_name.items():
        typical = statistics.median(seconds)
        yield Measurement(
            networks=case.title,
            lanes=len(specs),
            precision=case.precision,
            measure=name,
            images_per_second=batch / typical,
            ratio_to_textbook=_median_ratio(by_name["textbook"], seconds) if "textbook" in by_name else None,
            share_of_floor=floor / typical,
            over_bare=_median_ratio(seconds, by_name["bare"]) - 1,
        )


def _median_ratio(one: list[float], other: list[float]) -> float:
    """Of times in rounds in which both took their turn: what slows a round slows both."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def _steps(contender: Contender, device: torch.device) -> int:
    """Steps of a turn: those of about a second. What disturbs a busy machine then falls on all alike."""
    few = 2 if device.type == "cpu" else 64
    contender.train(few)
    return max(few, int(few / contender.train(few)))


def _contenders(specs: list[RunSpec], device: torch.device, data: ImageSet, scratch: Path) -> Iterator[Contender]:
    """Bare step, whole step, and the harness around it; `bare` comes last."""
    yield Contender("run", _run(specs, device, data, scratch))
    yield Contender("step", timed_steps(specs, device, data))
    yield Contender("bare", _timed(bare(specs, Images(data, device)), device))


def _timed(train: Callable[[int], None], device: torch.device) -> Callable[[int], float]:
    def timed(steps: int) -> float:
        began = time.perf_counter()
        train(steps)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    timed(1 if device.type == "cpu" else 32)  # to warm up
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


def timed_steps(specs: list[RunSpec], device: torch.device, data: ImageSet) -> Callable[[int], float]:
    """Takes whole steps as the engine does, and times them: samples, augmentation, forward, backward, SGD, counters."""
    images = Images(data, device)
    lanes = [Lane(spec, None, images) for spec in specs]  # type: ignore[arg-type]  # writes nothing
    runner = engine([lane.program for lane in lanes], Tuning())

    def train(steps: int) -> None:
        while steps:
            steps -= advance(lanes, runner, steps)

    return _timed(train, device)


def _run(specs: list[RunSpec], device: torch.device, data: ImageSet, scratch: Path) -> Callable[[int], float]:
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
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                reports.append((progress.iteration, time.perf_counter()))

        # The first report comes before the first step, the second when libraries and graphs have warmed up.
        train_pack(
            runs,
            data,
            Session(
                device=device,
                stopped=lambda: len(reports) > 1 and reports[-1][0] - reports[1][0] >= steps,
                report=report,
            ),
        )
        (first, began), (last, ended) = reports[1], reports[-1]
        # Then the checkpoint, which a sweep writes once a minute.
        checkpoint = (time.perf_counter() - ended) / CHECKPOINT_SECONDS
        return (ended - began) * (1 + checkpoint) / (last - first) * steps

    return train
