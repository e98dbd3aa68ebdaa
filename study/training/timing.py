"""Time a pack before it is trained: its steps, and an evaluation."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from study.data import ImageFiles, ImageSet
from study.training.engine import Engine, Graphs, engine
from study.training.feeds.feed import EVALUATION_BATCH
from study.training.lane import Lane
from study.training.pack import Run, advance, fitting, open_lanes
from study.training.session import Session

SECONDS = 1.0
"""How long steps are timed, and then an evaluation."""
LEAST = 3
"""The least number of steps to time."""


def time_pack(runs: Sequence[Run], data: ImageSet | ImageFiles, session: Session) -> dict[str, tuple[float, float]]:
    """Each run's seconds of a step and of an evaluation; of runs side by side, its share of their time.

    Nothing is written. Raises `StudyError` if an image cannot be read.
    """
    endless = {"iterations": 10**9}  # a short run must not end meanwhile
    timed = [
        (spec.model_copy(update={"recipe": spec.recipe.model_copy(update=endless)}), files) for spec, files in runs
    ]
    found: dict[str, tuple[float, float]] = {}
    for part in fitting(timed, data, session.device):
        with open_lanes(part, data, session) as lanes:
            runner = engine([lane.program for lane in lanes], session.tuning)
            share = _step(lanes, runner) / len(lanes), _evaluation(lanes, runner) / len(lanes)
        found |= {files.run_id: share for _, files in part}
    return found


def _step(lanes: Sequence[Lane], runner: Engine) -> float:
    """Seconds of a step of all lanes."""
    for _ in range(2):  # libraries choose their algorithms, graphs are recorded
        advance(lanes, runner)
    began, steps, took = _now(lanes), 0, 0.0
    while took < SECONDS or steps < LEAST:
        steps += advance(lanes, runner)
        took = _now(lanes) - began
    return took / steps


def _evaluation(lanes: Sequence[Lane], runner: Engine) -> float:
    """Seconds of an evaluation of all lanes on both splits, estimated from the batches that fit the time."""
    programs, images = [lane.program for lane in lanes], lanes[0].images
    each = 1 if isinstance(runner, Graphs) else len(programs)
    whole = each * sum(-(-images.count(source) // EVALUATION_BATCH) for source in ("train", "test"))
    done, end = 0, 0.0

    def stopped() -> bool:
        nonlocal done
        over = done > 0 and time.perf_counter() > end
        done += not over
        return over

    for source in ("train", "test"):  # to warm up
        done = 0
        runner.evaluate(programs, source, stopped)
    done, began = 0, _now(lanes)
    end = began + SECONDS
    if runner.evaluate(programs, "train", stopped):
        runner.evaluate(programs, "test", stopped)
    twice = sum(lane.recipe.ema is not None for lane in lanes) / len(lanes)  # with running means, too
    return (_now(lanes) - began) * whole / done * (1 + twice)


def _now(lanes: Sequence[Lane]) -> float:
    device = lanes[0].images.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
