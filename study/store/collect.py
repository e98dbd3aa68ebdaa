"""All results of a sweep in a few Parquet files, and a seal that shows which of them are still valid."""

from __future__ import annotations

import json
import logging
import os
import typing
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from study.config import recipes
from study.config.identity import point_id
from study.config.stored import columns, flat, nested, recorded, upgraded, upgraded_row
from study.errors import StudyError
from study.store.files import (
    DamagedError,
    check_version,
    digest,
    read_json,
    sweep_away_temporaries,
    write_bytes,
    write_json,
)
from study.store.find import of_runs
from study.store.layout import RunFiles, SweepFiles
from study.store.runs import ENDED, RunStatus, status
from study.store.surfaces import SURFACES, gather
from study.store.sweeps import read_sweep
from study.store.tables import CURVES, PROBES, Table, parse, to_bytes

log = logging.getLogger(__name__)

VERSION = 1
"""Of `collected.json`; a reader refuses a newer one."""


@cache
def _warn_once(damage: str) -> None:
    log.warning("%s", damage)


# -- a row a run ----------------------------------------------------------------------------------------------------------


def _arrow_type(annotation: Any) -> pa.DataType:
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    for kind in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(kind) is tuple:
            # The name that Parquet gives, so that tables have the same bytes whether rows were read from one or not.
            return pa.list_(pa.field("element", _arrow_type(typing.get_args(kind)[0])))
    named = [kind for kind in typing.get_args(annotation) or (annotation,) if kind is not type(None)]
    found = {kinds.get(kind, pa.string()) for kind in named}
    return found.pop() if len(found) == 1 else pa.string()  # text, where a field is a number or a word


ATTEMPT_COLUMNS = (
    "executor", "host", "job", "node", "device", "driver", "cpu", "python", "torch", "code", "commit", "dirty",
)  # fmt: skip
"""Hardware and software of the last attempt."""

RUNS = Table(
    pa.schema(
        [
            ("run_id", pa.string()),
            ("point_id", pa.string()),
            ("dataset", pa.string()),
            ("recipe_changes", pa.string()),  # fields in which the recipe differs from the named one
            *((name, _arrow_type(kind)) for name, kind in columns().items()),
            ("state", pa.string()),
            ("iteration", pa.int64()),  # reached
            ("iterations", pa.int64()),  # planned
            ("attempts", pa.int64()),
            ("seconds", pa.float64()),  # of training, over all attempts
            ("data_digest", pa.string()),  # of the images that it was trained on
            ("message", pa.string()),  # why it failed, or a warning about its result
            ("started", pa.timestamp("ms", tz="UTC")),
            ("finished", pa.timestamp("ms", tz="UTC")),
            ("threads", pa.int64()),
            *[(name, pa.string()) for name in ATTEMPT_COLUMNS],
        ]
    ),
    key=("run_id",),
    neutral={},
)

_TEXTS = {field.name for field in RUNS.schema if field.type == pa.string()}


def _row(fields: Mapping[str, Any], point: Mapping[str, str], now: RunStatus) -> dict[str, Any]:
    """A row of `RUNS`; `fields` is the spec as plain data, `point` as `_point` has it."""
    starts = [line for line in now.record if line.get("event") == "start"]
    last = starts[-1] if starts else {}
    row = flat(fields)
    return {
        "run_id": now.run_id,
        **point,
        **{key: _cell(key, value) for key, value in row.items()},
        "state": now.state,
        "iteration": now.iteration,
        "iterations": row.get("recipe.iterations"),
        "attempts": now.attempts,
        "seconds": now.seal.get("seconds"),
        "data_digest": now.data_digest,
        "message": now.message,
        "started": _milliseconds(starts[0].get("time")) if starts else None,
        "finished": _milliseconds(now.seal.get("time")),
        "threads": last.get("threads"),
        **{name: last.get(name) for name in ATTEMPT_COLUMNS},
    }


