"""Housekeeping of a results folder: what takes space, and resetting, pruning, removing and renaming what nobody works on.

What changes something holds the leases of what it touches. The functions of verbs yield a line for each step, and with
`dry_run` change nothing. If one is killed, the same call completes it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from study.config.fields import NAME_RULE, shown, sweep_name
from study.errors import StudyError
from study.store import lease
from study.store.collect import collect
from study.store.files import DamagedError, discard, move, read_json, remove, sweep_away_temporaries, write_json
from study.store.find import of_runs, run_of_point
from study.store.layout import RunFiles, SurfaceFiles, SweepFiles, TaskFiles, refuse_links
from study.store.runs import ENDED, status
from study.store.surfaces import read_spec, sealed
from study.store.sweeps import read_sweep, records
from study.text import counted

Queued = Mapping[str, str]
"""Where a scheduler holds tasks, by their ids, and what to do about it."""

# -- disk usage ---------------------------------------------------------------------------------------------------------

KINDS = ("curves", "checkpoints", "snapshots", "surfaces", "other")


def usage(folder: Path, by_run: bool) -> dict[str, Counter[str]]:
    """Bytes of each kind: by sweep for a results folder; or for a sweep's folder by run, and `(shared)` for all else."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for place, _, names in os.walk(folder):
        parts = [*Path(place).relative_to(folder).parts, "", ""]
        row, inner = (parts[1] if parts[0] == "runs" else "", parts[0]) if by_run else parts[:2]
        row = "(leftovers)" if row.startswith(".") else row or "(shared)"
        for name in names:
            kind = "surfaces" if inner == "surfaces" else re.split(r"\W", name)[0]
            kind = next((known for known in KINDS if known in (kind, f"{kind}s")), "other")
            with suppress(OSError):  # it is gone by now
                found[row][kind] += (Path(place) / name).lstat().st_size
    return found


# -- what may be touched ------------------------------------------------------------------------------------------------


@contextmanager
def holding(
    tasks: Sequence[TaskFiles], queued: Queued | None = None, dry_run: bool = False
) -> Iterator[dict[str, lease.Lease]]:
    """Hold the leases of tasks. Raises StudyError if one is being trained or measured, or a scheduler holds it."""
    here = {task.run_id: task for task in tasks if task.folder.exists()}  # a claim would make the others
    held = {} if dry_run else lease.claim_all(here.values())
    try:
        for name, task in here.items():
            if where := (queued or {}).get(name):
                raise StudyError(f"{name}: {where}; nothing was changed")
            holder = None if name in held else lease.holder(task)
            if holder or not (dry_run or name in held):
                who = f" by process {holder.get('pid')} on {holder.get('host')}" if holder else ""
                raise StudyError(f"{name} is being trained or measured{who}; end that first; nothing was changed")
        for own in held.values():
            sweep_away_temporaries(own.files.folder)
        yield held
    finally:
        for own in held.values():
            own.release()


def _size(folder: Path) -> str:
    return decimal(sum(kinds.total() for kinds in usage(folder, by_run=True).values()))


def _surfaces(files: SweepFiles) -> list[SurfaceFiles]:
    return [SurfaceFiles(path) for path in sorted(files.folder.glob("surfaces/*")) if path.is_dir()]


def tasks_of(units: Iterable[RunFiles | SurfaceFiles]) -> list[TaskFiles]:
    """Runs, surfaces, and the chunks of these."""
    parts = ((unit, *(unit.chunks() if isinstance(unit, SurfaceFiles) else ())) for unit in units)
    return [task for part in parts for task in part]


def _all_tasks(files: SweepFiles) -> list[TaskFiles]:
    """Every task in a sweep's folder, half-written ones too."""
    refuse_links(files.results, [files.folder])
    if files.folder.is_symlink():
        raise StudyError(f"{files.folder}: is a link to {files.folder.readlink()}; name that, or `unlink` it")
    lease.refuse_kept([files.folder])
    runs = [RunFiles(path) for path in sorted(files.runs.glob("*")) if path.is_dir()]
    return tasks_of([*runs, *_surfaces(files)])


