"""Time networks before they are trained: a process of `study.launch.forecast`.

Standard input has `packs` of specs by their runs' ids, and `terms`, as JSON. Standard output gets a line for each pack: for
each run its seconds of a step and of an evaluation, or its share of them if several are trained side by side. Nothing is
written into the results.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from study.config.run import RunSpec
from study.data import ImageFiles, ImageSet
from study.errors import StudyError
from study.launch.attempt.runs import load_data
from study.launch.local.worker import REFUSED
from study.launch.machine import Terms
from study.store.layout import RunFiles
from study.training.engine import Engine, engine
from study.training.feeds.feed import EVALUATION_BATCH
from study.training.lane import Lane
from study.training.pack import Run, advance, fitting, open_lanes
from study.training.session import Session, never

SECONDS = 1.0
"""How long steps are timed, and then an evaluation."""
LEAST = 3


def main() -> None:
    """Entry of the process (`study.boot`): its device."""
    task = json.loads(os.pread(0, os.fstat(0).st_size, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    try:
        terms = Terms(**task["terms"])
        session = terms.session(sys.argv[1], "local", never)
        torch.set_num_threads(terms.threads)
        for pack in task["packs"]:
            runs = [(RunSpec.model_validate(fields), RunFiles(Path(name))) for name, fields in pack.items()]
            print(json.dumps(_time(runs, session)), file=answers, flush=True)
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)


def _time(runs: Sequence[Run], session: Session) -> list[tuple[float, float]]:
    data = load_data(runs[0][0], session.data_root)
    times: dict[str, tuple[float, float]] = {}
    for part in fitting(runs, data, session.device):
        times |= dict.fromkeys([files.run_id for _, files in part], _shares(part, data, session))
    return [times[files.run_id] for _, files in runs]


def _shares(runs: Sequence[Run], data: ImageSet | ImageFiles, session: Session) -> tuple[float, float]:
    """Seconds of a step and of an evaluation of runs side by side, divided by their number."""
    with open_lanes(runs, data, session) as lanes:
        runner = engine([lane.program for lane in lanes], session.tuning)
        return _step(lanes, runner) / len(lanes), _evaluation(lanes, runner) / len(lanes)


def _step(lanes: Sequence[Lane], runner: Engine) -> float:
    for _ in range(2):  # libraries choose their algorithms, graphs are recorded
        advance(lanes, runner)
    began, steps, took = _now(lanes), 0, 0.0
    while took < SECONDS or steps < LEAST:
        steps += advance(lanes, runner)
        took = _now(lanes) - began
    return took / steps


def _evaluation(lanes: Sequence[Lane], runner: Engine) -> float:
    """Seconds of an evaluation of all lanes on both splits, estimated from the batches that fit the time."""
    programs, done, end = [lane.program for lane in lanes], 0, 0.0

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
    all(runner.evaluate(programs, source, stopped) for source in ("train", "test"))
    whole = sum(-(-lanes[0].images.count(source) // EVALUATION_BATCH) for source in ("train", "test"))
    twice = sum(lane.recipe.ema is not None for lane in lanes) / len(lanes)  # with running means, too
    return (_now(lanes) - began) * whole / done * (1 + twice)


def _now(lanes: Sequence[Lane]) -> float:
    device = lanes[0].images.device
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
    return time.perf_counter()