def _point(fields: dict[str, Any]) -> dict[str, str]:
    """What the rows of all seeds of a point share."""
    changes = ", ".join(recipes.changes(fields.get("recipe", {})))
    return {"point_id": point_id(fields), "dataset": recorded(fields).dataset, "recipe_changes": changes}


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, RUNS.schema)
    except (pa.ArrowException, OverflowError):  # a value of another version, which is left out
        fitting = [{column.name: _fitting(row.get(column.name), column.type) for column in RUNS.schema} for row in rows]
        return pa.Table.from_pylist(fitting, RUNS.schema)


def _fitting(value: Any, kind: pa.DataType) -> Any:
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowException, OverflowError):
        return None


def _cell(name: str, value: Any) -> Any:
    """A field's value as its column holds it: a number as text if it could be a word."""
    return str(value) if isinstance(value, int) and name in _TEXTS else value


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


# -- what was collected ---------------------------------------------------------------------------------------------------


class Collected:
    """The tables that `collect` wrote, and which of their runs have not changed since.

    `collected.json` seals the tables: it has their digests, and a mark for each finished run, made of size, inode and time
    of the files that its rows were read from. Rows of a run with the same mark hold; all others are read anew.
    Raises `StudyError` if a file is of a later version of this program.
    """

    def __init__(self, files: SweepFiles) -> None:
        self.files = files
        self._read: dict[Path, tuple[pa.Table, str]] = {}
        try:
            self.seal = read_json(files.collected) or {}
        except DamagedError:  # the runs are read instead
            self.seal = {}
        check_version(files.collected, self.seal.get("version", 1), VERSION)

    def table(self, kind: Table, path: Path) -> pa.Table:
        """A collected table; an empty one if there is none. Raises `DamagedError` if it is damaged."""
        if path not in self._read:
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return kind.schema.empty_table()
            found = parse(path, content)
            if "recipe.momentum" in found.column_names:  # runs of schema version 1
                found = _table([upgraded_row(row) for row in found.to_pylist()])
            self._read[path] = kind.check(found, path), digest(content)
        return self._read[path][0]

    def curves_and_runs(self) -> tuple[pa.Table, pa.Table]:
        """As of `OnDisk`. Raises `DamagedError` if a table is damaged."""
        return self._intact(CURVES, self.files.curves), self._intact(RUNS, self.files.runs_table)

    def probes(self) -> pa.Table:
        """As of `OnDisk`."""
        return self._intact(PROBES, self.files.probes)

    def surfaces(self) -> pa.Table:
        """As of `OnDisk`."""
        return self._intact(SURFACES, self.files.surfaces_table)

    def _intact(self, kind: Table, path: Path) -> pa.Table:
        table = self.table(kind, path)
        if path.name in self.seal.get("files", {}) and not self.holds(kind, path):
            raise DamagedError(f"{path}: is damaged: its content does not match {self.files.collected.name}")
        return table

    def rows(self, kind: Table, path: Path, names: Collection[str]) -> pa.Table:
        """The rows of these runs; none, with a warning, if the table is damaged."""
        try:
            table = self.table(kind, path) if names else kind.schema.empty_table()
        except DamagedError as error:
            _warn_once(f"{error}; what was collected before is lost")
            return kind.schema.empty_table()
        return table.filter(pc.is_in(table["run_id"], pa.array(sorted(names), pa.string())))

    def holds(self, kind: Table, path: Path) -> bool:
        """Whether a table is intact and the one that was sealed."""
        try:
            self.table(kind, path)
        except DamagedError:
            return False
        return path in self._read and self._read[path][1] == self.seal.get("files", {}).get(path.name)

    def unchanged(self, runs: Mapping[str, RunFiles]) -> dict[str, RunStatus]:
        """The states of these runs that were finished when they were collected and have not changed since."""
        marks = self.seal.get("runs", {})
        same = {name: marks[name] for name, files in runs.items() if name in marks and marks[name][0] == mark(files)}
        if not same or not self.holds(RUNS, self.files.runs_table):
            return {}
        rows = self.rows(RUNS, self.files.runs_table, same)
        return {row["run_id"]: _as_collected(row, same[row["run_id"]][1]) for row in _states(rows)}

    def ended(self, names: Collection[str]) -> dict[str, RunStatus]:
        """The states of these runs that were finished when they were collected, even if their folders are gone."""
        rows = self.rows(RUNS, self.files.runs_table, names)
        found = {row["run_id"]: row for row in _states(rows) if row["state"] in ENDED}
        errors = _last_errors(self.rows(CURVES, self.files.curves, found)) if found else {}
        return {name: _as_collected(row, errors.get(name)) for name, row in found.items()}

    def records(self) -> dict[str, tuple[dict[str, Any], RunStatus]]:
        """Each run's fields, as of a stored spec, and its state. Raises `DamagedError` if a table is damaged."""
        curves, runs = self.curves_and_runs()
        errors, found = _last_errors(curves), {}
        for row in runs.to_pylist():
            name = row["run_id"]
            found[name] = nested(row) | {"data_digest": row["data_digest"]}, _as_collected(row, errors.get(name))
        return found


