"""All of a sweep in Parquet: `curves.parquet` and `runs.parquet`; attempts, probes and surfaces where there are any."""

from __future__ import annotations

import contextlib
import json
import logging
import typing
from collections.abc import Collection, Iterator
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
from study.store import attempts, probes, surfaces
from study.store.files import DamagedError, read_json, sweep_away_temporaries, write_bytes
from study.store.layout import RunFiles, SweepFiles
from study.store.probes import PROBES, ordered
from study.store.runs import ENDED, Record, RunStatus, check_curves, read_sweep, status
from study.store.tables import CURVES, read_curve, read_table, to_bytes

log = logging.getLogger(__name__)


@cache
def _say(damage: str) -> None:
    """Tell whoever called of a damaged file, once."""
    log.warning("%s", damage)


def _arrow_type(annotation: Any) -> pa.DataType:
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    for kind in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(kind) is tuple:
            return pa.list_(_arrow_type(typing.get_args(kind)[0]))
    said = [kind for kind in typing.get_args(annotation) or (annotation,) if kind is not type(None)]
    found = {kinds.get(kind, pa.string()) for kind in said}
    return found.pop() if len(found) == 1 else pa.string()  # text, where a field is a number or a word


def _spec_columns() -> list[tuple[str, pa.DataType]]:
    return [(name, _arrow_type(kind)) for name, kind in columns().items()]


ATTEMPT_COLUMNS = (
    "executor",
    "host",
    "job",
    "node",
    "device",
    "driver",
    "cpu",
    "python",
    "torch",
    "code",
    "commit",
    "dirty",
)
"""What the last attempt's record says of hardware and software."""

RUNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("point_id", pa.string()),
        ("dataset", pa.string()),
        ("recipe_changes", pa.string()),  # fields in which the recipe is not the named one
        *_spec_columns(),
        ("state", pa.string()),
        ("iteration", pa.int64()),  # reached
        ("iterations", pa.int64()),  # planned
        ("attempts", pa.int64()),
        ("seconds", pa.float64()),  # of training, over all attempts
        ("data_digest", pa.string()),  # of the images that it was trained on
        ("message", pa.string()),  # why it failed, or what to know about its result
        ("started", pa.timestamp("ms", tz="UTC")),
        ("finished", pa.timestamp("ms", tz="UTC")),
        ("threads", pa.int64()),
        *[(name, pa.string()) for name in ATTEMPT_COLUMNS],
    ]
)
"""A row a run. Key: run_id."""


_TEXTS = {field.name for field in RUNS if field.type == pa.string()}


