"""Plan surfaces: an action for each, from the states of its chunks and of the runs it names. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from study.config.differences import labels
from study.config.run import RunSpec
from study.config.surface import Surface
from study.launch.plan.state import WORK, Mode, TaskState, Verb, plan
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
    """The action if all networks are trained, from those of its chunks."""
    if sealed(action.files) and mode != "force":
        return replace(action, verb="keep", reason="done", sealed=action.points, state="done")
    everything = chunks(action.surface)
    left = [chunk for key in everything if not (chunk := action.files.chunk(key)).done.exists()]
    tasks = [look(chunk) for chunk in left]
    decided = list(zip(left, tasks, plan(tasks, "missing" if mode == "force" else mode), strict=True))
    there = action.points - sum(len(everything[chunk.key]) for chunk in left)
    begun = there > 0 or any(task.disk.state != "pending" for task in tasks)
    work = tuple(chunk for chunk, _, own in decided if own.verb in WORK)
    found = {task.state for _, task, own in decided if own.verb not in WORK or task.state == "unknown"}
    state = next((state for state in ("running", "queued", "failed", "unknown") if state in found), "")
    state = state or ("interrupted" if begun else "pending")
    if mode == "force" and action.files.spec.exists():
        if state in ("running", "queued"):
            reason = f"{state}; --mode force never interrupts another process"
            return replace(action, verb="wait", reason=reason, chunks=work, sealed=there, state=state)
        return replace(
            action, verb="redo", reason="--mode force starts over", chunks=tuple(map(action.files.chunk, everything))
        )
    if work or not left:  # if all chunks are sealed, only the surface's own seal is missing
        verb: Verb = "start" if not begun else "retry" if mode == "retry" else "resume"
        words = [f"{there:,} of {action.points:,} points are measured" if begun else ""]
        words += [next((task.message for task in tasks if task.job and task.message and not task.queued), "")]
        unknown = next((task.message for task in tasks if task.state == "unknown"), "")
        reason = "; ".join(filter(None, words)) or unknown
    else:
        verb = "leave" if any(own.verb == "leave" for _, _, own in decided) else "wait"
        reason = next(own.reason for _, _, own in decided if own.verb == verb)
    return replace(action, verb=verb, reason=reason, chunks=work, sealed=there, state=state)


def count(actions: Sequence[SurfaceAction], *verbs: Verb) -> int:
    """How many surfaces have one of these verbs; without any, those to be measured."""
    return sum(action.verb in (verbs or WORK) for action in actions)
