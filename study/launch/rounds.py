"""How far a surface is: the chunks that are known so far, and its seal. Reads the disk, and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from study.config.surface import Surface
from study.measure.surface.lattice import Place, Point, chunks
from study.store.layout import SurfaceFiles
from study.store.surfaces import chunk_seconds, intact, load_points, read_spec, seal_surface, sealed, unseal


def known(files: SurfaceFiles, surface: Surface) -> tuple[dict[str, list[Point]], bool]:
    """The chunks of a surface that can be named so far, by key, and whether these are all.

    A refinement's chunks hang on what was measured before: they are known once all of that is.
    """
    found: dict[str, list[Point]] = {}
    waiting = False

    def losses(level: int) -> Mapping[Place, float] | None:
        nonlocal waiting
        waiting = not all(files.chunk(key).done.exists() for key in found)
        there = {} if waiting else _losses(files, surface, found)
        waiting = waiting or len(there) < sum(map(len, found.values()))  # damaged since; `finish` sees to it
        return None if waiting else there

    for key, points in chunks(surface, losses):
        found[key] = points
    return found, not waiting


def _losses(files: SurfaceFiles, surface: Surface, keys: Mapping[str, list[Point]]) -> dict[Place, float]:
    split = surface.splits[0]
    rows = [row for key in keys for row in load_points(files.chunk(key))[1]]
    return {(row["i"], row["j"]): row["loss"] for row in rows if row["split"] == split and row["iteration"] is None}


def finish(files: SurfaceFiles) -> bool:
    """Seal a surface whose chunks are all sealed; says whether it is sealed.

    Chunks whose points were damaged meanwhile are to be measured again: a surface is never sealed with holes.
    """
    if sealed(files):
        return True
    found, complete = known(files, read_spec(files))
    chunks = [files.chunk(key) for key in found]
    if not all(chunk.done.exists() for chunk in chunks):
        return False
    torn = [chunk for chunk in chunks if not intact(chunk)]
    for chunk in torn:
        unseal(chunk)
    if torn or not complete:
        return False
    seal_surface(files, chunk_seconds(files))
    return True