def _row(files: RunFiles, fields: dict[str, Any], point: dict[str, str], now: RunStatus) -> dict[str, Any]:
    """One row of `runs.parquet`; `fields` is the spec as plain data, `point` as `_point` has it."""
    starts = [line for line in now.record if line.get("event") == "start"]
    last = starts[-1] if starts else {}
    row = flat(fields)
    return {
        "run_id": files.run_id,
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


def _runs(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as `RUNS`. A value that its column cannot hold, of another version, is left out."""
    try:
        return pa.Table.from_pylist(rows, RUNS)
    except (pa.ArrowException, OverflowError):
        fitting = [{field.name: _fitting(row.get(field.name), field.type) for field in RUNS} for row in rows]
        return pa.Table.from_pylist(fitting, RUNS)


def _fitting(value: Any, kind: pa.DataType) -> Any:
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowException, OverflowError):
        return None


def _cell(name: str, value: Any) -> Any:
    """A field's value as its column holds it: a number as text where it might have been a word."""
    return str(value) if isinstance(value, int) and name in _TEXTS else value


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


SEALS = b"study_seals"
"""The key in the metadata of collected curves under which they have the digest of each sealed run's own file, as JSON."""


class Collected:
    """What `curves.parquet` has of each run: the rows of a sealed run that it was made from are taken from there.

    To check a file's digest takes a small part of the time of parsing it.

    Raises
    ------
    StudyError
        It is of a later version of this program.
    """

    def __init__(self, path: Path) -> None:
        self.curves: dict[str, pa.Table] = {}
        self.damage = ""
        self._seals: dict[str, str] = {}
        try:
            table = read_table(path)
            self._seals = _json_object((table.schema.metadata or {}).get(SEALS, b"{}"))
            table = completed(table, CURVES).combine_chunks()
        except FileNotFoundError:
            return
        except DamagedError as error:
            self.damage = str(error)
            return
        names = pc.run_end_encode(table["run_id"].combine_chunks())
        ends = names.run_ends.to_pylist()
        for name, start, end in zip(names.values.to_pylist(), [0, *ends], ends, strict=False):
            self.curves[name] = table.slice(start, end - start)

    def curve(self, run: RunFiles, seal: str | None) -> pa.Table:
        """A run's curve, ordered by its key; `seal` is the digest of the file that it was sealed with.

        Raises as `read_curve`.
        """
        if seal is not None and self._seals.get(run.run_id) == seal and run.run_id in self.curves:
            check_curves(run, seal)
            return self.curves[run.run_id]
        return read_curve(run, seal).sort_by([("iteration", "ascending"), ("split", "ascending")])


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # another program wrote it
        return {}
    return found if isinstance(found, dict) else {}


def _measured(run: RunFiles) -> bool:
    """Whether a run was trained with probes; a sweep that came later may have asked for some."""
    with contextlib.suppress(StudyError):
        return bool(recorded(read_json(run.spec) or {}).probes)
    return False


class OnDisk:
    """A sweep's runs as they are on disk now, looked at once; safe while they are being trained.

    What is damaged is left out, and said; it is never shown as if it were whole. A run that was through, and whose folder is
    gone, is as it was collected last.

    Raises
    ------
    StudyError
        There is no such sweep, or a file is of a later version of this program.
    """

    def __init__(self, files: SweepFiles) -> None:
        self.files = files
        self.named: dict[str, dict[str, Any]] = read_sweep(files)["runs"]
        runs = {name: files.run(name) for name in self.named}
        self.gone = self._through([name for name, run in runs.items() if not run.folder.exists()])
        self.runs = {name: run for name, run in runs.items() if name not in self.gone}
        self.states = {name: status(run, curves=False) for name, run in self.runs.items()}
        before = Collected(files.curves)
        if before.damage and self.gone:
            _say(f"{before.damage}; what was collected before is lost")
        found = {name: self._curve(name, run, before) for name, run in self.runs.items()}
        found |= {name: before.curves.get(name) for name in self.gone}
        self._curves = {name: table for name, table in sorted(found.items()) if table is not None}

    def curves_and_runs(self) -> tuple[pa.Table, pa.Table]:
        """As `CURVES`, ordered by its key, and `RUNS`, in the sweep's order.

        The curves are marked with what `Collected` wants to know of them.
        """
        rows = dict(self._rows())
        rows |= {row["run_id"]: row for row in self._as_collected(self.files.runs_table, RUNS, self.gone).to_pylist()}
        curves = pa.concat_tables([CURVES.empty_table(), *self._curves.values()])
        seals = {name: self.states[name].seal.get("curves") for name in self._curves if name in self.runs}
        told = json.dumps({name: seal for name, seal in seals.items() if seal}).encode()
        return curves.replace_schema_metadata({SEALS: told}), _runs([rows[name] for name in self.named])

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        points: dict[str, dict[str, str]] = {}  # a spec is checked once for all seeds: that takes most of the time
        for name, run in self.runs.items():
            fields = upgraded(self.named[name])
            key = json.dumps(fields | {"seed": None})
            point = points[key] = points.get(key) or _point(fields)
            yield name, _row(run, fields, point, self.states[name])

    def probes(self) -> pa.Table:
        """As `PROBES`. Of a run whose own measurements are damaged or gone there is what was collected before."""
        found, lost = [], set(self.gone)
        for name, run in self.runs.items():
            through = bool(self.states[name].seal)
            try:
                if run.probes.exists():
                    found.append(probes.read(run))
                elif through and _measured(run):
                    raise DamagedError(f"{run.probes}: is gone")
            except DamagedError as error:
                _say(f"{error}" + ("; what was collected of it before is kept" if through else ""))
                lost |= {name} if through else set()  # else it may be of a training that was started over
        return ordered(pa.concat_tables([self._as_collected(self.files.probes, PROBES, lost), *found]))

    def attempts(self) -> pa.Table:
        """As `ATTEMPTS`; those at chunks of surfaces are no part of it."""
        found = [row for name, run in self.runs.items() for row in attempts.rows(run, self.states[name])]
        before = self._as_collected(self.files.attempts, attempts.ATTEMPTS, self.gone)
        return attempts.ordered(pa.concat_tables([before, attempts.table(found)]))

    def surfaces(self) -> pa.Table:
        """As `SURFACES`: those around the runs' networks, as far as they are measured."""
        found = [surfaces.gather(surface) for surface in surfaces.of_runs(self.runs.values())]
        before = self._as_collected(self.files.surfaces_table, surfaces.SURFACES, self.gone)
        return surfaces.ordered(pa.concat_tables([before, *found]))

    def _curve(self, name: str, run: RunFiles, before: Collected) -> pa.Table | None:
        """A run's curve; None where there is none, or none that is sound, which its state then says."""
        now = self.states[name]
        try:
            found = before.curve(run, now.seal.get("curves"))
        except (FileNotFoundError, DamagedError) as error:
            found = None
            if now.seal or isinstance(error, DamagedError):
                now = status(run)
                damage = now.damage or str(error)
                self.states[name] = now = replace(now, message=now.message or damage, damage=damage)
        if now.damage:
            _say(f"{name}: {now.damage}")
        return found

    def _through(self, names: Collection[str]) -> set[str]:
        """Those of these runs that were through when they were collected."""
        rows = self._as_collected(self.files.runs_table, RUNS, names)
        return set(rows.filter(pc.is_in(rows["state"], pa.array(ENDED)))["run_id"].to_pylist())

    def _as_collected(self, path: Path, schema: pa.Schema, names: Collection[str]) -> pa.Table:
        """The rows of these runs in a table that was collected before; none where that is damaged, which is said."""
        if not names or not path.exists():
            return schema.empty_table()
        try:
            table = completed(read_table(path), schema)
        except DamagedError as error:
            _say(f"{error}; what was collected before is lost")
            return schema.empty_table()
        return table.filter(pc.is_in(table["run_id"], pa.array(sorted(names))))


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table as it was collected, with the columns of now: those of schema version 1 under their new names, new ones null."""
    if "recipe.momentum" in table.column_names:
        table = _runs([upgraded_row(row) for row in table.to_pylist()])
    for field in schema:
        if field.name not in table.column_names:
            value = pa.scalar(surfaces.ADDED.get(field.name), field.type)
            table = table.append_column(field, pa.repeat(value, len(table)))
    return table.select(schema.names).cast(schema)


def as_collected(files: SweepFiles) -> dict[str, tuple[dict[str, Any], RunStatus]]:
    """Each run as the tables have it: fields as of a stored spec, and its state; none where there are no tables.

    Raises
    ------
    StudyError
        They are damaged, or of a later version of this program.
    """
    if not (files.runs_table.exists() and files.curves.exists()):
        return {}
    curves = read_table(files.curves).select(["run_id", "iteration", "split", "error"]).sort_by("iteration")
    tests = curves.filter(pc.equal(curves["split"], "test")).to_pylist()
    errors = {row["run_id"]: row["error"] for row in tests}  # the last one
    found = {}
    for row in completed(read_table(files.runs_table), RUNS).to_pylist():
        told = {name: row[name] for name in ("run_id", "state", "iteration", "attempts", "message")}
        now = RunStatus(**told, error=errors.get(row["run_id"]))
        found[row["run_id"]] = nested(row) | {"data_digest": row["data_digest"]}, now
    return found


def kept(files: SweepFiles, named: Collection[str]) -> Record:
    """What a sweep's record has besides the runs that are `named` now, and keeps: runs that were begun under its name.

    Raises
    ------
    StudyError
        Its tables have results of further runs, which the next `collect` would drop, and which are nowhere else.
    """
    record: dict[str, Any] = {}
    alone: set[str] = set()
    with contextlib.suppress(DamagedError):  # then it is written anew
        record = read_json(files.sweep) or {}
    with contextlib.suppress(DamagedError, FileNotFoundError):
        rows = read_table(files.runs_table).select(["run_id", "state"]).to_pylist()
        ended = {row["run_id"] for row in rows if row["state"] in ENDED}
        alone = {name for name in ended - set(named) if not files.run(name).folder.exists()}
    before = {name: fields for name, fields in record.get("runs", {}).items() if name not in named}
    runs = {name: fields for name, fields in before.items() if name in alone or files.run(name).spec.exists()}
    if lost := alone - runs.keys():
        raise StudyError(
            f"{files.folder}/ has tables of {len(lost)} other runs, whose folders are not there, and would lose them: "
            "give this sweep another name (name=...), or another results folder (--results)"
        )
    surfaces = record.get("surfaces", {}).items()
    return Record(runs, {name: fields for name, fields in surfaces if fields["run"] in runs})


def collect(files: SweepFiles) -> list[Path]:
    """Write a sweep's Parquet files; returns their paths. What has not changed is not written.

    `curves.parquet` and `runs.parquet`; `attempts.parquet` where a run was started; `probes.parquet` and
    `surfaces.parquet` where something was measured.
    """
    now = OnDisk(files)
    curves, runs = now.curves_and_runs()
    tables = {files.curves: curves, files.runs_table: runs}
    further = {files.attempts: now.attempts(), files.probes: now.probes(), files.surfaces_table: now.surfaces()}
    tables |= {path: table for path, table in further.items() if table.num_rows or path.exists()}
    files.refuse_elsewhere()
    sweep_away_temporaries(files.folder)
    for path, table in tables.items():
        content = to_bytes(table)
        if not path.exists() or path.read_bytes() != content:
            write_bytes(path, content)
    return list(tables)
