"""A pack: lanes stepped together on one device, from their first step to their seal."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

from study.data import ImageSet
from study.spec.run import RunSpec
from study.store import runs as store
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.images import Images
from study.training.lane import Lane
from study.training.ranks import Ranks

log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """Where a lane is; passed to the reporter of `train_pack` after every step."""

    run_id: str
    iteration: int
    iterations: int
    error: float | None
    """Last test error, percent; before the first evaluation the running training error."""
    seconds: float
    """Of training so far, over all attempts."""


def train_pack(
    runs: Sequence[tuple[RunSpec, RunFiles]],
    data: ImageSet,
    device: torch.device,
    *,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint_seconds: float = math.inf,
    ranks: Ranks | None = None,
    before_write: Callable[[RunFiles], None] = lambda files: None,
) -> bool:
    """Train runs side by side until each is sealed (`done.json`), going on from their checkpoints.

    Parameters
    ----------
    stopped
        Asked after every step. When it says True, all lanes are checkpointed and the function returns.
    report
        Called after every step of a lane.
    checkpoint_seconds
        Training time between two checkpoints; they are also written at the end and when stopped.
    ranks
        The processes that train this pack, of one run then, together.
    before_write
        Called before each write to a run's files; what it raises ends the pack without another write.

    Returns
    -------
    bool
        True when all runs are sealed, False when it was stopped.
    """
    states = [checkpoint.load_newest(files, device) for _, files in runs]
    _set_threads(states, device)
    images = Images(data, device)
    with _precision({spec.precision for spec, _ in runs}):
        lanes = [
            _open_lane(Lane(spec, files, images, ranks, partial(before_write, files)), state)
            for (spec, files), state in zip(runs, states, strict=True)
        ]
        return _Pack(lanes, stopped, report, checkpoint_seconds, ranks or Ranks()).run()


def _open_lane(lane: Lane, state: dict[str, Any] | None) -> Lane:
    if state is not None:
        lane.resume(state)
        log.info("%s: goes on at iteration %d", lane.files.run_id, lane.iteration)
    return lane


def _set_threads(states: Sequence[dict[str, Any] | None], device: torch.device) -> None:
    """Go on with as many threads as the run began with: sums on a CPU are taken in another order with more."""
    begun = {state["threads"] for state in states if state is not None}
    if begun and device.type == "cpu":
        torch.set_num_threads(max(begun))


class _precision:  # noqa: N801 -- a context manager, used as a function
    """TF32 products where a run asks for them; a pack holds runs of one precision."""

    def __init__(self, precisions: set[str]) -> None:
        if len(precisions) != 1:
            raise ValueError(f"a pack of several precisions: {sorted(precisions)}")
        self.wanted = "high" if precisions == {"tf32"} else "highest"

    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        self.convolutions = torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision(self.wanted)
        torch.backends.cudnn.allow_tf32 = self.wanted == "high"

    def __exit__(self, *exception: object) -> None:
        torch.set_float32_matmul_precision(self.before)
        torch.backends.cudnn.allow_tf32 = self.convolutions


class _Pack:
    def __init__(
        self,
        lanes: list[Lane],
        stopped: Callable[[], bool],
        report: Callable[[Progress], None],
        checkpoint_seconds: float,
        ranks: Ranks,
    ) -> None:
        self.lanes, self.stopped, self.report = lanes, stopped, report
        self.checkpoint_seconds, self.ranks = checkpoint_seconds, ranks
        self.saved = self.ticked = time.perf_counter()

    def run(self) -> bool:
        # A checkpoint may have been written between a step and the evaluation due after it.
        active = self._observe(self.lanes)
        while active and not self._agreed(self.stopped()):
            for lane in active:
                lane.step()
            self._tick(active)
            active = self._observe(active)
            if self._agreed(time.perf_counter() - self.saved > self.checkpoint_seconds):
                self._save(active)
        self._save(active)
        return not active

    def _agreed(self, flag: bool) -> bool:
        """The flag of any rank: what all do together is done at the same step."""
        return self.ranks.any(flag, self.lanes[0].images.device)

    def _tick(self, active: list[Lane]) -> None:
        """Share the time since the last call out among the lanes that were trained in it."""
        now = time.perf_counter()
        for lane in active:
            lane.seconds += (now - self.ticked) / len(active)
        self.ticked = now

    def _observe(self, active: list[Lane]) -> list[Lane]:
        """Take the points of the curves that are due; seal the lanes that are through, and return the others."""
        for lane in active:
            if lane.observe(self.stopped):
                self._tick(active)
            self.report(_progress(lane))
        for lane in active:
            if lane.finished:
                _seal(lane)
        return [lane for lane in active if not lane.finished]

    def _save(self, active: list[Lane]) -> None:
        for lane in active:
            lane.save()
        self.saved = time.perf_counter()


def _progress(lane: Lane) -> Progress:
    return Progress(lane.files.run_id, lane.iteration, lane.recipe.iterations, lane.error, lane.seconds)


def _seal(lane: Lane) -> None:
    lane.save(keep=1)
    if not lane.ranks.first:
        return
    outcome = "diverged" if lane.diverged else "finished"
    warning = lane.schedule.warning()
    lane.before_write()
    if warning:
        log.warning("%s: %s", lane.files.run_id, warning)
    store.write_done(
        lane.files,
        outcome=outcome,
        iteration=lane.iteration,
        error=lane.error,
        seconds=lane.seconds,
        data=lane.images.fingerprint,
        warnings=[warning] if warning else [],
    )
