"""Sweeps: plan the runs, compare their images, check the machine, and open the folders of the runs to train."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from study.config import Executor, Mode
from study.config.run import FOLDERS, RunSpec
from study.config.sweep import Sweep
from study.data import Survey, survey
from study.errors import StudyError
from study.launch.local.pool import pool
from study.launch.machine import Machine, images_of, prepare_data
from study.launch.plan.runs import by_seed, hold_dependents, missing_measurements, packs
from study.launch.plan.state import WORK, Action, decide, plan
from study.launch.slurm.profile import Profile
from study.launch.slurm.queue import need_a_cluster, on_a_cluster
from study.launch.slurm.submissions import places
from study.networks.count import SHAPING, measured, own_parts
from study.networks.count import counted as count_layers
from study.store import runs as store
from study.store.collect import Results
from study.store.files import peek_json
from study.store.housekeeping import reset_run
from study.store.layout import SweepFiles, refuse_links
from study.store.lease import tidy
from study.store.sweeps import kept, write_sweep
from study.text import counted


@dataclass(frozen=True)
class Planned:
    """A sweep, its files, and what to do about each of its runs."""

    sweep: Sweep
    files: SweepFiles
    actions: list[Action]
    lacking: dict[str, str]
    """What finished runs did not measure or keep, though the sweep asks for it."""
    seeds_first: bool = False
    """Train the first seed of each point before any second one."""

    @property
    def work(self) -> dict[str, RunSpec]:
        """The runs to train."""
        return {a.run_id: self.sweep.runs[a.run_id] for a in self.actions if a.verb in WORK}

    def packs(self, size: int, workers: int = 1) -> list[list[str]]:
        """The runs to train, in packs and in order: the longest first, as `study.launch.plan.runs.packs`."""
        work = self.work
        rounds = by_seed(work, self.sweep.whole) if self.seeds_first else [list(work)]
        return [pack for part in rounds for pack in packs(part, work, size, workers)]


def plan_sweep(
    sweep: Sweep, results: Path, mode: Mode = "missing", seeds_first: bool = False, stop_at_chance: float | None = None
) -> Planned:
    """Plan from the disk, and from the queue if anything was submitted to one. Trains and submits nothing.

    A run that was stopped at chance earlier than `stop_at_chance` has it, a share of its iterations, is unfinished.
    """
    files = SweepFiles(results, sweep.name)
    runs = {run_id: files.run(run_id) for run_id in sweep.runs}
    folders = [run.folder for run in runs.values()]
    refuse_links(results, [files.folder, *{f.parent for f in folders}, *(f for f in folders if f.is_symlink())])
    disk = Results(files).states(runs)
    for run_id, now in disk.items():
        enough = math.inf if stop_at_chance is None else stop_at_chance * sweep.runs[run_id].recipe.iterations
        if now.state == "at_chance" and now.iteration < enough:
            at = store.checkpointed(runs[run_id])
            disk[run_id] = replace(now, state="interrupted", iteration=at, message="was stopped at chance")
    where = places(results)
    states = [decide(now, where.get(run_id)) for run_id, now in disk.items()]
    actions = hold_dependents(plan(states, mode), sweep.runs, results)
    return Planned(sweep, files, actions, _lacking(sweep, files, actions), seeds_first)


def _lacking(sweep: Sweep, files: SweepFiles, actions: Iterable[Action]) -> dict[str, str]:
    found = {}
    for action in actions:
        spec = sweep.runs[action.run_id]
        if action.verb == "keep" and (spec.probes or spec.snapshot_every is not None):
            with suppress(StudyError):  # a damaged spec is mended from the sweep
                if words := missing_measurements(store.read_spec(files.run(action.run_id)), spec):
                    found[action.run_id] = words
    return found


def compared(planned: Planned, root: Path) -> tuple[Planned, list[str]]:
    """The plan, with a remark on each result trained on other images, and lines on the data sets."""
    surveys: dict[tuple[Any, ...], Survey] = {}
    lines: dict[str, None] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    actions = []
    for action in planned.actions:
        spec = planned.sweep.runs[action.run_id]
        key = (spec.data, spec.train_subset, spec.train_subset_seed)
        begun = action.verb in ("keep", "resume")
        if key not in surveys and (spec.data.name in FOLDERS or begun):
            surveys[key] = Survey()
            subset: dict[str, Any] = {"train_subset": spec.train_subset, "train_subset_seed": spec.train_subset_seed}
            try:
                surveys[key] = survey(spec.data.name, root, **spec.data.options, **subset)
            except StudyError as error:
                if action.verb in WORK:
                    lines[f"note: {error}"] = None
            if surveys[key].summary:
                lines[f"{spec.dataset}: {surveys[key].summary}"] = None
        if begun and (words := _difference(action.disk.data_digest, surveys[key])):
            counts[spec.dataset, words, action.verb] += 1
            action = replace(action, reason=f"{action.reason}, {words}")
        actions.append(action)
    for (dataset, words, verb), count in counts.items():
        runs = counted(count, "finished run" if verb == "keep" else "interrupted run")
        end = "be averaged or paired with new ones" if verb == "keep" else "go on with others"
        told = f"note: {dataset}: {runs} {words}, and will not {end}; `--mode force` trains again"
        lines[f"{told}, or give the new images a folder of their own"] = None
    return replace(planned, actions=actions), [*lines, *code_changes(planned)]


def _difference(before: str | None, now: Survey) -> str:
    if before is None or now.fingerprint == before:
        return ""
    if now.fingerprint:
        return "trained on different images"
    return "trained before image files were changed" if now.changed else ""


def check(planned: Planned, machine: Machine, profile: Profile) -> None:
    """Check a plan, its machine and its profile before anything is written, and get the data sets ready."""
    if machine.device == "mps" and (probed := next((spec for spec in planned.work.values() if spec.probes), None)):
        raise StudyError(
            f"{probed.title}: probes need float64, which Apple's GPUs lack; measure later: `probes=null`, then `study probe`"
        )
    if machine.executor == "slurm":
        need_a_cluster()
        _check_ranks(planned, profile)
    else:
        pool(machine, len(planned.sweep.runs))
    prepare_data(list(planned.work.values()), machine.data_root)
    _try_own(planned.work.values(), machine.data_root)


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


def _try_own(specs: Iterable[RunSpec], root: Path) -> None:
    """Try the user's own code of each kind of network and recipe: nothing starts that cannot be built or take a step."""
    tried: set[str] = set()
    for spec in specs:
        network = str([spec.network, spec.depth, spec.data, *(getattr(spec, field) for field in SHAPING)])
        step = network + str([spec.initialisation, spec.recipe.optimizer, spec.recipe.schedule])
        if measured(spec) and network not in tried:
            count_layers(spec, *images_of(spec, root))
        if own_parts(spec).keys() & {"initialisation", "optimizer", "schedule"} and step not in tried:
            from study.training.start import try_step  # late: it needs torch

            try_step(spec, *images_of(spec, root))
        tried |= {network, step}