def _states(rows: pa.Table) -> list[dict[str, Any]]:
    states: list[dict[str, Any]] = rows.select(
        ["run_id", "state", "iteration", "attempts", "message", "data_digest"]
    ).to_pylist()
    return states


def _as_collected(row: Mapping[str, Any], error: float | None) -> RunStatus:
    told = {name: row[name] for name in ("run_id", "state", "iteration", "attempts", "message")}
    return RunStatus(**told, error=error, seal={"data": row["data_digest"]})


def _last_errors(curves: pa.Table) -> dict[str, float]:
    """The last test error (percent) of each run."""
    tests = curves.filter(pc.equal(curves["split"], "test")).select(["run_id", "error"])
    last = tests.group_by("run_id", use_threads=False).aggregate([("error", "last")])  # curves are sorted by iteration
    return dict(zip(last["run_id"].to_pylist(), last["error_last"].to_pylist(), strict=True))


def mark(files: RunFiles) -> str:
    """A mark that changes if a file that the collected rows of a run come from is written or replaced."""
    found: list[Any] = [str(files.folder)]
    for name in ("done.json", "curves.parquet", "probes.parquet", "attempts.jsonl"):
        try:
            facts = os.stat(f"{found[0]}/{name}")  # noqa: PTH116 -- four times as fast as a path, and there are many
        except OSError:
            found.append(None)
        else:
            found.append((facts.st_mtime_ns, facts.st_size, facts.st_ino))
    return digest(repr(found[1:]).encode())


def states(runs: Mapping[str, RunFiles], before: Collected) -> dict[str, RunStatus]:
    """The state of each run: as it was collected if nothing has changed since, else from its files."""
    known = before.unchanged(runs)
    return {name: known.get(name) or status(files) for name, files in runs.items()}


# -- what is on disk now --------------------------------------------------------------------------------------------------


