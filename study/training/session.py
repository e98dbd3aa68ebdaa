"""What a process that trains or measures was told: handed down as one object from the executor to the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from study.config.run import RunSpec
from study.store.layout import RunFiles, TaskFiles
from study.training.feeds.feed import Feed
from study.training.ranks import Ranks


class Progress(NamedTuple):
    """How far a task is."""

    run_id: str
    iteration: int
    """Of a run; of a chunk of a surface the number of points measured."""
    iterations: int
    error: float | None
    """Last test error, percent; before the first evaluation the running training error."""
    seconds: float
    """Time spent on it so far; of a run over all attempts."""
    images: int | None = None
    """Images in a step of a run."""


class Measurable(Protocol):
    """What a probe may look at of a network in training."""

    spec: RunSpec
    files: RunFiles
    images: Feed
    iteration: int

    def network(self) -> Mapping[str, torch.Tensor]:
        """The weights and BN statistics as they are now."""

    def before_write(self) -> None:
        """Called before each write to the run's files."""


@dataclass(frozen=True)
class Tuning:
    """What changes the speed on a GPU, but not what is trained; `benchmarks/gpu.py` measures each choice."""

    graphs: bool = True
    steps_per_graph: int = 4
    """Steps recorded in one graph: one launch by the host for all of them."""
    deterministic: bool = True
    """Use only algorithms with a fixed summation order, so that a run repeats bit for bit."""
    decoders: int | None = None
    """Processes that decode streamed images, on any device; None: one per torch thread."""


CPU = torch.device("cpu")


def never() -> bool:
    """Do not stop."""
    return False


@dataclass(frozen=True)
class Session:
    """How a process works on its tasks. None of it changes what is trained or measured."""

    data_root: Path = Path("data")
    device: torch.device = CPU
    executor: str = "debug"
    """Who started the process, for the record: `local`, `slurm` or `debug`."""
    checkpoint_seconds: float = math.inf
    """Time between two checkpoints; they are also written at the end and when stopped."""
    watchdog: float = math.inf
    """Seconds without a step, a batch of an evaluation or a measurement after which the process is killed."""
    stopped: Callable[[], bool] = never
    """Asked after every step (on a GPU after every few), batch of an evaluation and measurement. When it returns True, the
    tasks are checkpointed and the call returns."""
    why: Callable[[], str] = lambda: ""
    """The reason to stop, in a few words: recorded with the attempt."""
    report: Callable[[Progress], None] = lambda progress: None
    """Called after every step of a run (on a GPU after every few) and every point of a surface."""
    raise_errors: bool = False
    """Let an exception through once it is recorded."""
    ranks: Ranks = field(default_factory=Ranks)
    """The processes that train one run together."""
    before_write: Callable[[TaskFiles], None] = lambda files: None
    """Called before each write to a task's files; what it raises ends the work without another write."""
    probe: Callable[[Measurable, Callable[[], bool]], bool] = lambda network, stopped: True
    """Measures a network in training, given what to ask whether to stop; False when it was cut short."""
    tuning: Tuning = Tuning()
    stop_at_chance: float | None = None
    """The share of its iterations after which a run that is still at chance ends; None: train it to the end."""