def code_changes(planned: Planned) -> list[str]:
    """A line for each component of the user's own whose code is not that of runs that were begun under this name."""
    before = peek_json(planned.files.sweep)
    codes: dict[tuple[str, str], set[str]] = {}
    for fields in before.get("runs", {}).values():
        for name, value in (fields | fields.get("recipe", {})).items():
            if isinstance(value, Mapping) and "code" in value:
                codes.setdefault((name, value["name"]), set()).add(value["code"])
    lines: dict[str, None] = {}
    for spec in planned.work.values():
        for name, chosen in (*spec, *spec.recipe):
            old = codes.get((name, getattr(chosen, "name", "")), set())
            if old and chosen.code not in old:
                lines[
                    f"note: {name} {chosen.name}: its code changed since earlier runs, so its networks are new runs"
                ] = None
    return list(lines)


def record(planned: Planned) -> int:
    """Record the sweep on disk, for all other verbs, and remove what killed processes left beside its results.

    Runs trained earlier under its name stay part of it; returns how many of them it no longer names.
    """
    before = kept(planned.files, planned.sweep.whole.keys())
    write_sweep(planned.files, planned.sweep, before)
    for action in planned.actions:
        if action.verb == "keep":
            tidy(planned.files.run(action.run_id))
    return len(before["runs"])


def open_packs(planned: Planned, size: int, workers: int = 1) -> list[list[Path]]:
    """Create a folder with its spec for each run to train; the folders, in packs of at most `size`."""
    folders = {}
    for action in planned.actions:
        if action.verb not in WORK:
            continue
        files = planned.files.run(action.run_id)
        if action.verb == "redo":
            reset_run(files)
        store.reopen(files)
        store.write_spec(files, planned.sweep.runs[action.run_id])
        folders[action.run_id] = files.folder
    return [[folders[run_id] for run_id in pack] for pack in planned.packs(size, workers)]


def choose_executor(executor: Executor) -> Executor:
    """`auto` is SLURM on a cluster, else this machine."""
    return executor if executor != "auto" else "slurm" if on_a_cluster() else "local"
