"""Surfaces on disk: their specs, the points of their chunks, and the final table."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from study.config.surface import Surface, surface_id
from study.errors import StudyError
from study.store import lease
from study.store.files import DamagedError, digest, read_checked, read_json, remove, write_bytes, write_json
from study.store.layout import ChunkFiles, SurfaceFiles
from study.store.runs import check_sealed, seal, write_done
from study.store.tables import Row, Table, parse, to_bytes

log = logging.getLogger(__name__)

POINTS = Table(
    pa.schema(
        [
            ("i", pa.int64()),  # place along the first axis, on the finest lattice; number of a trajectory's point
            ("j", pa.int64()),  # along the second; 0 on a line
            ("level", pa.int64()),  # 0: the requested lattice; n: added by the n-th refinement
            ("alpha", pa.float64()),  # coordinates, in units of the directions
            ("beta", pa.float64()),
            ("iteration", pa.int64()),  # of a snapshot of the training; null for a point of the plane itself
            ("residual", pa.float64()),  # distance of a snapshot from the plane
            ("split", pa.string()),  # train or test
            ("loss", pa.float64()),  # mean cross-entropy, nats; may be NaN or infinite
            ("error", pa.float64()),  # percent
            ("images", pa.int64()),
            ("lambda_max", pa.float64()),  # of the Hessian of the training loss, if requested
            ("lambda_min", pa.float64()),
        ]
    ),
    key=("iteration", "i", "j", "split"),
)
"""The measurements at a point: a row per split."""

VERSION = 2

SETTINGS = pa.schema(
    [
        ("surface_id", pa.string()),
        ("run_id", pa.string()),  # of the centre
        ("plane", pa.string()),
        ("to", pa.list_(pa.string())),
        ("number", pa.int64()),
        ("dims", pa.int64()),
        ("points_a", pa.int64()),  # of the requested lattice, along each axis
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
        ("refine", pa.int64()),  # 0, as level
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
"""Properties of a plane; null where they do not apply."""

SURFACES = Table(pa.schema([*SETTINGS, *POINTS.schema]), ("surface_id", "iteration", "i", "j", "split"), ADDED)


def write_spec(files: SurfaceFiles, surface: Surface) -> None:
    """Write a surface's spec, unless there is an intact one."""
    with contextlib.suppress(StudyError):
        read_spec(files)
        return
    write_json(files.spec, {"version": VERSION, **surface.model_dump(mode="json")})


def read_spec(files: SurfaceFiles) -> Surface:
    """The stored spec of a surface; raises `StudyError` if it is missing, damaged, or of a later version."""
    content = read_json(files.spec, VERSION)
    if content is None:
        raise StudyError(f"{files.spec}: is missing; start the surface with `study surface`")
    version = content.pop("version", 1)
    try:
        surface = Surface.model_validate(content)
    except ValueError:
        raise StudyError(f"{files.spec}: is not the spec of a surface") from None
    if version == VERSION and surface_id(surface) != files.run_id:  # ids of version 1 were made otherwise
        raise StudyError(f"{files.spec} is not the spec that this surface was named for; it was changed by hand")
    return surface


# -- the points of a chunk ----------------------------------------------------------------------------------------------


def save_points(files: ChunkFiles, count: int, rows: Sequence[Row], keep: int = 2) -> None:
    """Write the measurements at a chunk's first `count` points; of its files only the newest `keep` stay."""
    content = to_bytes(POINTS.of(rows))
    path = files.points(count, digest(content))
    write_bytes(path, content)
    for old in [p for p in files.checkpoints() if p != path][keep - 1 :]:
        remove(old)


def load_points(files: ChunkFiles, *, aside: bool = False) -> tuple[int, list[Row]]:
    """How many points of a chunk are measured, and the rows; damaged files are passed over with a warning."""
    for path in files.checkpoints():
        try:
            table = POINTS.check(parse(path, read_checked(path, aside=aside)), path)
        except (OSError, ValueError, StudyError) as error:
            log.warning("passed over %s: %s", path.name, error)
            continue
        return int(path.name.split("-")[1]), table.to_pylist()
    return 0, []


def intact(files: ChunkFiles) -> bool:
    """Whether a sealed chunk still has all points."""
    try:
        done = seal(files)
    except DamagedError:
        return False
    return done is not None and load_points(files)[0] == done["iteration"]


# -- whole surfaces -------------------------------------------------------------------------------------------------------


def sealed(files: SurfaceFiles) -> bool:
    """Whether a surface is measured, with intact spec and table."""
    try:
        read_spec(files)
        done = seal(files)
        if done is not None:
            check_sealed(files, done)
    except StudyError:
        return False
    return done is not None and files.table.exists()


def gather(files: SurfaceFiles) -> pa.Table:
    """The measurements of a surface so far, as `SURFACES`."""
    with contextlib.suppress(FileNotFoundError):
        try:
            return SURFACES.read(files.table)
        except DamagedError as error:
            log.warning("%s; its chunks are read instead", error)
    rows = [row for chunk in files.chunks() for row in load_points(chunk)[1]]
    points, settings = POINTS.of(rows), _settings(files, rows)
    columns = [pa.array([settings[field.name]] * len(points), field.type) for field in SETTINGS]
    return SURFACES.collect([pa.Table.from_arrays([*columns, *points.columns], schema=SURFACES.schema)])


def _facts(files: SurfaceFiles) -> dict[str, Any]:
    try:
        return read_json(files.facts) or {}
    except DamagedError as error:
        log.warning("%s; the table does without", error)
        return {}


def _settings(files: SurfaceFiles, rows: Sequence[Row]) -> Row:
    surface, facts = read_spec(files), _facts(files)
    points = (*surface.points, 1)[:2]
    ranges = (*(surface.range or facts.get("ranges") or _extent(surface, rows)), (0.0, 0.0))[:2]
    return surface.model_dump() | {
        "surface_id": files.run_id,
        "run_id": surface.run,
        "to": list(surface.to),
        "refine": 0,
        **dict(zip(("points_a", "points_b"), points, strict=True)),
        **{f"range_{axis}_{end}": value for axis, pair in zip("ab", ranges, strict=True)
           for end, value in zip(("low", "high"), pair, strict=True)},
        **{name: facts.get(name) for name in FACTS},
    }  # fmt: skip


def _extent(surface: Surface, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The range of each axis as far as it is measured, for a plane without facts about it."""
    plane = [row for row in rows if row["iteration"] is None]
    found = [[row[name] for row in plane] or [0.0] for name in ("alpha", "beta")[: surface.dims]]
    return [(min(values), max(values)) for values in found]


def finish(files: SurfaceFiles, keys: Iterable[str]) -> bool:
    """Seal a surface if all its chunks are sealed; False if some are not.

    Chunks whose points were damaged since are unsealed, to be measured again: a surface is never sealed with holes.
    """
    if sealed(files):
        return True
    chunks = [files.chunk(key) for key in keys]
    if not all(chunk.done.exists() for chunk in chunks):
        return False
    torn = [chunk for chunk in chunks if not intact(chunk)]
    for chunk in torn:
        log.warning("%s has lost points since it was measured; they are measured again", chunk.run_id)
        remove(chunk.done)
    if torn:
        return False
    remove(files.table)  # of a surface that lost its seal: the chunks are gathered anew
    table = gather(files)
    seconds = math.fsum((read_json(chunk.done) or {}).get("seconds", 0.0) for chunk in files.chunks())
    facts = {"outcome": "finished", "iteration": len(table), "error": None, "seconds": seconds}
    write_done(files, {files.table.name: SURFACES.write(files.table, table)}, **facts)
    lease.tidy(files)
    return True
