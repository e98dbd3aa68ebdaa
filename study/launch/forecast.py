"""How long a plan will take: from earlier runs of the same networks, or from timing them.

A run takes (seconds of a step) x iterations + (seconds of an evaluation) x evaluations, and a worker that is free takes the
next pack. Start, figures, probes, snapshots, surfaces and the time in a queue are not counted.
"""

from __future__ import annotations

import heapq
import json
import socket
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.config.identity import digest, trained
from study.config.run import RunSpec
from study.errors import StudyError
from study.launch.attempt.provenance import cpu_model
from study.launch.local.pool import pool
from study.launch.local.workers import Process
from study.launch.machine import Machine, Terms
from study.launch.slurm.profile import Profile
from study.launch.sweep import Planned
from study.store import runs as store
from study.store.files import read_lines
from study.store.find import all_runs
from study.store.layout import RunFiles
from study.store.tables import CURVES
from study.text import counted, roughly

NEUTRAL = (
    "seed", "initialisation", "start_from", "recipe.name", "recipe.iterations", "recipe.evaluate_every",
    "recipe.log_every", "recipe.learning_rate", "recipe.schedule", "recipe.warmup", "recipe.weight_decay",
)  # fmt: skip
"""Fields that do not change the time of a step or of an evaluation. Runs that differ in any other are not compared."""

CANDIDATES, ENOUGH = 200, 5
"""How many runs are looked at, the newest, for each name, depth and data set; and how many of a network suffice."""

Speed = Sequence[float]
"""Seconds of a step and of an evaluation; of runs side by side, each one's share."""


class _Place(NamedTuple):
    packs: list[list[str]]
    words: str
    at_once: int
    facts: Mapping[str, Any]
    """What the record of an attempt made there has."""
    on_cpu: bool | None
    """None if a job finds out."""
    devices: Sequence[str] = ()
    threads: int = 1


def forecast(
    planned: Planned, machine: Machine, profile: Profile, told: Callable[[str], None] | None = None
) -> str | None:
    """How long the runs to train take, such as `about 6 h on 4 GPUs, from 12 earlier runs`.

    Networks without an earlier run are timed, and `told` hears of each; None if there are any and `told` is None.
    """
    place, work = (_jobs if machine.executor == "slurm" else _workers)(planned, machine, profile), planned.work
    names = {run_id: network(spec) for run_id, spec in work.items()}
    known, source = _earlier(names, planned.files.results, place)
    kinds = [tuple(names[run_id] for run_id in pack) for pack in place.packs]  # equal ones are equally fast
    speeds = {kind: [known[name] for name in kind] for kind in kinds if known.keys() >= set(kind)}
    new = {kind: pack for kind, pack in zip(kinds, place.packs, strict=True) if kind not in speeds}
    if new and told is None:
        return None
    if new and told is not None:
        timed = _measured([{run_id: work[run_id] for run_id in pack} for pack in new.values()], place, machine)
        for number, (kind, pack) in enumerate(new.items(), 1):
            told(f"timing {number} of {len(new)}: {', '.join(work[run_id].title for run_id in pack)}")
            speeds[kind] = next(timed)
        source = "timing the networks" if len(new) == len(speeds) else f"{source} and timing the other networks"
    resumed = {action.run_id: action.disk.iteration for action in planned.actions if action.verb in ("resume", "retry")}
    free = [0.0] * place.at_once  # when each worker is
    for pack, kind in zip(place.packs, kinds, strict=True):
        runs = zip(pack, speeds[kind], strict=True)
        took = sum(_seconds(speed, work[run_id], resumed.get(run_id, 0)) for run_id, speed in runs)
        heapq.heapreplace(free, free[0] + took)
    return f"about {roughly(max(1.0, *free))} {place.words}, from {source}"


def network(spec: RunSpec) -> str:
    """A digest that runs share if their steps and their evaluations take equally long on the same machine."""
    fields = trained(spec)
    fields |= {f"recipe.{name}": value for name, value in fields.pop("recipe").items()}
    return digest("network", {name: value for name, value in fields.items() if name not in NEUTRAL})


