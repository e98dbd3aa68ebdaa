"""Plan surfaces: an action for each, from the states of its chunks and of the runs it names. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from study.config import Mode
from study.config.differences import labels
from study.config.run import RunSpec
from study.config.surface import Surface
from study.launch.plan.state import WORK, TaskState, Verb, decide, plan
from study.launch.slurm.submissions import Place, places
from study.measure.surface.lattice import chunks
from study.store.collect import Results
from study.store.find import all_runs
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles, SweepFiles
from study.store.runs import LOST, RunStatus, status
from study.store.surfaces import sealed


@dataclass(frozen=True)
class SurfaceAction:
    """What to do about one surface, and why."""

    surface: Surface
    files: SurfaceFiles
    title: str
    """Such as `plain-56 seed 0: random, 51 x 51`."""
    points: int
    verb: Verb = "hold"
    reason: str = ""
    chunks: tuple[ChunkFiles, ...] = ()
    sealed: int = 0
    """Points of the chunks that are sealed."""
    state: str = "pending"
    """As of a task (`study.launch.plan.state`)."""


@dataclass(frozen=True)
class SurfaceRequest:
    """Surfaces to measure, the specs of their centres, and all runs that they may name."""

    files: SweepFiles
    surfaces: Mapping[str, Surface]
    specs: Mapping[str, RunSpec]
    runs: Mapping[str, RunFiles]

    def plan(
        self, mode: Mode = "missing", where: Mapping[str, Place] | None = None, trouble: str = ""
    ) -> list[SurfaceAction]:
        """One action for each surface, in order."""
        queue = places(self.files.results) if where is None else where
        named = {name for surface in self.surfaces.values() for name in (surface.run, *surface.to)}
        disk = Results(self.files).states({name: self.runs[name] for name in named if name in self.runs})
        names = labels(self.specs)

        def look(chunk: ChunkFiles) -> TaskState:
            return decide(status(chunk), queue.get(chunk.run_id), trouble)

        actions = []
        for name, surface in self.surfaces.items():
            title, points = f"{names[surface.run]}: {surface.title}", sum(map(len, chunks(surface).values()))
            action = SurfaceAction(surface, self.runs[surface.run].surface(name), title, points)
            actions.append(_without_network(action, disk) or _decided(action, look, mode))
        return actions

    @property
    def chunks(self) -> int:
        """How many chunks all these surfaces have."""
        return sum(len(chunks(surface)) for surface in self.surfaces.values())


def of_sweep(files: SweepFiles, surfaces: Mapping[str, Surface], specs: Mapping[str, RunSpec]) -> SurfaceRequest:
    """Surfaces of a sweep's runs, some of which may not be on disk yet."""
    # A sweep's own runs have the last word: a copy of its folder, kept beside it, has runs of the same ids.
    return SurfaceRequest(files, surfaces, specs, all_runs(files.results) | {name: files.run(name) for name in specs})


def _without_network(action: SurfaceAction, disk: Mapping[str, RunStatus]) -> SurfaceAction | None:
    """The action if one of the networks is missing; None if all are trained."""
    for name in (action.surface.run, *action.surface.to):
        if name not in disk:
            return replace(action, reason=f"{name} no longer exists")
        state = disk[name].state
        if state in LOST:
            return replace(action, verb="leave", reason=f"{name} {LOST[state]}, so it has no network", state=state)
        if state != "done":
            return replace(action, reason=f"{name} is not trained yet")
    return None


def _decided(action: SurfaceAction, look: Callable[[ChunkFiles], TaskState], mode: Mode) -> SurfaceAction:
    """The action if all networks are trained, from those of its chunks."""
    if sealed(action.files) and mode != "force":
        return replace(action, verb="keep", reason="done", sealed=action.points, state="done")
    everything = chunks(action.surface)
    left = [chunk for key in everything if not (chunk := action.files.chunk(key)).done.exists()]
    tasks = [look(chunk) for chunk in left]
    decided = list(zip(left, tasks, plan(tasks, "missing" if mode == "force" else mode), strict=True))
    work = tuple(chunk for chunk, _, own in decided if own.verb in WORK)
    there = action.points - sum(len(everything[chunk.key]) for chunk in left)
    begun = there > 0 or any(task.disk.state != "pending" for task in tasks)
    found = {task.state for _, task, own in decided if own.verb not in WORK or task.state == "unknown"}
    state = next((state for state in ("running", "queued", "failed", "unknown") if state in found), "")
    state = state or ("interrupted" if begun else "pending")
    action = replace(action, chunks=work, sealed=there, state=state)
    if mode == "force" and action.files.spec.exists():
        if busy := next((own.reason for _, _, own in decided if own.verb == "wait"), ""):
            return replace(action, verb="wait", reason=f"{busy}; --mode force never interrupts another process")
        every = tuple(map(action.files.chunk, everything))
        return replace(action, verb="redo", reason="--mode force starts over", chunks=every, sealed=0, state="pending")
    if work or not left:  # if all chunks are sealed, only the surface's own seal is missing
        verb: Verb = "start" if not begun else "retry" if mode == "retry" else "resume"
        words = [f"{there:,} of {action.points:,} points are measured" if begun else ""]
        words += [next((task.message for task in tasks if task.job and task.message and not task.queued), "")]
        unknown = next((task.message for task in tasks if task.state == "unknown"), "")
        return replace(action, verb=verb, reason="; ".join(filter(None, words)) or unknown)
    verb = "leave" if any(own.verb == "leave" for _, _, own in decided) else "wait"
    return replace(action, verb=verb, reason=next(own.reason for _, _, own in decided if own.verb == verb))
