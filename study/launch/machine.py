"""Where and how tasks run: never part of a run's identity."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.config import Executor
from study.config.run import RunSpec
from study.config.use import names, use
from study.launch.attempt.provenance import code, require

if TYPE_CHECKING:
    from study.training.session import Session

CHECKPOINT_SECONDS = 60.0
"""Training time between two checkpoints: the most that a crash costs."""


@dataclass(frozen=True)
class Machine:
    """Where and how tasks run."""

    data_root: Path
    executor: Executor = "auto"
    device: str = "auto"
    workers: int | None = None
    threads: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    watchdog: float = math.inf
    """Seconds without progress after which a process is killed; its tasks resume from their checkpoints."""
    deadline: float = math.inf
    """When the local executor checkpoints and stops, by the monotonic clock."""
    stop_at_chance: float | None = None
    """As `study.training.session.Session` has it."""

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline


@dataclass(frozen=True)
class Terms:
    """What a process that trains or measures gets besides its tasks, as plain data."""

    data_root: str
    device: str
    threads: int
    checkpoint_seconds: float
    watchdog: float | None
    code: str
    """The digest of the code that it must run."""
    used: tuple[tuple[str, str], ...] = ()
    """The user's code: names and digests for `study.config.use.use`."""
    stop_at_chance: float | None = None

    @classmethod
    def of(cls, machine: Machine, device: str, threads: int, digest: str | None = None) -> Terms:
        """The terms of a machine; `digest` is by default that of the code of this process."""
        watchdog = machine.watchdog if math.isfinite(machine.watchdog) else None
        root = str(machine.data_root.resolve())
        user_code, seconds = tuple(names()), machine.checkpoint_seconds
        return cls(root, device, threads, seconds, watchdog, digest or code(), user_code, machine.stop_at_chance)

    def session(self, device: str, executor: str, stopped: Callable[[], bool], **further: Any) -> Session:
        """A session under these terms. Raises StudyError if the code was edited."""
        import torch

        from study.training.session import Session

        require(self.code)
        for name, digest in self.used:
            use(name, digest=digest)
        return Session(
            Path(self.data_root),
            torch.device(device),
            executor,
            checkpoint_seconds=self.checkpoint_seconds,
            watchdog=self.watchdog or math.inf,
            stopped=stopped,
            stop_at_chance=self.stop_at_chance,
            **further,
        )


def images_of(spec: RunSpec, root: Path) -> tuple[int, int, int]:
    """Channels, classes and size of a run's images."""
    from study.data import ImageFiles, load_once  # late: a dry run does not need it

    data = load_once(spec.data.name, root, **spec.data.options)
    size, channels = (data.image_size, 3) if isinstance(data, ImageFiles) else data.train_images.shape[2:]
    return channels, len(data.classes), size


def prepare_data(specs: Sequence[RunSpec], root: Path) -> None:
    """Download or decode the data sets of these runs, as needed."""
    from study import data  # late: a dry run does not need it

    for chosen in dict.fromkeys(spec.data for spec in specs):
        data.prepare(chosen.name, root, **chosen.options)
