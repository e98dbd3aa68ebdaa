"""Plan surfaces: an action for each, from the states of its chunks and of the runs it names. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from study.config.differences import labels
from study.config.run import RunSpec
from study.config.surface import Surface
from study.launch.plan.state import WORK, Mode, TaskState, Verb
from study.measure.surface.lattice import chunks
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles, TaskFiles
from study.store.runs import RunStatus
from study.store.surfaces import sealed

Look = Callable[[TaskFiles], TaskState]


@dataclass(frozen=True)
class SurfaceAction:
    """What to do about one surface, and why."""

    surface: Surface
    files: SurfaceFiles
    title: str
    """Such as `plain-56 seed 0: random, 51 x 51`."""
    points: int
    """Of all chunks."""
    verb: Verb = "hold"
    reason: str = ""
    chunks: tuple[ChunkFiles, ...] = ()
    """To be measured now."""
    sealed: int = 0
    """Points of the chunks that are sealed."""
    state: str = "pending"
    """As of a task (`study.launch.plan.state`)."""


def plan_surfaces(
    surfaces: Mapping[str, Surface],
    specs: Mapping[str, RunSpec],
    runs: Mapping[str, RunFiles],
    disk: Mapping[str, RunStatus],
    look: Look,
    mode: Mode = "missing",
) -> list[SurfaceAction]:
    """One action for each surface, in order: `specs` are those of the centres, `runs` and `disk` the files and states of all
    runs that the surfaces name, and `look` gives a chunk's state."""
    names = labels(specs)
    actions = []
    for name, surface in surfaces.items():
        title, points = f"{names[surface.run]}: {surface.title}", sum(map(len, chunks(surface).values()))
        action = SurfaceAction(surface, runs[surface.run].surface(name), title, points)
        actions.append(_without_network(action, disk) or _decided(action, look, mode))
    return actions


def _without_network(action: SurfaceAction, disk: Mapping[str, RunStatus]) -> SurfaceAction | None:
    """The action if one of the networks is missing; None if all are trained."""
    for name in (action.surface.run, *action.surface.to):
        if name not in disk:
            return replace(action, reason=f"{name} no longer exists")
        state = disk[name].state
        if state == "diverged":
            return replace(action, verb="leave", reason=f"{name} has diverged, so it has no network", state="diverged")
        if state != "done":
            return replace(action, reason=f"{name} is not trained yet")
    return None


def _decided(action: SurfaceAction, look: Look, mode: Mode) -> SurfaceAction:
    if sealed(action.files) and mode != "force":
        return replace(action, verb="keep", reason="done", sealed=action.points, state="done")
    everything = chunks(action.surface)
    left = {key: action.files.chunk(key) for key in everything if not action.files.chunk(key).done.exists()}
    there = sum(len(points) for key, points in everything.items() if key not in left)
    action = replace(action, chunks=tuple(left.values()), sealed=there)
    if mode != "force" or not action.files.spec.exists():
        return _unfinished(action, look, mode)
    begun = _unfinished(action, look, "missing")
    if begun.state in ("running", "queued"):  # --mode force leaves them alone
        return replace(begun, verb="wait", reason=f"{begun.state}; --mode force never interrupts another process")
    redone = tuple(map(action.files.chunk, everything))
    return replace(action, verb="redo", reason="--mode force starts over", chunks=redone, sealed=0)


def _unfinished(action: SurfaceAction, look: Look, mode: Mode) -> SurfaceAction:
    states = {files: look(files) for files in action.chunks}
    work, reasons = [], {}
    for files, now in states.items():
        if now.state == "running":
            reasons["running"] = f"being measured on {now.disk.progress.get('host', 'another machine')}"
        elif now.queued:
            reasons["queued"] = now.queued
        elif now.state == "failed" and mode != "retry":
            reasons["failed"] = now.message
        else:
            work.append(files)
            if now.state == "unknown":
                reasons["unknown"] = now.message
    begun = action.sealed > 0 or any(now.disk.state != "pending" for now in states.values())
    state = next((state for state in ("running", "queued", "failed", "unknown") if state in reasons), "")
    state = state or ("interrupted" if begun else "pending")
    if work or not action.chunks:  # if all chunks are sealed, only the surface's own seal is missing
        verb: Verb = "start" if not begun else "retry" if mode == "retry" else "resume"
        words = [f"{action.sealed:,} of {action.points:,} points are measured" if begun else ""]
        words += [next((now.message for now in states.values() if now.job and now.message and not now.queued), "")]
        reason = "; ".join(filter(None, words)) or reasons.get("unknown", "")
    else:
        verb = "leave" if "failed" in reasons else "wait"
        reason = next(reasons[state] for state in ("failed", "running", "queued") if state in reasons)
    return replace(action, verb=verb, reason=reason, chunks=tuple(work), state=state)


def count(actions: Sequence[SurfaceAction], *verbs: Verb) -> int:
    """How many surfaces have one of these verbs; without any, those to be measured."""
    return sum(action.verb in (verbs or WORK) for action in actions)
