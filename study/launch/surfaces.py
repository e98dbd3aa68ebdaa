"""Surfaces from plan to table: which are asked for, what has to be done, having it done, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from pydantic import ValidationError

from study.config.run import RunSpec
from study.config.spread import expand
from study.config.surface import Surface, SurfaceEntry
from study.config.yaml import Document, scalar
from study.errors import StudyError
from study.launch.local import pool as local
from study.launch.machine import Machine, prepare_data
from study.launch.plan.runs import WORK, Mode
from study.launch.plan.surfaces import SurfaceAction, plan_surfaces
from study.launch.rounds import finish
from study.launch.slurm.where import places
from study.measure.recorded import contradiction
from study.measure.surface.lattice import chunks
from study.store import runs as store
from study.store import surfaces as surface_store
from study.store.files import read_checked
from study.store.find import all_runs, one_run
from study.store.layout import RunFiles, SweepFiles
from study.store.lease import tidy
from study.store.tables import read_table

if TYPE_CHECKING:
    from study.launch.slurm.profile import Profile
    from study.launch.slurm.submit import Place, Submission

CHUNKS_PER_JOB = 8
"""On a cluster, unless told otherwise: 512 points."""


@dataclass(frozen=True)
class Asked:
    """Surfaces that somebody wants, and the runs that they name."""

    files: SweepFiles
    surfaces: Mapping[str, Surface]
    specs: Mapping[str, RunSpec]
    runs: Mapping[str, RunFiles]

    def plan(self, mode: Mode = "missing", where: Mapping[str, Place] | None = None) -> list[SurfaceAction]:
        """What has to be done about each.

        Parameters
        ----------
        where
            What the queue says of chunks; None: ask it.

        Raises
        ------
        StudyError
            Something was submitted, and the cluster's controller does not answer.
        """
        where = places(self.files.results) if where is None else where
        queued = {name: str(place) for name, place in where.items() if place.waiting}
        return plan_surfaces(self.surfaces, self.specs, self.runs, mode, queued)


class _CommandLine(Document):
    """Settings that were given as options: they have no lines."""

    def place(self, path: tuple[str | int, ...]) -> str:
        return "study surface"


def asked(files: SweepFiles, settings: Mapping[str, Any], to: Sequence[str] = ()) -> Asked:
    """The surfaces of a sweep's runs, or of the one run that is called so.

    Parameters
    ----------
    settings
        As an entry of a sweep file's `surfaces`; without any, those that the sweep itself names, where it does.
    to
        The other runs of `plane: interpolate`: their ids, or `field=value` in which they differ from each centre.

    Raises
    ------
    StudyError
        Nothing is called so; a setting is wrong; there is no such other run.
    """
    sweep = store.read_sweep(files) if files.sweep.exists() else None
    there = all_runs(files.results)
    if sweep is None:
        run = one_run(files)
        specs = {run.run_id: store.read_spec(run)}
        files = SweepFiles(files.results, run.folder.parent.parent.name)
    else:
        specs = {name: store.checked_spec(fields, files.sweep) for name, fields in sweep["runs"].items()}
        if not settings and not to and sweep.get("surfaces"):
            return of_sweep(files, {k: Surface.model_validate(v) for k, v in sweep["surfaces"].items()}, specs)
    document = _CommandLine("study surface")
    ids = tuple(one_run(SweepFiles(files.results, text)).run_id for text in to if "=" not in text)
    changes = [_changes(text) for text in to if "=" in text]
    known = dict(specs)
    for name, run in there.items() if changes else ():
        with suppress(StudyError):  # of another version, or damaged: no run to join with
            known[name] = store.read_spec(run)
    try:
        entry = SurfaceEntry.model_validate({**settings, "to": [*ids, *changes]})
    except ValidationError as error:
        document.explain(error, {"": SurfaceEntry.model_fields})
        document.check()
        raise
    surfaces = expand(document, [entry], specs, known)
    document.check()
    return of_sweep(files, surfaces, specs)


def of_sweep(files: SweepFiles, surfaces: Mapping[str, Surface], specs: Mapping[str, RunSpec]) -> Asked:
    """Surfaces of a sweep's runs, some of which may not be on disk yet."""
    # A sweep's own runs have the last word: a copy of its folder, kept beside it, has runs of the same ids.
    return Asked(files, surfaces, specs, all_runs(files.results) | {name: files.run(name) for name in specs})


