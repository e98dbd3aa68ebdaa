"""What a sweep needs done, as a pure function of the sweep, the disk and the queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from study.config.registry import DATA
from study.config.run import RunSpec
from study.networks.shape import macs
from study.store.runs import ENDED, RunStatus

Mode = Literal["missing", "retry", "force"]
"""missing: all that is not there yet; retry: failed runs too; force: everything again, from the start."""

Verb = Literal["start", "resume", "retry", "redo", "keep", "wait", "hold", "leave"]

WORK: tuple[Verb, ...] = ("start", "resume", "retry", "redo")
"""The verbs that train; `keep` a result, `wait` for another process, `hold` back what starts
from a run that is not done, `leave` a failed run."""


@dataclass(frozen=True)
class Action:
    """What is to be done about one run, and why."""

    run_id: str
    verb: Verb
    reason: str


def plan(
    runs: Iterable[str],
    disk: Mapping[str, RunStatus],
    queue: Mapping[str, str] | None = None,
    mode: Mode = "missing",
) -> list[Action]:
    """One action for each run, in order.

    Parameters
    ----------
    runs
        Run ids that the sweep names. Runs that it no longer names are left alone.
    disk
        The state of each run on disk.
    queue
        Runs that a scheduler holds: run id to a word on where (`job 17_3, pending`).
    """
    return [_action(run_id, disk[run_id], (queue or {}).get(run_id), mode) for run_id in runs]


def _action(run_id: str, now: RunStatus, queued: str | None, mode: Mode) -> Action:
    def act(verb: Verb, reason: str) -> Action:
        return Action(run_id, verb, reason)

    if now.state == "running":
        return act("wait", f"in training on {now.progress.get('host', 'another machine')}")
    if now.state in ENDED and mode != "force":
        return act("keep", now.state)
    if queued is not None:
        return act("wait", queued)
    if mode == "force" and now.state != "pending":
        return act("redo", f"{now.state}; --mode force starts over")
    if now.state == "failed":
        return act("retry", now.message) if mode == "retry" else act("leave", now.message)
    if now.state == "interrupted":
        return act("resume", "; ".join(filter(None, [f"from iteration {now.iteration:,}", now.message])))
    return act("start", now.message)


def cost(spec: RunSpec) -> float:
    """Arithmetic of a run, in multiply-adds: what packs are ordered by. Relative within one data set."""
    return (
        float(macs(spec, size=spec.data.options.get("image_size") or 32))
        * 3
        * spec.recipe.batch_size
        * spec.recipe.iterations
    )


def packs(work: Sequence[str], specs: Mapping[str, RunSpec], size: int = 1, workers: int = 1) -> list[list[str]]:
    """Runs grouped into packs of at most `size` that can be trained side by side, the longest first.

    The runs of a pack share data set and precision; one that decodes its images as it goes is alone. Of these there are
    as few packs as hold them, but one for each of `workers` where there are runs enough; the longest runs are dealt out
    first, each to the pack that has least to do.
    """
    groups: dict[object, list[str]] = {}
    for run_id in sorted(work, key=lambda item: -cost(specs[item])):
        spec = specs[run_id]
        key: tuple[object, ...] = (
            spec.data,
            spec.train_subset,
            spec.train_subset_seed,
            spec.precision,
        )
        if DATA[spec.data.name].streamed:
            key = (*key, run_id)
        groups.setdefault(key, []).append(run_id)
    chunks = []
    for group in groups.values():
        dealt: list[list[str]] = [[] for _ in range(max(-(-len(group) // size), min(workers, len(group))))]
        for run_id in group:
            open_packs = [pack for pack in dealt if len(pack) < size]
            min(open_packs, key=lambda pack: _total(pack, specs)).append(run_id)
        chunks += dealt
    return sorted(chunks, key=lambda chunk: -_total(chunk, specs))


def _total(pack: Sequence[str], specs: Mapping[str, RunSpec]) -> float:
    return sum(cost(specs[item]) for item in pack)
