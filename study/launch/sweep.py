"""A sweep from plan to result: what has to be done, having it done, and what is shown for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from study.config.run import RunSpec
from study.config.sweep import Sweep
from study.errors import StudyError
from study.launch import origins
from study.launch.local import pool as local
from study.launch.machine import Executor, Machine, prepare_data
from study.launch.plan.runs import WORK, Action, Mode, packs, plan
from study.launch.slurm.where import places
from study.store import runs as store
from study.store.collect import Collected, states
from study.store.layout import SweepFiles, refuse_elsewhere
from study.store.lease import tidy
from study.store.reset import reset_run
from study.store.runs import RunStatus
from study.store.sweeps import kept, write_sweep

if TYPE_CHECKING:
    from study.launch.slurm.profile import Profile
    from study.launch.slurm.submit import Submission


@dataclass(frozen=True)
class Planned:
    """A sweep, where it lies, and what has to be done about each of its runs."""

    sweep: Sweep
    files: SweepFiles
    actions: list[Action]
    disk: Mapping[str, RunStatus]
    """The state of each run when it was planned."""

    @property
    def work(self) -> dict[str, RunSpec]:
        """The runs to train."""
        return {a.run_id: self.sweep.runs[a.run_id] for a in self.actions if a.verb in WORK}

    def count(self, *verbs: str) -> int:
        """How many runs have one of these verbs."""
        return sum(action.verb in verbs for action in self.actions)


def plan_sweep(sweep: Sweep, results: Path, mode: Mode = "missing") -> Planned:
    """Look at the disk, and at the queue where anything was submitted to one, and plan. Trains and submits nothing.

    Raises
    ------
    StudyError
        A run starts from one that is neither there nor in the sweep, or that can't be stretched so; or a link leads out of
        the results folder.
    """
    files = SweepFiles(results, sweep.name)
    files.refuse_elsewhere()
    runs = {run_id: files.run(run_id) for run_id in sweep.runs}
    refuse_elsewhere(runs.values())
    disk = states(runs, Collected(files))
    queued = {run_id: str(place) for run_id, place in places(results).items() if place.waiting}
    actions = plan(sweep.runs, disk, queued, mode)
    return Planned(sweep, files, origins.settle(actions, sweep.runs, disk, results), disk)


def submit(planned: Planned, machine: Machine, profile: Profile) -> Iterator[Submission]:
    """Hand a plan's work to the cluster; yields each array as it is accepted.

    Raises
    ------
    StudyError
        The cluster refused.
    """
    from study.launch.slurm import submit as slurm

    folders = _open_folders(planned)
    batches = [
        [folders[run_id] for run_id in pack] for pack in packs(list(folders), planned.work, profile.runs_per_gpu)
    ]
    content = f"up to {profile.runs_per_gpu} runs"
    yield from slurm.submit(planned.files, batches, profile, machine, content)


def check(planned: Planned, machine: Machine, profile: Profile) -> None:
    """All that can be wrong with a plan and its machine, before anything is written; has the data sets ready.

    Raises
    ------
    StudyError
        A data set cannot be had, no GPU is there where one is asked for, or the profile does not fit the runs.
    """
    if machine.executor == "slurm":
        _check_ranks(planned, profile)
    else:
        _pool(planned, machine)
    prepare_data(list(planned.work.values()), machine.data_root)


def _pool(planned: Planned, machine: Machine) -> local.Pool:
    return local.pool(len(planned.sweep.runs), machine.device, machine.workers, machine.threads)


def execute(planned: Planned, machine: Machine, view: local.View) -> tuple[dict[str, str], bool]:
    """Train what a plan says, and collect. Returns as `study.launch.local.pool.train`."""
    from study.store.collect import collect

    work = planned.work
    shape = _pool(planned, machine)
    folders = _open_folders(planned)
    grouped = packs(list(work), work, shape.pack_size, len(shape.devices))
    batches = [[folders[run_id] for run_id in pack] for pack in grouped]
    job = local.Job(machine.data_root, machine.checkpoint_seconds, machine.watchdog)
    if machine.executor == "debug":
        result = local.train_here(batches, shape, job, view)
    else:
        result = local.train(batches, shape, job, view)
    collect(planned.files)
    return result


def record(planned: Planned) -> int:
    """Note on disk what the sweep names, so that every other verb finds it by its name; and remove what processes that were
    killed left beside its results.

    Runs that were begun under its name before stay part of it; returns how many those are that it does not name now.

    Raises
    ------
    StudyError
        Results of other runs would be lost, of which only the tables are there.
    """
    before = kept(planned.files, planned.sweep.whole.keys())
    write_sweep(planned.files, planned.sweep, before)
    for action in planned.actions:
        if action.verb == "keep":
            tidy(planned.files.run(action.run_id))
    return len(before.runs)


def _open_folders(planned: Planned) -> dict[str, Path]:
    """Have a folder with its spec for each run to train."""
    folders = {}
    for action in planned.actions:
        if action.verb not in WORK:
            continue
        files = planned.files.run(action.run_id)
        if action.verb == "redo":
            reset_run(files)
        store.write_spec(files, planned.sweep.runs[action.run_id])
        folders[action.run_id] = files.folder
    return folders


def _check_ranks(planned: Planned, profile: Profile) -> None:
    if profile.ranks > 1 and profile.runs_per_gpu > 1:
        raise StudyError(
            "the profile has both gpus_per_run or nodes, and runs_per_gpu: a run has several GPUs or a share of one"
        )
    for spec in planned.work.values():
        if spec.recipe.bn_groups % profile.ranks:
            raise StudyError(
                f"{spec.title}: {profile.ranks} GPUs a run need recipe.bn_groups={profile.ranks} or a multiple, not "
                f"{spec.recipe.bn_groups}: BN sees one device's part of each batch, and that is part of what is trained"
            )


def choose_executor(executor: Executor) -> Executor:
    """`auto` is SLURM on a cluster, else this machine."""
    if executor != "auto":
        return executor
    from study.launch.slurm.queue import on_a_cluster

    return "slurm" if on_a_cluster() else "local"