def _changes(text: str) -> dict[str, Any]:
    """`seed=1`, or `seed=1 depth=20`."""
    changes = {}
    for word in text.split():
        field, equals, value = word.partition("=")
        if not equals:
            raise StudyError(f"--to {text}: write it as field=value, e.g. seed=1, or name a run")
        changes[field] = scalar(value)
    return changes


# -- before anything is started -----------------------------------------------------------------------------------------


def check(actions: Sequence[SurfaceAction], asked: Asked, machine: Machine) -> dict[str, str]:
    """Have data sets and the runs' specs ready; by id, a line for each run whose network is not to be had.

    Where a cluster measures, the network's bytes are looked at, and no more: a login node imports no torch.

    Raises
    ------
    StudyError
        A data set cannot be had.
    """
    work = [action for action in actions if action.verb in WORK]
    prepare_data([asked.specs[action.surface.run] for action in work], machine.data_root)
    for name in {name for a in work for name in (a.surface.run, *a.surface.to)} & asked.specs.keys():
        store.write_spec(asked.runs[name], asked.specs[name])  # of a run that is through it may be gone or damaged
    look = _kept if machine.executor == "slurm" else _final
    wrong = {}
    for name in dict.fromkeys(name for a in work if not a.files.planes() for name in (a.surface.run, *a.surface.to)):
        try:
            look(asked.runs[name])
        except StudyError as error:
            wrong[name] = str(error)
    return wrong


def _final(run: RunFiles) -> None:
    from study.training.start import final  # late: torch

    final(run)


def _kept(run: RunFiles) -> None:
    for path in run.checkpoints():
        with suppress(OSError, ValueError):  # damaged: there may be one before it
            read_checked(path)
            return
    raise StudyError(f"{run.run_id} has no sound checkpoint any more; train it again with --mode force")


def sound(actions: Sequence[SurfaceAction], wrong: Mapping[str, str]) -> list[SurfaceAction]:
    """The actions without those that name a run of which `check` had something to say."""
    return [action for action in actions if not wrong.keys() & {action.surface.run, *action.surface.to}]


# -- having it done -------------------------------------------------------------------------------------------------------


def _opened(actions: Sequence[SurfaceAction]) -> list[SurfaceAction]:
    """Have a folder with its spec for each surface that is to be measured, and the seal of those that are; these surfaces."""
    work = [action for action in actions if action.verb in WORK]
    for action in work:
        if action.verb == "redo":
            surface_store.reset(action.files)
        surface_store.write_spec(action.files, action.surface)
        if not action.chunks:
            finish(action.files)
    return work


View = Callable[[Sequence[SurfaceAction]], AbstractContextManager[local.View]]


def execute(asked: Asked, actions: Sequence[SurfaceAction], machine: Machine, view: View) -> bool:
    """Measure on this machine, round after round; False when interrupted."""
    total = sum(1 for surface in asked.surfaces.values() for _ in chunks(surface, lambda level: None))
    shape = local.pool(total, machine.device, machine.workers, machine.threads)
    job = local.Job(machine.data_root, machine.checkpoint_seconds, machine.watchdog)
    run = local.train_here if machine.executor == "debug" else local.train
    while work := _opened(actions):
        batches = [[chunk.folder] for action in work for chunk in action.chunks]
        if batches:
            with view(work) as shown:
                _, complete = run(batches, shape, job, shown)
            if not complete:
                return False
        names = {action.files.run_id for action in work}  # what could not be begun is not tried again
        actions = [action for action in asked.plan() if action.files.run_id in names]
    return True


