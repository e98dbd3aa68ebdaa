"""Merge results from other machines: runs and surfaces that are missing here are copied, verified, and appear whole.

Nothing is written where they come from. If a merge is killed, the same call completes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from study.config.fields import sweep_name
from study.config.imports import Code
from study.errors import StudyError
from study.store import lease
from study.store.collect import Results, collect
from study.store.files import (
    DamagedError,
    WriteError,
    discard,
    draft,
    move,
    read_checked,
    read_json,
    write_bytes,
    write_json,
)  # fmt: skip
from study.store.find import sweep_names
from study.store.housekeeping import holding, tasks_of
from study.store.layout import RunFiles, SurfaceFiles, SweepFiles, refuse_links
from study.store.runs import ENDED, check_sealed, seal, status, stored_spec
from study.store.surfaces import SURFACES, read_spec, sealed
from study.store.sweeps import RECORD, read_sweep
from study.store.tables import CURVES, PROBES, Table

Unit = RunFiles | SurfaceFiles


class Fate(NamedTuple):
    """What becomes of a run or surface, and why."""

    what: Literal["copied", "here already", "left out", "conflict"]
    name: str
    why: str = ""


def sources(folder: Path, results: Path) -> list[SweepFiles]:
    """The sweeps in a results folder other than `results`, or the one whose folder it is. Raises StudyError."""
    folder = folder.resolve()
    found = [SweepFiles(folder, name) for name in sweep_names(folder)]
    if (folder / "sweep.json").exists():
        found = [SweepFiles(folder.parent, folder.name)]
    if not found:
        raise StudyError(f"{folder}: has no sweeps; name a results folder, or the folder of a sweep in one")
    if found[0].results == results.resolve():
        raise StudyError(f"{folder}: is, or lies in, the folder to merge into; name the results of another machine")
    return found


def merge(theirs: SweepFiles, results: Path, dry_run: bool) -> Iterator[Fate]:
    """Merge a sweep into the one of its name under `results`; yields the fate of each run and surface."""
    ours, record = SweepFiles(results, theirs.name), read_sweep(theirs)
    if sweep_name(ours.name) != ours.name:
        raise StudyError(f"{theirs.folder}: has no name for a sweep; rename the folder")
    if not ours.sweep.exists() and ours.runs_table.exists():
        raise StudyError(f"{ours.folder}/ has collected tables alone; merge into another folder (--results)")
    parts = [record.get(key, {}) for key in ("runs", "surfaces")]
    if not all(isinstance(part, dict) and all(isinstance(one, dict) for one in part.values()) for part in parts):
        raise DamagedError(f"{theirs.sweep}: is no record of a sweep")
    refuse_links(results, [ours.folder])
    units: list[Unit] = [RunFiles(path) for path in sorted(theirs.folder.glob("runs/*"))]
    units += [SurfaceFiles(path) for path in sorted(theirs.folder.glob("surfaces/*"))]
    known, named = Results(ours), record["runs"]
    rows = known.collected(CURVES)
    gone = {
        name: _text(CURVES, rows.filter(pc.equal(rows["run_id"], name)))
        for name in known.gone({name: ours.run(name) for name in named})
    }
    for unit in units:
        try:
            yield _merged(unit, ours, gone, dry_run)
        except WriteError:
            raise
        except (StudyError, OSError) as error:
            yield Fate("left out", unit.run_id, str(error))
    for name in Results(theirs).gone({name: theirs.run(name) for name in named if name not in gone}):
        if not ours.run(name).spec.exists():
            yield Fate("left out", name, "is in the collected tables there alone; its folder is gone")
    if not dry_run:
        for path in sorted(theirs.components.glob("*.py")):
            code = Code(path)
            if path.stem.rpartition("-")[2] == code.digest and not (ours.components / path.name).exists():
                for file, content in reversed(code.modules.values()):
                    write_bytes(ours.components / file.relative_to(theirs.components), content)
        _record(ours, record)
        collect(ours, afresh=False)


def _record(ours: SweepFiles, theirs: dict[str, Any]) -> None:
    """Add what another record names to the one here; again if a sweep that started meanwhile wrote it."""
    while True:
        here = read_json(ours.sweep, RECORD) or {}
        both = {key: theirs.get(key, {}) | here.get(key, {}) for key in ("runs", "surfaces") if key in theirs | here}
        if (merged := theirs | here | both | {"name": ours.name}) == here:
            return
        try:
            write_json(ours.sweep, merged)
        except ValueError:
            raise DamagedError(f"{theirs.get('name')}: its record has numbers that are not finite") from None


def _merged(theirs: Unit, sweep: SweepFiles, gone: Mapping[str, str], dry_run: bool) -> Fate:
    """Copy a run or surface unless it is here. Raises StudyError if it is in use, or cannot be trusted.

    `gone` has the curves of finished runs of which only the collected rows are here.
    """
    name = theirs.run_id
    ours: Unit = sweep.run(name) if isinstance(theirs, RunFiles) else sweep.run(read_spec(theirs).run).surface(name)
    if links := [path for path in [theirs.folder, *theirs.folder.rglob("*")] if path.is_symlink()]:
        raise StudyError(f"{links[0]}: is a link; put what it leads to in its place")
    if any(map(lease.holder, tasks_of([theirs]))):
        raise StudyError("is being trained or measured there; merge again when it is finished")
    if ours.spec.exists() or name in gone:
        ended = _ended(theirs), name in gone or _ended(ours)
        if all(ended) and _rows(theirs) != (gone.get(name) or _rows(ours)):
            return Fate("conflict", name, f"{theirs.folder}/ and {ours.folder}/ differ in what was measured; both stay")
        if ended != (True, False) and (ours.spec.exists() or not ended[0]):
            return Fate("here already", name)
    _verify(theirs) if dry_run else _copy(theirs, ours, sweep.results)
    return Fate("copied", name)


def _ended(files: Unit) -> bool:
    return status(files).state in ENDED if isinstance(files, RunFiles) else sealed(files)


def _rows(files: Unit) -> str:
    kind, path = (CURVES, files.curves) if isinstance(files, RunFiles) else (SURFACES, files.table)
    return _text(kind, kind.read(path))


def _text(kind: Table, table: pa.Table) -> str:
    """What was measured, without the time that it took; as text, in which NaN equals NaN."""
    return repr([row | {"seconds": 0} for row in kind.collect([table]).to_pylist()])


def _verify(files: Unit) -> None:
    """Raise DamagedError if a file is not what was written, StudyError if it is of a later version or there is no spec."""
    stored_spec(files) if isinstance(files, RunFiles) else read_spec(files)
    for task in tasks_of([files]):
        if (done := seal(task)) is not None:
            check_sealed(task, done)
        for path in [*task.folder.glob("[cps]*-*-*.p*"), *task.folder.glob("plane-*.pt")]:
            try:
                read_checked(path)
            except ValueError as error:
                raise DamagedError(f"{path}: is damaged: {error}") from None
    if isinstance(files, RunFiles):
        for kind, path in ((CURVES, files.curves), (PROBES, files.probes)):
            if path.exists():
                kind.read(path, files.run_id)


def _copy(theirs: Unit, ours: Unit, results: Path) -> None:
    """Copy a folder under a temporary name, verify the copy, and rename it. What is unfinished here makes room."""
    aside = draft(results / "merged")
    copy = type(theirs)(aside / "it" / theirs.run_id)  # as deep as where nothing looks for runs
    try:
        for path in sorted(theirs.folder.rglob("*")):
            if path.is_file() and path.name not in ("lease", "heartbeat") and not path.name.endswith(".tmp"):
                write_bytes(copy.folder / path.relative_to(theirs.folder), path.read_bytes())
        try:
            _verify(copy)
        except StudyError as error:
            raise StudyError(str(error).replace(str(copy.folder), str(theirs.folder))) from None
        if ours.folder.exists():
            with holding(tasks_of([ours])):
                discard(ours.folder, results)
        try:
            move(copy.folder, ours.folder)
        except WriteError:
            if not ours.folder.exists():
                raise
            raise StudyError("another process has just begun or merged it; repeat this call") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
