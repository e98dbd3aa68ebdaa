"""How fast networks train: the seconds of a step and of an evaluation, from earlier runs of the same networks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.config.identity import digest, trained
from study.config.run import RunSpec
from study.errors import StudyError
from study.store import runs as store
from study.store.files import read_lines
from study.store.find import all_runs
from study.store.layout import RunFiles
from study.store.tables import CURVES

NEUTRAL = (
    "seed", "initialisation", "start_from", "recipe.name", "recipe.iterations", "recipe.evaluate_every",
    "recipe.log_every", "recipe.learning_rate", "recipe.schedule", "recipe.warmup", "recipe.weight_decay",
)  # fmt: skip
"""Fields that do not change the time of a step or of an evaluation. Runs that differ in any other are not compared."""

CANDIDATES, ENOUGH = 200, 5
"""Of the runs with a network's name, depth and data set the newest that are looked at, and how many of them suffice."""


class Speed(NamedTuple):
    """Seconds of a step and of an evaluation; of runs side by side, each one's share."""

    step: float
    evaluation: float

    def seconds(self, spec: RunSpec, done: int = 0) -> float:
        """The time that a run takes from an iteration on."""
        last, every = spec.recipe.iterations, spec.recipe.evaluate_every
        return self.step * (last - done) + self.evaluation * (-(-last // every) - done // every)


class Earlier(NamedTuple):
    """What earlier runs tell of networks."""

    speeds: dict[str, Speed]
    runs: int
    device: str


def network(spec: RunSpec) -> str:
    """A digest that runs share if their steps and their evaluations take equally long on the same machine."""
    fields = trained(spec)
    fields |= {f"recipe.{name}": value for name, value in fields.pop("recipe").items()}
    return digest("network", {name: value for name, value in fields.items() if name not in NEUTRAL})


def earlier(specs: Collection[RunSpec], results: Path, is_here: Callable[[Mapping[str, Any]], bool]) -> Earlier:
    """The speeds of these networks in the runs of which every attempt, as recorded, was made `is_here`.

    They count if they were on the same device as the newest of them.
    """
    wanted, intervals, device = set(map(network, specs)), dict[str, list[NDArray[np.float64]]](), ""
    for pattern in sorted({f"{spec.network}-{spec.depth}-{spec.dataset}-s*" for spec in specs}):
        for run in _newest(all_runs(results, pattern).values()):
            with suppress(StudyError, OSError):  # damaged, or of another version
                name = network(store.read_spec(run))
                if name not in wanted or len(intervals.get(name, ())) >= ENOUGH:
                    continue
                if (used := _device(run, is_here)) and used in (device, device or used):
                    intervals.setdefault(name, []).append(_intervals(run))
                    device = used
    fitted = {name: _fit(np.concatenate(parts)) for name, parts in intervals.items()}
    speeds = {name: speed for name, speed in fitted.items() if speed is not None}
    return Earlier(speeds, sum(len(intervals[name]) for name in speeds), device)


def _newest(runs: Collection[RunFiles]) -> list[RunFiles]:
    timed = [(run.curves.stat().st_mtime, run.run_id, run) for run in runs if run.curves.exists()]
    return [run for _, _, run in sorted(timed, reverse=True)[:CANDIDATES]]


def _device(run: RunFiles, is_here: Callable[[Mapping[str, Any]], bool]) -> str | None:
    """The device of all attempts at a run; None if one was elsewhere."""
    starts = [line for line in read_lines(run.attempts) if line.get("event") == "start"]
    devices = {str(line.get("device")) for line in starts}
    return devices.pop() if len(devices) == 1 and all(map(is_here, starts)) else None


def _intervals(run: RunFiles) -> NDArray[np.float64]:
    """Between successive points of a run's curve: steps, evaluations, and the seconds that they took; (points, 3).

    A point has the time before the evaluation at its iteration.
    """
    rows = CURVES.read(run.curves, run.run_id).select(["iteration", "split", "seconds"]).to_pylist()
    evaluated = sorted({row["iteration"] for row in rows if row["split"] == "test"})
    times = {row["iteration"]: row["seconds"] for row in rows}
    points = [(0, 0, 0.0), *((i, bisect_left(evaluated, i), times[i]) for i in sorted(times))]
    if done := store.seal(run):
        points.append((done["iteration"], len(evaluated), done.get("seconds")))
    found = np.diff(np.array(points, dtype=float), axis=0)
    return found[np.isfinite(found).all(axis=1)]


def _fit(intervals: NDArray[np.float64]) -> Speed | None:
    """Least squares; None without an evaluation. A time that noise would make negative is none."""
    steps, evaluations, seconds = intervals.sum(axis=0)
    if not (steps and evaluations):
        return None
    step, evaluation = np.linalg.lstsq(intervals[:, :2], intervals[:, 2], rcond=None)[0]
    if evaluation < 0:
        return Speed(seconds / steps, 0.0)
    return Speed(float(step), float(evaluation)) if step >= 0 else Speed(0.0, seconds / evaluations)