def _moved(path: Path, target: Path, held: Mapping[str, lease.Lease]) -> None:
    move(path, target)
    for own in held.values():
        if own.files.folder.is_relative_to(path):
            own.files = type(own.files)(target / own.files.folder.relative_to(path))


def origins(results: Path) -> dict[str, str]:
    """The runs that others, which have not begun, start from; and such a one."""
    found: dict[str, str] = {}
    for files, record in records(results):
        for name, fields in record["runs"].items():
            run, point = files.run(name), fields.get("start_from")
            begins = point and not run.done.exists() and not run.checkpoints()
            if begins and (origin := run_of_point(results, point, fields["seed"])):
                found[origin.run_id] = f"{name} in {files.name} starts from it"
    return found


def _missed(results: Path, names: Container[str]) -> Iterator[str]:
    yield from (f"note: {name}: {why}, and cannot then" for name, why in origins(results).items() if name in names)


def needed(results: Path) -> dict[str, str]:
    """The runs whose networks unfinished runs or surfaces need, and why."""
    surfaces: dict[str, Mapping[str, Any]] = {}
    for files, record in records(results):
        surfaces |= record.get("surfaces", {})
        for surface in _surfaces(files):
            with suppress(DamagedError):
                surfaces[surface.run_id] = read_json(surface.spec) or {}
    found, anywhere = origins(results), SweepFiles(results, "")
    for name, fields in surfaces.items():
        centre = fields.get("run")
        if centre and not sealed(anywhere.run(centre).surface(name)):
            found |= dict.fromkeys((centre, *fields.get("to", ())), f"the surface {name} is not measured yet")
    return found


# -- reset --------------------------------------------------------------------------------------------------------------


def reset_run(files: RunFiles) -> None:
    """Remove a run's result, checkpoints, snapshots and surfaces, but not its attempts and log."""
    around = []
    for surface in files.surfaces():
        with suppress(StudyError):
            spec = read_spec(surface)
            around += [surface] if files.run_id in (spec.run, *spec.to) else []
    with holding(tasks_of([files, *around])):
        for surface in around:
            _forget(surface)
        # The seal goes first: if this is cut short, the run shows as interrupted, never as done without its files.
        networks = (*files.checkpoints(), *files.snapshots(), *files.certificates())
        for path in (files.done, files.failed, *networks, files.curves, files.probes):
            remove(path)


def reset_surface(files: SurfaceFiles) -> None:
    """Remove all measurements of a surface; raises `StudyError` if another process is measuring it."""
    with holding(tasks_of([files])):
        _forget(files)


def _forget(files: SurfaceFiles) -> None:
    remove(files.done)  # first: if this is cut short, the surface is not done
    for path in (files.table, files.failed, files.facts, *files.planes()):
        remove(path)
    shutil.rmtree(files.folder / "chunks", ignore_errors=True)


# -- prune --------------------------------------------------------------------------------------------------------------


def prune(runs: Iterable[RunFiles], spared: Mapping[str, str], queued: Queued, dry_run: bool) -> Iterator[str]:
    """Remove the checkpoints of finished runs, except those in `spared`, and those somebody works on."""
    freed, pruned = 0, 0
    for run in runs:
        if not (checkpoints := run.checkpoints()) or status(run).state not in ENDED:
            continue
        if run.run_id in spared:
            yield f"kept: {run.run_id}: {spared[run.run_id]} (--all removes it too)"
            continue
        try:
            with holding([run], queued, dry_run):
                freed += sum(path.stat().st_size for path in checkpoints)
                for path in [] if dry_run else reversed(checkpoints):  # an older one must not pass for the last
                    remove(path)
        except StudyError as error:
            yield f"kept: {error}"
            continue
        pruned += 1
    yield f"checkpoints of {counted(pruned, 'finished run')} {'would be ' * dry_run}removed: {decimal(freed)}"
    if pruned:
        uses = "`study surface`, `study probe`, `study embed`, `start_from` and `study.load_network`"
        yield f"without them {uses} cannot use these runs, and a damaged curve can only be trained again (--mode force)"


