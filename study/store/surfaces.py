"""Surfaces on disk: their specs, the points of their chunks, and the table that they end as."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from study.config.surface import Surface, surface_id
from study.errors import StudyError
from study.store import lease
from study.store.files import (
    DamagedError,
    check_version,
    digest,
    read_checked,
    read_json,
    remove,
    write_bytes,
    write_json,
)
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles
from study.store.tables import parse, read_table, table_of, to_bytes

log = logging.getLogger(__name__)

POINTS = pa.schema(
    [
        ("i", pa.int64()),  # place along the first axis, on the finest lattice; of a trajectory's point its number
        ("j", pa.int64()),  # along the second; 0 on a line
        ("level", pa.int64()),  # 0: the lattice that was asked for; n: added by the n-th refinement
        ("alpha", pa.float64()),  # coordinates, in units of the directions
        ("beta", pa.float64()),
        ("iteration", pa.int64()),  # of a snapshot of the training; null for a point of the plane itself
        ("residual", pa.float64()),  # of a snapshot: its distance from the plane
        ("split", pa.string()),  # train or test
        ("loss", pa.float64()),  # mean cross-entropy, nats; NaN and infinity as they are
        ("error", pa.float64()),  # percent
        ("images", pa.int64()),
        ("lambda_max", pa.float64()),  # of the Hessian of the training loss, where it was asked for
        ("lambda_min", pa.float64()),
    ]
)
"""What is measured at a point: a row a split."""

VERSION = 2
"""Of a surface's `spec.json`."""

SETTINGS = pa.schema(
    [
        ("surface_id", pa.string()),
        ("run_id", pa.string()),  # of the centre
        ("plane", pa.string()),
        ("to", pa.list_(pa.string())),
        ("number", pa.int64()),
        ("dims", pa.int64()),
        ("points_a", pa.int64()),  # of the lattice that was asked for, along each axis
        ("points_b", pa.int64()),  # 1 on a line
        ("range_a_low", pa.float64()),
        ("range_a_high", pa.float64()),
        ("range_b_low", pa.float64()),  # 0 on a line, and so is the highest
        ("range_b_high", pa.float64()),
        ("normalisation", pa.string()),
        ("orthogonal", pa.bool_()),
        ("ignore", pa.string()),
        ("centred", pa.bool_()),
        ("subset", pa.int64()),
        ("bn", pa.string()),
        ("bn_images", pa.int64()),
        ("precision", pa.string()),
        ("refine", pa.int64()),
        ("curvature_images", pa.int64()),
        ("cosine", pa.float64()),  # of the angle between the two directions
        ("eigenvalue_a", pa.float64()),  # of the Hessian, where its eigenvectors are the directions
        ("eigenvalue_b", pa.float64()),
        ("explained_a", pa.float64()),  # share of a trajectory's squared distances that lies along a direction
        ("explained_b", pa.float64()),
    ]
)

ADDED = {"centred": False, "ignore": "biasbn"}
"""Settings that were added later, with the value under which older surfaces were measured."""

FACTS = ("cosine", "eigenvalue_a", "eigenvalue_b", "explained_a", "explained_b")
"""What is known of a plane once it is made; null where it does not apply."""

SURFACES = pa.schema([*SETTINGS, *POINTS])
"""Key: (surface_id, iteration, i, j, split)."""

KEY = ["surface_id", "iteration", "i", "j", "split"]

Row = dict[str, Any]


def write_spec(files: SurfaceFiles, surface: Surface) -> None:
    """Put a surface's spec into its folder, where a sound one is not there already."""
    with contextlib.suppress(StudyError):
        read_spec(files)
        return
    write_json(files.spec, {"version": VERSION, **surface.model_dump(mode="json")})