def submit(
    asked: Asked, actions: Sequence[SurfaceAction], machine: Machine, profile: Profile, jobs: int | None
) -> Iterator[Submission]:
    """Hand chunks to the cluster; yields each array as it is accepted. The chunks of a job are of one surface.

    Nothing is yielded where nothing but seals was missing.

    Parameters
    ----------
    jobs
        For each surface; None: one for every eight chunks.

    Raises
    ------
    StudyError
        The cluster refused.
    """
    from study.launch.slurm import submit as slurm

    batches = []
    for action in _opened(actions):
        folders = [chunk.folder for chunk in action.chunks]
        size = -(-len(folders) // jobs) if jobs else CHUNKS_PER_JOB
        batches += [folders[start : start + size] for start in range(0, len(folders), size)]
    if batches:
        content = f"up to {max(map(len, batches))} chunks of surfaces"
        alone = _alone(profile)
        yield from slurm.submit(asked.files, batches, alone, machine, content)


def _alone(profile: Profile) -> Profile:
    """A profile whose jobs have one task: chunks are shared out between jobs, never within one."""
    if profile.ranks == 1:
        return profile
    gpus = profile.gpus or int(profile.device != "cpu" and profile.gres is None)
    return profile.model_copy(update={"gpus_per_run": 1, "nodes": 1, "gpus": gpus})


def tidy_up(actions: Sequence[SurfaceAction]) -> None:
    """Remove what processes that were killed left with surfaces that are through, and with their chunks."""
    for action in actions:
        if action.verb == "keep":
            for task in (action.files, *action.files.chunks()):
                tidy(task)


# -- what is said of them -------------------------------------------------------------------------------------------------


def summary(action: SurfaceAction, run: RunFiles) -> str:
    """A line on a surface that is done: its losses at the centre, the lowest and the highest, of the training set as a rule."""
    table = read_table(action.files.table)
    split = action.surface.splits[0]
    plane = table.filter(pc.and_(pc.equal(table["split"], split), pc.is_null(table["iteration"])))
    losses = plane["loss"].to_pylist()
    finite = [loss for loss in losses if math.isfinite(loss)]
    words = [f"{split} loss {min(finite):.3g} to {max(finite):.3g}" if finite else f"no finite {split} loss"]
    if len(finite) < len(losses):
        words.append(f"no number at {len(losses) - len(finite)} points{_why(action.surface)}")
    centre = [row["loss"] for row in plane.to_pylist() if row["alpha"] == row["beta"] == 0.0]
    if centre:
        words.append(f"{centre[0]:.4g} at the centre{_beside(action, run, split)}")
    known = table.select(surface_store.FACTS).slice(0, 1).to_pylist()[0]
    of = "variance" if action.surface.centred else "way"
    for name, text in (("explained", f"{{:.0%}} of the {of} explained"), ("eigenvalue", "eigenvalue {:.3g}")):
        words += [text.format(value) for axis in "ab" if (value := known[f"{name}_{axis}"]) is not None]
    return f"{action.title}: {', '.join(words)}"


def doubts(action: SurfaceAction, run: RunFiles) -> list[str]:
    """Warnings where a surface that is done has another loss at its centre than the training recorded."""
    surface, found = action.surface, []
    if surface.bn != "frozen":
        return []
    for row in read_table(action.files.table).to_pylist():
        if row["alpha"] == row["beta"] == 0.0 and row["residual"] in (None, 0.0):
            images = row["images"] if row["split"] == "train" and surface.subset is not None else None
            found.append(contradiction(run, row["split"], row["loss"], images))
    return [warning for warning in dict.fromkeys(found) if warning]


def _why(surface: Surface) -> str:
    """Where a surface has no number by nature."""
    if surface.plane != "interpolate" or surface.bn != "frozen":
        return ""
    return " (BN's variances fall below zero beyond the networks; see --bn recalibrated)"


def _beside(action: SurfaceAction, run: RunFiles, split: str) -> str:
    """What the run itself recorded, where that is the same quantity."""
    surface = action.surface
    other = surface.subset is not None or surface.bn != "frozen"
    if other or surface.precision != store.read_spec(run).precision:
        return ""
    curve = read_table(run.curves)
    name = "train_clean" if split == "train" else "test"
    recorded = curve.filter(pc.equal(curve["split"], name))["loss"].to_pylist()
    return f" (in training: {recorded[-1]:.4g})" if recorded else ""