# -- remove -------------------------------------------------------------------------------------------------------------


def remove_sweep(files: SweepFiles, queued: Queued, dry_run: bool) -> Iterator[str]:
    """Remove a sweep's folder. Runs in it that other sweeps name move to one of these, with their surfaces."""
    shared: dict[str, SweepFiles] = {}
    for other, record in records(files.results):
        lacks = [name for name in record["runs"] if not RunFiles(other.runs / name).spec.exists()]
        shared = {name: other for name in lacks if RunFiles(files.runs / name).spec.exists()} | shared
    with holding(_all_tasks(files), queued, dry_run) as held:
        for name, other in shared.items():
            run = RunFiles(files.runs / name)
            yield f"{name} {'would move' if dry_run else 'moves'} to {other.name}, which names it too"
            for folder in [] if dry_run else [*(surface.folder for surface in of_runs([run])), run.folder]:
                target = other.folder / folder.parent.name / folder.name
                if target.exists():  # without a spec, so that the one here counted
                    discard(target, files.results)
                _moved(folder, target, held)
        yield from _missed(files.results, {path.name for path in files.runs.glob("*")} - shared.keys())
        yield f"{files.folder}/ {'would be ' * dry_run}removed: {_size(files.folder)}"
        if not dry_run:
            discard(files.folder, files.results)


def remove_runs(runs: Sequence[RunFiles], queued: Queued, dry_run: bool) -> Iterator[str]:
    """Remove runs with their surfaces, and from the record and the tables of each sweep that names them."""
    names, results, around = {run.run_id for run in runs}, runs[0].results, of_runs(runs)
    lease.refuse_kept({run.folder.parent.parent for run in runs})
    with holding(tasks_of([*around, *runs]), queued, dry_run):
        naming = [(files, record) for files, record in records(results) if names & record["runs"].keys()]
        for files, record in [] if dry_run else naming:  # first: what is on disk can be found and removed later
            left = {name: fields for name, fields in record["runs"].items() if name not in names}
            rest = {name: one for name, one in record.get("surfaces", {}).items() if one["run"] not in names}
            write_json(files.sweep, record | {"runs": left} | ({"surfaces": rest} if "surfaces" in record else {}))
        yield from _missed(results, names)
        for run in runs:
            theirs = [files.name for files, record in naming if run.run_id in record["runs"]]
            yield f"{run.run_id} {'would be ' * dry_run}removed: {_size(run.folder)}, named by {', '.join(theirs) or 'none'}"
        for folder in [] if dry_run else [unit.folder for unit in (*around, *runs)]:
            discard(folder, results)
    for files, _ in [] if dry_run else naming:
        collect(files, afresh=False)


# -- rename -------------------------------------------------------------------------------------------------------------


def rename(files: SweepFiles, new: str, queued: Queued, dry_run: bool) -> Iterator[str]:
    """Rename a sweep: first its record, then its folder."""
    if (name := sweep_name(new)) is None:
        raise StudyError(f"{shown(new)}: the name of a sweep must be text of {NAME_RULE}")
    target = SweepFiles(files.results, name)
    record = {} if files.runs_table.exists() and not files.sweep.exists() else read_sweep(files)
    if target.folder.exists():
        raise StudyError(f"{target.folder}/ exists; give another name, or move that away first")
    with holding(_all_tasks(files), queued, dry_run) as held:
        yield f"{files.folder}/ {'would be ' * dry_run}renamed {target.folder}/"
        words = [word for word in shlex.split(record.get("command") or "") if not word.startswith("name=")]
        command = shlex.join([*words, f"name={name}"]) if words else ""
        if not dry_run:
            if record:
                write_json(files.sweep, record | {"name": name, "command": command})
            _moved(files.folder, target.folder, held)
    if record and not dry_run:
        collect(target, afresh=False)
        yield f"to continue it: {command or f'study sweep FILE name={name}'}"