def read_spec(files: SurfaceFiles) -> Surface:
    """The stored spec of a surface.

    Raises
    ------
    StudyError
        It is missing, damaged, not the one that the surface was named for, or of a later version of this program.
    """
    content = read_json(files.spec)
    if content is None:
        raise StudyError(f"{files.spec}: is missing; start the surface with `study surface`")
    version = content.pop("version", 1)
    check_version(files.spec, version, VERSION)
    try:
        surface = Surface.model_validate(content)
    except ValueError:
        raise StudyError(f"{files.spec}: is not the spec of a surface") from None
    if version == VERSION and surface_id(surface) != files.run_id:  # ids of version 1 were made otherwise
        raise StudyError(f"{files.spec} is not the spec that this surface was named for; it was changed by hand")
    return surface


# -- the points of a chunk ----------------------------------------------------------------------------------------------


def save_points(files: ChunkFiles, count: int, rows: Sequence[Row], keep: int = 2) -> None:
    """Write what was measured at a chunk's first `count` points, as one act; older files go, but for the newest `keep`."""
    content = to_bytes(table_of(rows, POINTS))
    path = files.points(count, digest(content))
    write_bytes(path, content)
    for old in [p for p in files.checkpoints() if p != path][keep - 1 :]:
        remove(old)


def load_points(files: ChunkFiles, *, aside: bool = False) -> tuple[int, list[Row]]:
    """At how many points a chunk was measured, and the rows; damaged files are passed over, and said so.

    `aside` as of `read_checked`.
    """
    for path in files.checkpoints():
        try:
            table = parse(read_checked(path, aside=aside)).cast(POINTS)
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            log.warning("passed over %s: %s", path.name, error)
            continue
        return int(path.name.split("-")[1]), table.to_pylist()
    return 0, []


def intact(files: ChunkFiles) -> bool:
    """Whether a sealed chunk still has all the points of which its seal speaks."""
    try:
        done = read_json(files.done) or {}
    except DamagedError:
        return False
    own = done.get("run_id", files.run_id) == files.run_id
    return own and load_points(files)[0] == done.get("iteration")


def sealed(files: SurfaceFiles) -> bool:
    """Whether a surface is measured, and spec and table are still what they were then; else they are made again."""
    try:
        read_spec(files)
        done, table = read_json(files.done), files.table.read_bytes()
    except (StudyError, FileNotFoundError):
        return False
    return done is not None and done.get("table", digest(table)) == digest(table)


def unseal(files: ChunkFiles) -> None:
    """Have a chunk measured again as far as its points are gone."""
    log.warning("%s has lost points since it was measured; they are measured again", files.run_id)
    remove(files.done)


# -- whole surfaces -------------------------------------------------------------------------------------------------------


def gather(files: SurfaceFiles) -> pa.Table:
    """What was measured of a surface so far, sorted by its key."""
    with contextlib.suppress(FileNotFoundError):
        try:
            return _completed(read_table(files.table))
        except DamagedError as error:
            log.warning("%s; its chunks are read instead", error)
    rows = [row for chunk in files.chunks() for row in load_points(chunk)[1]]
    points = pa.Table.from_pylist(rows, schema=POINTS)
    facts = _facts(files)
    settings = _settings(files.run_id, read_spec(files), rows) | {name: facts.get(name) for name in FACTS}
    columns = [pa.array([settings[field.name]] * len(points), field.type) for field in SETTINGS]
    return ordered(pa.Table.from_arrays([*columns, *points.columns], schema=SURFACES))


def _completed(table: pa.Table) -> pa.Table:
    """A table that was sealed before a setting was there, with the value under which it was measured."""
    for name in SETTINGS.names:
        if name in ADDED and name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(ADDED[name]), len(table)))
    return table.select(SURFACES.names).cast(SURFACES)


def _facts(files: SurfaceFiles) -> dict[str, Any]:
    """What was found of a plane when it was made."""
    try:
        return read_json(files.facts) or {}
    except DamagedError as error:
        log.warning("%s; the table does without", error)
        return {}


def ordered(table: pa.Table) -> pa.Table:
    """The rows in the order of their key."""
    return table.sort_by([(name, "ascending") for name in KEY])