class OnDisk:
    """A sweep's runs as they are on disk now, each looked at once; safe while they are being trained.

    Damaged files are left out with a warning. A finished run whose folder is gone is as it was collected last. With `afresh`
    every file of every run is read and checked, those that were collected before, too.
    Raises `StudyError` if there is no such sweep, or a file is of a later version of this program.
    """

    def __init__(self, files: SweepFiles, *, afresh: bool = False) -> None:
        self.files = files
        self.named: dict[str, dict[str, Any]] = read_sweep(files)["runs"]
        self.before = Collected(files)
        runs = {name: files.run(name) for name in self.named}
        holds = not afresh and self.before.seal.get("sweep") == digest(_bytes(files.sweep))
        holds = holds and self.before.holds(CURVES, files.curves)
        self.unchanged = self.before.unchanged(runs) if holds else {}
        absent = [name for name, run in runs.items() if name not in self.unchanged and not run.folder.exists()]
        self.gone = set(self.before.ended(absent)) if absent else set()
        self.runs = {name: run for name, run in runs.items() if name not in self.gone}
        rest = {name: run for name, run in self.runs.items() if name not in self.unchanged}
        self.states = self.unchanged | {name: status(run, curves=False) for name, run in rest.items()}

    def curves_and_runs(self) -> tuple[pa.Table, pa.Table]:
        """As `CURVES`, sorted, and `RUNS`, in the sweep's order."""
        kept = self.gone | self.unchanged.keys()
        rest = [name for name in self.runs if name not in self.unchanged]
        curves = self.before.rows(CURVES, self.files.curves, kept)
        if rest:
            found = [table for name in rest if (table := self._curve(name)) is not None]
            curves = CURVES.collect([curves, *found])
        runs = self.before.rows(RUNS, self.files.runs_table, kept)
        if runs["run_id"].to_pylist() == list(self.named):
            return curves, runs
        runs = pa.concat_tables([runs, self._rows(name for name in self.named if name not in kept)])
        order = pc.index_in(pa.array(list(self.named), pa.string()), runs["run_id"].combine_chunks())
        return curves, runs.take(order)

    def _rows(self, names: Iterable[str]) -> pa.Table:
        points: dict[str, dict[str, str]] = {}  # found once for all seeds, which saves most of the time
        rows = []
        for name in names:
            fields = upgraded(self.named[name])
            key = json.dumps(fields | {"seed": None})
            if key not in points:
                points[key] = _point(fields)
            rows.append(_row(fields, points[key], self.states[name]))
        return _table(rows)

    def _curve(self, name: str) -> pa.Table | None:
        """A run's curve; None if there is none, or it is damaged, which its state then says."""
        run, now, found = self.runs[name], self.states[name], None
        try:
            found = CURVES.read(run.curves, name, now.seal.get("files", {}).get(run.curves.name))
        except (FileNotFoundError, DamagedError) as error:
            if now.seal or isinstance(error, DamagedError):
                now = status(run)
                damage = now.damage or str(error)
                self.states[name] = now = replace(now, message=now.message or damage, damage=damage)
        if now.damage:
            _warn_once(f"{name}: {now.damage}")
        return found

    def probes(self) -> pa.Table:
        """As `PROBES`. If a finished run's own file is damaged or gone, what was collected before is kept."""
        found = []
        kept = self.gone | (self.unchanged.keys() if self.before.holds(PROBES, self.files.probes) else set())
        for name in self.runs.keys() - kept:
            run, through = self.runs[name], bool(self.states[name].seal)
            try:
                if run.probes.exists():
                    found.append(PROBES.read(run.probes, name))
                elif through and _measured(run):
                    raise DamagedError(f"{run.probes}: is gone")
            except DamagedError as error:
                _warn_once(f"{error}" + ("; what was collected of it before is kept" if through else ""))
                kept |= {name} if through else set()  # else it may be of a training that was started over
        return PROBES.collect([self.before.rows(PROBES, self.files.probes, kept), *found])

    def surfaces(self) -> pa.Table:
        """As `SURFACES`: those around the runs' networks, as far as they are measured."""
        found = [gather(surface) for surface in of_runs(self.runs.values())]
        return SURFACES.collect([self.before.rows(SURFACES, self.files.surfaces_table, self.gone), *found])


def _measured(run: RunFiles) -> bool:
    """Whether a run was trained with probes; a later sweep may have asked for some."""
    with suppress(StudyError):
        return bool(recorded(read_json(run.spec) or {}).probes)
    return False


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def collect(files: SweepFiles, *, afresh: bool = True) -> list[Path]:
    """Write a sweep's Parquet files, where they have changed; returns their paths.

    `curves.parquet` and `runs.parquet`; `probes.parquet` and `surfaces.parquet` if anything was measured. `afresh` as of
    `OnDisk`.
    """
    marks = {name: mark(files.run(name)) for name in read_sweep(files)["runs"]}  # before anything is read
    sweep = digest(_bytes(files.sweep))
    now = OnDisk(files, afresh=afresh)
    curves, runs = now.curves_and_runs()
    tables = {files.curves: curves, files.runs_table: runs}
    further = {files.probes: now.probes(), files.surfaces_table: now.surfaces()}
    tables |= {path: table for path, table in further.items() if table.num_rows or path.exists()}
    files.refuse_elsewhere()
    sweep_away_temporaries(files.folder)
    digests = {}
    for path, table in tables.items():
        content = to_bytes(table)
        digests[path.name] = digest(content)
        if _bytes(path) != content:
            write_bytes(path, content)
    ended = {name: [marks[name], state.error] for name, state in now.states.items() if state.seal}
    seal = {"version": VERSION, "sweep": sweep, "files": digests, "runs": ended}
    if now.before.seal != seal:
        write_json(files.collected, seal)
    return list(tables)
