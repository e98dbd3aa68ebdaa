"""What surfaces need done: an action for each, from what is on disk and in the queue. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from study.config.differences import labels
from study.config.run import RunSpec
from study.config.surface import Surface
from study.launch.plan.runs import WORK, Mode, Verb
from study.launch.rounds import known
from study.measure.surface.lattice import chunks
from study.store import runs as store
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles
from study.store.surfaces import sealed


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
    state: str = "pending"
    """As of a run (`study.store.runs.State`); `queued` where a scheduler holds the rest."""


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
    names = labels(specs)
    actions = []
    for name, surface in surfaces.items():
        title = f"{names[surface.run]}: {surface.title}"
        action = SurfaceAction(surface, runs[surface.run].surface(name), title, "hold")
        actions.append(_decided(action, runs, mode, queued or {}))
    return actions


def _decided(
    action: SurfaceAction, runs: Mapping[str, RunFiles], mode: Mode, queued: Mapping[str, str]
) -> SurfaceAction:
    for name in (action.surface.run, *action.surface.to):
        if name not in runs:
            return replace(action, reason=f"{name} is not there any more")
        state = store.status(runs[name]).state
        if state == "diverged":
            return replace(action, verb="leave", reason=f"{name} has diverged: there is no network", state="diverged")
        if state != "done":
            return replace(action, verb="hold", reason=f"{name} is not trained yet")
    if sealed(action.files) and mode != "force":
        points = sum(map(len, known(action.files, action.surface)[0].values()))
        return replace(action, verb="keep", reason="done", points=points, sealed=points, state="done")
    if mode == "force" and action.files.spec.exists():
        begun = _to_go_on(_unsealed(action), "missing", queued)
        if begun.state in ("running", "queued"):  # what others are at must not be taken from them
            return replace(begun, verb="wait", reason=f"{begun.state}; --mode force starts over what nobody is at")
        return _over_again(action)
    return _to_go_on(_unsealed(action), mode, queued)


def _unsealed(action: SurfaceAction) -> SurfaceAction:
    """With the chunks that are not through, and how many points there are."""
    there, _ = known(action.files, action.surface)
    left = {key: action.files.chunk(key) for key in there}
    left = {key: files for key, files in left.items() if not files.done.exists()}
    sealed = sum(len(points) for key, points in there.items() if key not in left)
    return replace(action, chunks=tuple(left.values()), points=sum(map(len, there.values())), sealed=sealed)


def _over_again(action: SurfaceAction) -> SurfaceAction:
    """With the chunks of a surface of which nothing is measured: its refinements are not known then."""
    fresh = dict(chunks(action.surface, lambda level: None))
    return replace(
        action,
        verb="redo",
        reason="--mode force starts over",
        chunks=tuple(map(action.files.chunk, fresh)),
        points=sum(map(len, fresh.values())),
    )


def _to_go_on(action: SurfaceAction, mode: Mode, queued: Mapping[str, str]) -> SurfaceAction:
    work, reasons = [], {}
    states = {files: store.status(files) for files in action.chunks}
    for files, now in states.items():
        if now.state == "running":
            reasons["running"] = f"being measured on {now.progress.get('host', 'another machine')}"
        elif files.run_id in queued:
            reasons["queued"] = queued[files.run_id]
        elif now.state == "failed" and mode != "retry":
            reasons["failed"] = now.message
        else:
            work.append(files)
    begun = action.sealed > 0 or any(now.state != "pending" for now in states.values())
    state = next((state for state in ("running", "queued", "failed") if state in reasons), "")
    state = state or ("interrupted" if begun else "pending")
    if work or not action.chunks:  # all through, and only to be sealed
        verb: Verb = "start" if not begun else "retry" if mode == "retry" else "resume"
        reason = f"{action.sealed:,} of {action.points:,} points are there" if begun else ""
    else:
        verb = "leave" if "failed" in reasons else "wait"
        reason = next(reasons[state] for state in ("failed", "running", "queued") if state in reasons)
    return replace(action, verb=verb, reason=reason, chunks=tuple(work), state=state)


def count(actions: Sequence[SurfaceAction], *verbs: Verb) -> int:
    """How many surfaces have one of these verbs; without any, those to be measured."""
    return sum(action.verb in (verbs or WORK) for action in actions)