def _settings(name: str, surface: Surface, rows: Sequence[Row]) -> Row:
    points = (*surface.points, 1)[:2]
    ranges = (*(surface.range or _extent(surface, rows)), (0.0, 0.0))[:2]
    return surface.model_dump() | {
        "surface_id": name,
        "run_id": surface.run,
        "to": list(surface.to),
        **dict(zip(("points_a", "points_b"), points, strict=True)),
        **{f"range_{axis}_{end}": value for axis, pair in zip("ab", ranges, strict=True)
           for end, value in zip(("low", "high"), pair, strict=True)},
    }  # fmt: skip


def _extent(surface: Surface, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The range of each axis, where the spec leaves it to the trajectory: from the points, of which some may be missing."""
    plane = [row for row in rows if row["iteration"] is None]
    ends = []
    for place, coordinate, points in zip("ij", ("alpha", "beta"), surface.points, strict=False):
        known = {row[place]: row[coordinate] for row in plane}
        if not known:
            ends.append((0.0, 0.0))
            continue
        first, last, whole = min(known), max(known), (points - 1) * 2**surface.refine
        low, high = known[first], known[last]
        step = (high - low) / (last - first or 1)
        ends.append(
            (low if first == 0 else low - first * step, high if last == whole else high + (whole - last) * step)
        )
    return ends


def seal(files: SurfaceFiles, seconds: float) -> None:
    """Write the table of a surface that is measured, and then that it is done."""
    table = gather(files)
    content = to_bytes(table)
    write_bytes(files.table, content)
    facts = {"outcome": "finished", "iteration": len(table), "error": None, "seconds": seconds}
    write_json(files.done, {"run_id": files.run_id, "table": digest(content), **facts})
    lease.tidy(files)


def chunk_seconds(files: SurfaceFiles) -> float:
    """Seconds that were spent on a surface's sealed chunks."""
    return math.fsum((read_json(chunk.done) or {}).get("seconds", 0.0) for chunk in files.chunks())


def of_runs(runs: Iterable[RunFiles]) -> list[SurfaceFiles]:
    """The surfaces around these runs' networks, those that can be told, by id."""
    centres = list(runs)  # gone through twice
    wanted = {run.run_id for run in centres}
    folders = {files.folder.parent.parent: files for files in centres}
    found = {}
    for files in folders.values():
        for surface in files.surfaces():
            try:
                if read_spec(surface).run in wanted:
                    found[surface.run_id] = surface
            except StudyError as error:
                log.warning("%s; its surface is left out", error)
    return [found[name] for name in sorted(found)]


def run_folder(files: SurfaceFiles, name: str) -> RunFiles:
    """A run that a surface names: in the folder of its own sweep, or wherever under the same results folder.

    Raises
    ------
    StudyError
        It is not there.
    """
    sweep = files.folder.parent.parent
    own, results = RunFiles(sweep / "runs" / name), sweep.parent
    if own.spec.exists():
        return own
    for path in sorted(results.glob(f"*/runs/{name}/spec.json")):
        return RunFiles(path.parent)
    raise StudyError(f"no run {name} under {results}/")


def reset(files: SurfaceFiles) -> None:
    """Forget all that was measured of a surface.

    Raises
    ------
    StudyError
        Another process is measuring it.
    """
    tasks = (files, *files.chunks())
    held = lease.claim_all(tasks)
    try:
        busy = [task.run_id for task in tasks if task.run_id not in held]
        if busy:
            raise StudyError(f"{busy[0]} is being measured; it cannot start over")
        remove(files.done)  # the seal goes first: if this is cut short, the surface is not done
        for path in (files.table, files.failed, files.facts, *files.planes()):
            remove(path)
        shutil.rmtree(files.folder / "chunks", ignore_errors=True)
    finally:
        for own in held.values():
            own.release()


def forget(run: RunFiles) -> None:
    """Forget what was measured around a run's network, which is to be trained anew. Raises as `reset`."""
    for files in run.surfaces():
        try:
            spec = read_spec(files)
        except StudyError:
            continue
        if run.run_id in (spec.run, *spec.to):
            reset(files)
