"""How long a plan will take, from the speeds of its networks.

A worker that is free takes the next pack. Not counted are the start of the processes, probes, snapshots and surfaces, and
the time that jobs wait in the queue.
"""

from __future__ import annotations

import heapq
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from study.config.run import RunSpec
from study.launch.attempt.provenance import cpu_model
from study.launch.local.pool import Pool, pool
from study.launch.local.timing import measure
from study.launch.machine import Machine
from study.launch.plan.runs import cost
from study.launch.slurm.profile import Profile
from study.launch.speed import Speed, earlier, network
from study.launch.sweep import Planned
from study.text import counted, roughly

SLOW_CORE = 5e10
"""Multiply-adds in a second, to say how long a measurement takes."""

_Kind = tuple[str, ...]
"""The networks of a pack: packs of one kind are equally fast."""


class _Place(NamedTuple):
    """Where the packs of a plan are trained."""

    packs: list[list[str]]
    at_once: int
    words: str
    is_here: Callable[[Mapping[str, Any]], bool]
    """Whether an attempt was made there, from its record."""
    pool: Pool | None = None
    """The workers of this machine."""


class Forecast:
    """The time that a plan takes on this machine, or in jobs with a profile. Raises StudyError if a device is missing."""

    def __init__(self, planned: Planned, machine: Machine, profile: Profile) -> None:
        self.planned, self.machine, self.work = planned, machine, planned.work
        self.place = _on_a_cluster(planned, profile) if machine.executor == "slurm" else _here(planned, machine)
        found = earlier(self.work.values(), planned.files.results, self.place.is_here)
        self.source = f"{counted(found.runs, 'earlier run')}{'' if found.device == 'cpu' else f' on {found.device}'}"
        self.kinds: list[_Kind] = []
        """Of each pack."""
        self.speeds: dict[_Kind, list[Speed]] = {}
        self.unknown: dict[_Kind, dict[str, RunSpec]] = {}
        """A pack of each kind that no earlier run tells of."""
        networks = {run_id: network(spec) for run_id, spec in self.work.items()}
        for pack in self.place.packs:
            kind = tuple(networks[run_id] for run_id in pack)
            self.kinds.append(kind)
            if all(name in found.speeds for name in kind):
                self.speeds[kind] = [found.speeds[name] for name in kind]
            else:
                self.unknown.setdefault(kind, {run_id: self.work[run_id] for run_id in pack})

    def measure(self, told: Callable[[str], None]) -> None:
        """Time what is unknown, on this machine. Raises StudyError if that fails."""
        assert self.place.pool is not None
        timed = measure(list(self.unknown.values()), self.place.pool, self.machine)
        for number, (kind, pack) in enumerate(self.unknown.items(), 1):
            told(f"timing {number} of {len(self.unknown)}: {', '.join(spec.title for spec in pack.values())}")
            self.speeds[kind] = [Speed(*times) for times in next(timed).values()]
        self.source = f"{self.source} and a measurement" if len(self.speeds) > len(self.unknown) else "a measurement"
        self.unknown = {}

    def __str__(self) -> str:
        """`about 6 h on 4 GPUs, by 12 earlier runs`, or how to find out."""
        if not self.unknown:
            return f"about {roughly(self._seconds())} {self.place.words}, by {self.source}"
        names = {name for kind in self.kinds for name in kind}
        new = {name for kind in self.unknown for name in kind}
        words = f"unknown: no earlier run here trained {len(new)} of the {counted(len(names), 'network')}"
        if self.place.pool is None:
            return f"{words}; within a job, --dry-run --measure --executor local times them"
        return f"{words}; --dry-run --measure times them in about {roughly(self._effort(self.place.pool))}"

    def _seconds(self) -> float:
        resumed = {a.run_id: a.disk.iteration for a in self.planned.actions if a.verb in ("resume", "retry")}
        free = [0.0] * self.place.at_once  # when each worker is
        for pack, kind in zip(self.place.packs, self.kinds, strict=True):
            runs = zip(pack, self.speeds[kind], strict=True)
            took = sum(speed.seconds(self.work[run_id], resumed.get(run_id, 0)) for run_id, speed in runs)
            heapq.heapreplace(free, free[0] + took)
        return max(free)

    def _effort(self, mine: Pool) -> float:
        """Seconds of a measurement, from the sizes of the networks."""
        if mine.devices[0] != "cpu":
            return 20.0 + 15.0 * len(self.unknown)
        networks = [spec for pack in self.unknown.values() for spec in pack.values()]
        return 5.0 + sum(3.0 + 5 * cost(spec) / spec.recipe.iterations / SLOW_CORE for spec in networks)


def _here(planned: Planned, machine: Machine) -> _Place:
    mine = pool(machine, len(planned.sweep.runs))
    packs = planned.packs(mine.pack_size, len(mine.devices))
    count = 1 if machine.executor == "debug" else min(len(mine.devices), len(packs))
    mine, on_cpu = replace(mine, devices=mine.devices[:count]), mine.devices[0] == "cpu"
    words = f"with {counted(count, 'worker')}" if on_cpu else f"on {counted(len(set(mine.devices)), 'GPU')}"
    cpu, host = cpu_model(), socket.gethostname()

    def is_here(start: Mapping[str, Any]) -> bool:
        alike = (start.get("cpu"), start.get("threads")) == (cpu, mine.threads) or not on_cpu
        on_host = start.get("host") == host and start.get("executor") != "slurm"
        return on_host and alike and (start.get("device") == "cpu") == on_cpu

    return _Place(packs, count, words, is_here, mine)


def _on_a_cluster(planned: Planned, profile: Profile) -> _Place:
    packs = planned.packs(profile.runs_per_gpu)
    count = min(profile.max_parallel, len(packs))

    def is_here(start: Mapping[str, Any]) -> bool:
        """Records do not tell how many GPUs trained one run together."""
        on_cpu = start.get("device") == "cpu"
        alike = profile.device in ("auto", "cpu" if on_cpu else "cuda") and profile.ranks == 1
        return start.get("executor") == "slurm" and alike and (start.get("threads") == profile.cpus or not on_cpu)

    return _Place(packs, count, f"in {counted(count, 'job')} at once, once they start", is_here)
