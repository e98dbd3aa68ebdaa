"""All results of a sweep in a few Parquet files, and a seal that shows which of them are still valid."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from study.config.stored import nested, upgraded_row
from study.errors import StudyError
from study.store.files import (
    DamagedError,
    digest,
    read_json,
    sweep_away_temporaries,
    write_bytes,
    write_json,
)
from study.store.find import of_runs
from study.store.layout import RunFiles, SweepFiles, refuse_links
from study.store.runs import ENDED, RunStatus, status
from study.store.runs_table import RUNS, row, table_of
from study.store.surfaces import SURFACES, gather
from study.store.sweeps import read_sweep
from study.store.tables import CURVES, PROBES, Table, parse, to_bytes

log = logging.getLogger(__name__)

VERSION = 1
"""Of `collected.json`; a reader refuses a newer one."""


@cache
def _warn_once(damage: str) -> None:
    log.warning("%s", damage)


class Results:
    """A sweep's results: the collected tables, brought up to date from its runs where these are here.

    `collected.json` seals the tables: it has their digests, and a mark for each finished run, made of size, inode and time
    of the files that its rows were read from. Rows of a run with the same mark hold; all others are read anew, safely while
    they are being trained. Damaged files are left out with a warning. A finished run whose folder is gone is as it was
    collected last. With `afresh` every file of every run is read and checked.
    Raises `StudyError` if there is no such sweep, or a file is of a later version of this program.
    """

    def __init__(self, files: SweepFiles, *, afresh: bool = False) -> None:
        self.files, self.afresh = files, afresh
        self.paths = {
            CURVES: files.curves, RUNS: files.runs_table, PROBES: files.probes, SURFACES: files.surfaces_table,
        }  # fmt: skip
        self.alone = not files.sweep.exists() and files.curves.exists() and files.runs_table.exists()
        """Whether only the tables are here: the sweep was trained elsewhere."""
        self._read: dict[Table, tuple[pa.Table, str]] = {}
        try:
            self.seal = read_json(files.collected, VERSION) or {}
        except DamagedError:  # the runs are read instead
            self.seal = {}

    # -- as they were collected ---------------------------------------------------------------------------------------

    def collected(self, kind: Table) -> pa.Table:
        """A collected table; an empty one if there is none. Raises `DamagedError` if it is damaged."""
        if kind not in self._read:
            path = self.paths[kind]
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return kind.schema.empty_table()
            found = parse(path, content)
            if "recipe.momentum" in found.column_names:  # runs of schema version 1
                found = table_of(map(upgraded_row, found.to_pylist()))
            self._read[kind] = kind.check(found, path), digest(content)
        return self._read[kind][0]

    def holds(self, kind: Table) -> bool:
        """Whether a table is intact and matches the seal."""
        try:
            self.collected(kind)
        except DamagedError:
            return False
        return kind in self._read and self._read[kind][1] == self.seal.get("files", {}).get(self.paths[kind].name)

    def _rows(self, kind: Table, names: Collection[str]) -> pa.Table:
        """The collected rows of these runs; none, with a warning, if the table is damaged."""
        try:
            table = self.collected(kind) if names else kind.schema.empty_table()
        except DamagedError as error:
            _warn_once(f"{error}; what was collected before is lost")
            return kind.schema.empty_table()
        if set(names).issuperset(table["run_id"].unique().to_pylist()):
            return table  # a filter would copy it
        return table.filter(pc.is_in(table["run_id"], pa.array(sorted(names), pa.string())))

    def records(self) -> dict[str, tuple[dict[str, Any], RunStatus]]:
        """Each collected run's fields, as of a stored spec, and its state. Raises `DamagedError` if a table is damaged."""
        errors, found = _last_errors(self.table(CURVES)), {}
        for fields in self.table(RUNS).to_pylist():
            name = fields["run_id"]
            found[name] = nested(fields) | {"data_digest": fields["data_digest"]}, _status(fields, errors.get(name))
        return found

    # -- the states of runs -------------------------------------------------------------------------------------------

    def states(self, runs: Mapping[str, RunFiles]) -> dict[str, RunStatus]:
        """The state of each run: as collected if it has not changed since, else from its files."""
        known = self.unchanged(runs)
        return {name: known.get(name) or status(files) for name, files in runs.items()}

    def unchanged(self, runs: Mapping[str, RunFiles]) -> dict[str, RunStatus]:
        """The states of runs that were finished when collected and have not changed since."""
        marks = self.seal.get("runs", {})
        same = {name: marks[name] for name, files in runs.items() if name in marks and marks[name][0] == mark(files)}
        if not same or not self.holds(RUNS):
            return {}
        return {name: _status(found, same[name][1]) for name, found in self._ends(same).items()}

    def gone(self, runs: Mapping[str, RunFiles]) -> dict[str, RunStatus]:
        """The states of runs that were finished when collected and whose folders are gone."""
        absent = [name for name, files in runs.items() if not files.folder.exists()]
        found = {name: one for name, one in self._ends(absent).items() if one["state"] in ENDED}
        errors = _last_errors(self._rows(CURVES, found)) if found else {}
        return {name: _status(one, errors.get(name)) for name, one in found.items()}

    def _ends(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        rows = self._rows(RUNS, names).select([*_STATE, "data_digest"])
        return {one["run_id"]: one for one in rows.to_pylist()}

    # -- brought up to date -------------------------------------------------------------------------------------------

    def table(self, kind: Table) -> pa.Table:
        """`CURVES`, sorted; `RUNS`, in the sweep's order; `PROBES`; or `SURFACES`, as far as they are measured."""
        if self.alone:
            table, path = self.collected(kind), self.paths[kind]
            if path.name in self.seal.get("files", {}) and not self.holds(kind):
                raise DamagedError(f"{path}: is damaged: its content does not match {self.files.collected.name}")
            return table
        curves = self._curves  # first: they may show that a run is damaged
        return curves if kind is CURVES else {RUNS: self._runs, PROBES: self._probes, SURFACES: self._surfaces}[kind]()

    def finished(self) -> dict[str, RunStatus]:
        """The states of finished runs whose folders exist."""
        return {name: now for name, now in (self._same | self._live).items() if now.seal}

    @cached_property
    def _named(self) -> dict[str, dict[str, Any]]:
        named: dict[str, dict[str, Any]] = read_sweep(self.files)["runs"]
        return named

    @cached_property
    def _files(self) -> dict[str, RunFiles]:
        return {name: self.files.run(name) for name in self._named}

    @cached_property
    def _same(self) -> dict[str, RunStatus]:
        """Runs whose collected rows hold."""
        holds = not self.afresh and self.seal.get("sweep") == digest(_bytes(self.files.sweep)) and self.holds(CURVES)
        return self.unchanged(self._files) if holds else {}

    @cached_property
    def _gone(self) -> dict[str, RunStatus]:
        return self.gone({name: run for name, run in self._files.items() if name not in self._same})

    @cached_property
    def _live(self) -> dict[str, RunStatus]:
        """All other runs. Their curves are checked against the seals when they are read."""
        known = self._same.keys() | self._gone.keys()
        return {name: status(run, curves=False) for name, run in self._files.items() if name not in known}

    @cached_property
    def _curves(self) -> pa.Table:
        kept = self._rows(CURVES, self._gone.keys() | self._same.keys())
        live = [table for name in list(self._live) if (table := self._curve(name)) is not None]
        return CURVES.collect([kept, *live]) if live else kept

    def _curve(self, name: str) -> pa.Table | None:
        """A run's curve; None if there is none. Damage is noted in the run's state."""
        run, now, found = self._files[name], self._live[name], None
        try:
            found = CURVES.read(run.curves, name, now.seal.get("files", {}).get(run.curves.name))
        except (FileNotFoundError, DamagedError) as error:
            if now.seal or isinstance(error, DamagedError):
                now = status(run)
                damage = now.damage or str(error)
                self._live[name] = now = replace(now, message=now.message or damage, damage=damage)
        if now.damage:
            _warn_once(f"{name}: {now.damage}")
        return found

    def _runs(self) -> pa.Table:
        kept = self._rows(RUNS, self._gone.keys() | self._same.keys())
        if kept["run_id"].to_pylist() == list(self._named):
            return kept
        runs = pa.concat_tables([kept, table_of(row(self._named[name], now) for name, now in self._live.items())])
        order = pc.index_in(pa.array(list(self._named), pa.string()), runs["run_id"].combine_chunks())
        return runs.take(order)

    def _probes(self) -> pa.Table:
        """Rows collected earlier are kept if a finished run's own file is damaged or gone."""
        kept = {*self._gone, *(self._same if self.holds(PROBES) else ())}
        found, finished = [], self.finished()
        for name in self._files.keys() - kept:
            run, through = self._files[name], name in finished
            try:
                if run.probes.exists():
                    found.append(PROBES.read(run.probes, name))
                elif through and _measured(run):
                    raise DamagedError(f"{run.probes}: is gone")
            except DamagedError as error:
                _warn_once(f"{error}" + ("; what was collected of it before is kept" if through else ""))
                kept |= {name} if through else set()  # else it may be of a training that was started over
        return PROBES.collect([self._rows(PROBES, kept), *found])

    def _surfaces(self) -> pa.Table:
        here = [run for name, run in self._files.items() if name not in self._gone]
        return SURFACES.collect([self._rows(SURFACES, self._gone), *map(gather, of_runs(here))])


_STATE = ["run_id", "state", "iteration", "attempts", "message"]


def _status(collected: Mapping[str, Any], error: float | None) -> RunStatus:
    told = {name: collected[name] for name in _STATE}
    return RunStatus(**told, error=error, seal={"data": collected["data_digest"]})


def _last_errors(curves: pa.Table) -> dict[str, float]:
    """The last test error (percent) of each run."""
    tests = curves.filter(pc.equal(curves["split"], "test")).select(["run_id", "error"])
    last = tests.group_by("run_id", use_threads=False).aggregate([("error", "last")])  # curves are sorted by iteration
    return dict(zip(last["run_id"].to_pylist(), last["error_last"].to_pylist(), strict=True))


def mark(files: RunFiles) -> str:
    """Changes when a file behind the run's collected rows is written or replaced."""
    found: list[Any] = []
    folder = str(files.folder)
    for name in ("done.json", "curves.parquet", "probes.parquet", "attempts.jsonl"):
        try:
            facts = os.stat(f"{folder}/{name}")  # noqa: PTH116 -- four times as fast as a path, and there are many
        except OSError:
            found.append(None)
        else:
            found.append((facts.st_mtime_ns, facts.st_size, facts.st_ino))
    return digest(repr(found).encode())


def _measured(run: RunFiles) -> bool:
    """Whether a run was trained with probes; a later sweep may have asked for some."""
    with suppress(StudyError):
        return bool((read_json(run.spec) or {}).get("probes"))
    return False


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def collect(files: SweepFiles, *, afresh: bool = True) -> list[Path]:
    """Write a sweep's Parquet files, where they have changed; returns their paths.

    `curves.parquet` and `runs.parquet`; `probes.parquet` and `surfaces.parquet` if anything was measured. `afresh` as of
    `Results`.
    """
    marks = {name: mark(files.run(name)) for name in read_sweep(files)["runs"]}  # before anything is read
    sweep = digest(_bytes(files.sweep))
    now = Results(files, afresh=afresh)
    tables = {path: now.table(kind) for kind, path in now.paths.items()}
    refuse_links(files.results, [files.folder])
    sweep_away_temporaries(files.folder)
    digests = {}
    for path, table in tables.items():
        if path in (files.curves, files.runs_table) or table.num_rows or path.exists():
            content = to_bytes(table)
            digests[path.name] = digest(content)
            if _bytes(path) != content:
                write_bytes(path, content)
    ended = {name: [marks[name], state.error] for name, state in now.finished().items()}
    seal = {"version": VERSION, "sweep": sweep, "files": digests, "runs": ended}
    if now.seal != seal:
        write_json(files.collected, seal)
    return [files.folder / name for name in digests]