def _seconds(speed: Speed, spec: RunSpec, done: int) -> float:
    last, every = spec.recipe.iterations, spec.recipe.evaluate_every
    return speed[0] * (last - done) + speed[1] * (-(-last // every) - done // every)


# -- where ----------------------------------------------------------------------------------------------------------------


def _workers(planned: Planned, machine: Machine, _: Profile) -> _Place:
    mine = pool(machine, len(planned.sweep.runs))
    packs = planned.packs(mine.pack_size, len(mine.devices))
    devices = mine.devices[: 1 if machine.executor == "debug" else len(packs)]
    on_cpu = devices[0] == "cpu"
    facts = {"host": socket.gethostname(), **({"cpu": cpu_model(), "threads": mine.threads} if on_cpu else {})}
    words = f"with {counted(len(devices), 'worker')}" if on_cpu else f"on {counted(len(set(devices)), 'GPU')}"
    return _Place(packs, words, len(devices), facts, on_cpu, devices, mine.threads)


def _jobs(planned: Planned, _: Machine, profile: Profile) -> _Place:
    packs = planned.packs(profile.runs_per_gpu)
    count = min(profile.max_parallel, len(packs))
    on_cpu = None if profile.device == "auto" else profile.device == "cpu"
    facts = {"executor": "slurm", **({"threads": profile.cpus} if on_cpu else {})}
    facts |= {"ranks": profile.ranks} if profile.ranks > 1 else {}  # which no record tells
    return _Place(packs, f"in {counted(count, 'job')} at once, once they start", count, facts, on_cpu)


# -- earlier runs ---------------------------------------------------------------------------------------------------------


def _earlier(wanted: Mapping[str, str], results: Path, place: _Place) -> tuple[dict[str, Speed], str]:
    """The speed of each network in runs that were trained there, on the device used last, and how many these are.

    `wanted` has the networks by the ids of the runs to train.
    """
    found, device = {name: list[NDArray[np.float64]]() for name in wanted.values()}, ""
    readable = {run_id.rpartition("-s")[0] for run_id in wanted}
    runs = [run for run_id, run in all_runs(results).items() if run_id.rpartition("-s")[0] in readable]
    with suppress(OSError):  # one is removed meanwhile
        runs.sort(key=lambda run: -run.folder.stat().st_mtime)
    for run in runs[: CANDIDATES * len(readable)]:
        if all(len(parts) == ENOUGH for parts in found.values()):
            break
        with suppress(StudyError, OSError):  # not begun, damaged, or of another version
            name, used = network(store.read_spec(run)), _device(run, place)
            if used and used == (device or used) and name in found and len(found[name]) < ENOUGH:
                found[name].append(_intervals(run))
                device = used
    speeds = {name: speed for name, parts in found.items() if parts and (speed := _fit(np.concatenate(parts)))}
    count = counted(sum(len(found[name]) for name in speeds), "earlier run")
    return speeds, count if device == "cpu" else f"{count} on {device}"


def _device(run: RunFiles, place: _Place) -> str | None:
    """The device of all attempts at a run, if they were made there."""
    starts = [line for line in read_lines(run.attempts) if line.get("event") == "start"]
    there = all(place.facts.items() <= start.items() for start in starts)
    devices = {str(start.get("device")) for start in starts} if there else set()
    device = devices.pop() if len(devices) == 1 else None
    return device if place.on_cpu in (None, device == "cpu") else None


def _intervals(run: RunFiles) -> NDArray[np.float64]:
    """Between the points of a run's curve: steps, evaluations and seconds, (intervals, 3).

    A point has the seconds before the evaluation at its iteration, and the seal those after all.
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
    """Least squares without negative times; None if nothing was evaluated."""
    from scipy.optimize import nnls  # late: it takes a moment

    return list(nnls(intervals[:, :2], intervals[:, 2])[0]) if intervals[:, 1].any() else None


# -- timing ---------------------------------------------------------------------------------------------------------------


def _measured(packs: Sequence[Mapping[str, RunSpec]], place: _Place, machine: Machine) -> Iterator[list[Speed]]:
    """The speed of each run of each pack: means over as many processes as train at once, since these slow each other."""
    specs = [{name: spec.model_dump(mode="json") for name, spec in pack.items()} for pack in packs]
    for fields in (fields for pack in specs for fields in pack.values()):
        fields["recipe"]["iterations"] = 10**9  # none must end while it is timed
    task = {"packs": specs, "terms": asdict(Terms.of(machine, "auto", place.threads))}
    with ExitStack() as stack:
        lines = stack.enter_context(tempfile.TemporaryFile())
        lines.write(json.dumps(task).encode())
        lines.flush()
        module, stdin = "study.launch.local.timing", lines.fileno()
        processes = [Process(place.threads, module, device, stdin=stdin, stdout=PIPE) for device in place.devices]
        for started in processes:
            stack.callback(started.process.kill)
        for _ in packs:
            yield np.mean([_answer(started) for started in processes], axis=0).tolist()


def _answer(started: Process) -> Any:
    assert started.process.stdout is not None
    if line := started.process.stdout.readline():
        return json.loads(line)
    started.process.wait()
    raise StudyError(f"the networks could not be timed: {started.failure_message()}")
