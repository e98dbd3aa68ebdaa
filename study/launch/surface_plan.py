"""What surfaces need done: an action for each, from what is on disk and in the queue. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from study.launch.plan import WORK, Mode, Verb
from study.launch.rounds import known
from study.launch.view import label
from study.spec.run import RunSpec
from study.spec.surface import Surface
from study.store import runs as store
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles


@dataclass(frozen=True)
class SurfaceAction:
    """What is to be done about one surface, and why."""

    surface: Surface
    files: SurfaceFiles
    title: str
    """Such as `plain-56 seed 0: random, 51 x 51`."""
    verb: Verb
    reason: str = ""
    chunks: tuple[ChunkFiles, ...] = ()
    """To be measured now."""
    points: int = 0
    """Of the chunks that are known so far."""
    sealed: int = 0
    """Of these, the points whose chunks are through."""


def plan_surfaces(
    surfaces: Mapping[str, Surface],
    specs: Mapping[str, RunSpec],
    runs: Mapping[str, RunFiles],
    mode: Mode = "missing",
    queued: Mapping[str, str] | None = None,
) -> list[SurfaceAction]:
    """One action for each surface, in order.

    Parameters
    ----------
    surfaces
        By id.
    specs, runs
        Of the centres, and the files of all runs that the surfaces name, by run id.
    queued
        Chunks that a scheduler holds, and a word on where.
    """
    actions = []
    for name, surface in surfaces.items():
        title = f"{label(specs[surface.run])}: {surface.title}"
        action = SurfaceAction(surface, runs[surface.run].surface(name), title, "hold")
        actions.append(_decided(action, runs, mode, queued or {}))
    return actions


def all_runs(results: Path) -> dict[str, RunFiles]:
    """The files of every run under a results folder, by id."""
    return {path.parent.name: RunFiles(path.parent) for path in sorted(results.glob("*/runs/*/spec.json"))}


def _decided(
    action: SurfaceAction, runs: Mapping[str, RunFiles], mode: Mode, queued: Mapping[str, str]
) -> SurfaceAction:
    for name in (action.surface.run, *action.surface.to):
        state = store.status(runs[name]).state
        if state == "diverged":
            return replace(action, verb="leave", reason=f"{name} has diverged: there is no network")
        if state != "done":
            return replace(action, verb="hold", reason=f"{name} is not trained yet")
    if action.files.done.exists() and mode != "force":
        return replace(action, verb="keep", reason="done")
    if mode == "force" and action.files.spec.exists():
        fresh = _unsealed(replace(action, verb="redo", reason="--mode force starts over"))
        return replace(fresh, sealed=0)
    return _to_go_on(_unsealed(action), mode, queued)


def _unsealed(action: SurfaceAction) -> SurfaceAction:
    """With the chunks that are not through, and how many points there are."""
    chunks, _ = known(action.files, action.surface)
    left = {key: action.files.chunk(key) for key in chunks}
    left = {key: files for key, files in left.items() if action.verb == "redo" or not files.done.exists()}
    sealed = sum(len(points) for key, points in chunks.items() if key not in left)
    return replace(action, chunks=tuple(left.values()), points=sum(map(len, chunks.values())), sealed=sealed)


def _to_go_on(action: SurfaceAction, mode: Mode, queued: Mapping[str, str]) -> SurfaceAction:
    work, waiting, failed = [], "", ""
    begun = action.sealed > 0
    for files in action.chunks:
        now = store.status(files)
        begun = begun or now.state != "pending"
        if now.state == "running":
            waiting = f"being measured on {now.progress.get('host', 'another machine')}"
        elif files.run_id in queued:
            waiting = queued[files.run_id]
        elif now.state == "failed" and mode != "retry":
            failed = now.message
        else:
            work.append(files)
    verb: Verb = "leave" if failed else "wait"
    if work or not action.chunks:  # all through, and only to be sealed
        verb = "retry" if mode == "retry" and begun else "resume" if begun else "start"
    reason = f"{action.sealed:,} of {action.points:,} points are there" if verb in ("resume", "retry") else ""
    return replace(action, verb=verb, reason=failed or reason or waiting, chunks=tuple(work))


def count(actions: list[SurfaceAction], *verbs: Verb) -> int:
    """How many surfaces have one of these verbs; without any, those to be measured."""
    return sum(action.verb in (verbs or WORK) for action in actions)
