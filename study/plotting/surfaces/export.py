"""Surfaces as .vts files, for ParaView.

The height is the decimal logarithm of the loss. Points without a finite loss stand at the largest height, and a loss of
zero at the smallest; the file has the values themselves, NaN and infinity among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from study.errors import StudyError
from study.plotting.surfaces.frames import SPLITS, check_choice, each
from study.plotting.surfaces.lattice import Lattice
from study.stats.naming import network_title
from study.store.files import write_bytes


def export(surface: pd.DataFrame, path: Path, *, split: str = "train") -> int:
    """Write one 2-D surface as a `.vts` file: its lattice, alpha and beta across, the height up.

    `surface`: its rows of `study.read_surfaces`. `path`: the `.vts` file; a write is atomic, and equal input gives equal
    bytes. `split`: whose loss is the height: `train` or `test`. Returns the number of points without a finite loss.
    """
    check(split)
    points = surface[surface["iteration"].isna()]
    lattices = {name: Lattice(points[points["split"] == name]) for name in SPLITS if (points["split"] == name).any()}
    if split not in lattices:
        raise StudyError(f"it has no finite {SPLITS[split]} loss")
    grid = lattices[split]
    losses = grid.values("loss")
    finite = np.isfinite(losses)
    positive = losses[finite & (losses > 0)]
    if not positive.size:
        raise StudyError(f"it has no finite {SPLITS[split]} loss")
    height = np.log10(np.where(finite, np.clip(losses, positive.min(), positive.max()), positive.max()))
    nothing = np.full(grid.shape, np.nan)
    data = {"height": height} | {
        f"{name}_{of}": lattices[name].values(of) if name in lattices else nothing
        for name in SPLITS
        for of in ("loss", "error")
    }
    _write(
        path, [*np.meshgrid(grid.alpha, grid.beta, indexing="ij"), height], data | {"finite": finite.astype(np.uint8)}
    )
    return int((grid.measured & ~finite).sum())


def export_all(surfaces: pd.DataFrame, folder: Path, split: str = "train") -> Iterator[str]:
    """Write each 2-D surface of a frame into a folder, made where it is missing; yields a line for each.

    Raises StudyError as `export` does, before anything is written where possible.
    """
    check(split)
    every = each(surfaces)
    flat = every[every["dims"] == 2]
    if flat.empty:
        raise StudyError("nothing to export: all surfaces are lines; the figure line1d draws them")
    for surface in flat.sort_values(["network", "depth", "seed", "surface_id"]).to_dict("records"):
        rows = surfaces[surfaces["surface_id"] == surface["surface_id"]]
        name = _name(surface)
        try:
            lost = export(rows, folder / f"{name}.vts", split=split)
        except StudyError as error:
            yield f"note: left out {name}: {error}"
            continue
        yield str(folder / f"{name}.vts")
        if lost:
            yield f"note: {name}: {lost:,} points without a finite {SPLITS[split]} loss stand at the largest height"
    if len(flat) < len(every):
        yield f"note: surfaces of one dimension have no shape, and are left out: {len(every) - len(flat)}"


def check(split: str) -> None:
    """Raise StudyError for an unknown split, or without the library."""
    _pyevtk()
    check_choice("split", split, SPLITS)


def _pyevtk() -> Any:
    try:
        from pyevtk import hl
    except ImportError:
        raise StudyError(".vts files are written by pyevtk: pip install 'degradation-study[export]'") from None
    return hl


def _name(surface: dict[Any, Any]) -> str:
    """`plain-56-seed0-random1-frozen-3fa9c2`: what people look for, and digits that no other surface has."""
    network = network_title(surface["network"], surface["family"]).replace(" ", "-")
    plane = f"{surface['plane']}{surface['number']}" if surface["plane"] == "random" else surface["plane"]
    digits = hashlib.sha256(str(surface["surface_id"]).encode()).hexdigest()[:6]
    return f"{network}-{surface['depth']}-seed{surface['seed']}-{plane}-{surface['bn']}-{digits}"


def _write(path: Path, places: list[np.ndarray], data: dict[str, np.ndarray]) -> None:
    def solid(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values[:, :, None])  # (A, B, 1), the first index fastest in the file

    with TemporaryDirectory() as folder:  # the library writes to a path only
        stem = Path(folder) / "surface"
        _pyevtk().gridToVTK(
            str(stem), *map(solid, places), pointData={key: solid(values) for key, values in data.items()}
        )
        write_bytes(path, stem.with_suffix(".vts").read_bytes())
