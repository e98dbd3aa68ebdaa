"""Surfaces as .vts files, for ParaView.

The height is the decimal logarithm of the loss. Points without a finite loss stand at the largest height that there is,
and a loss of zero at the smallest; the .vts file has the values themselves, NaN and infinity among them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.errors import StudyError, nearest
from study.plotting.surfaces.frames import SPLITS, each
from study.plotting.surfaces.lattice import Floats, lattice
from study.store.files import write_bytes

VALUES = ("train_loss", "train_error", "test_loss", "test_error")  # nats and percent


class Relief(NamedTuple):
    """A surface: `points` has a row a measured point, with `VALUES` and the fields of the surface; `height` is theirs."""

    points: pd.DataFrame
    height: Floats
    finite: np.ndarray


def export(surface: pd.DataFrame, path: Path, *, split: str = "train") -> int:
    """Write one 2-D surface as a `.vts` file: its base lattice, alpha and beta across, the height up.

    `surface`: its rows of what `study.read_surfaces` gives. `path`: the `.vts` file; a write is atomic, and equal
    input gives equal bytes. `split`: whose loss is the height: `train` or `test`.
    """
    check(split)
    shape = relief(surface, split)
    write_bytes(path, _vts(shape))
    return int((~shape.finite).sum())


def export_all(surfaces: pd.DataFrame, folder: Path, split: str = "train") -> Iterator[str]:
    """Write each 2-D surface of a frame into a folder, made where it is missing; lines that say what was written.

    Raises StudyError as `export` does, before anything is written where that can be told.
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
    """Raise StudyError for what can't be written here."""
    _pyevtk()
    if split not in SPLITS:
        raise StudyError(f"unknown split '{split}'{nearest(split, SPLITS)}")


def _pyevtk() -> Any:
    try:
        from pyevtk import hl
    except ImportError:
        raise StudyError(".vts files are written by pyevtk: pip install 'degradation-study[export]'") from None
    return hl


def _name(surface: dict[Any, Any]) -> str:
    """`plain-56-seed0-random1-frozen-3fa9c2`: what people look for, and digits that no other surface has."""
    network = "ResNet" if surface["network"] == "residual" else surface["network"]
    plane = f"{surface['plane']}{surface['number']}" if surface["plane"] == "random" else surface["plane"]
    digits = hashlib.sha256(str(surface["surface_id"]).encode()).hexdigest()[:6]
    return f"{network}-{surface['depth']}-seed{surface['seed']}-{plane}-{surface['bn']}-{digits}"


def relief(surface: pd.DataFrame, split: str) -> Relief:
    """The points of a surface and their heights."""
    points = surface[surface["iteration"].isna()]
    values = points.pivot(index=["i", "j"], columns="split", values=["loss", "error"])
    values.columns = ["_".join(reversed(pair)) for pair in values.columns.to_list()]  # train_loss, ...
    rest = points.drop_duplicates(["i", "j"]).drop(columns=["split", "loss", "error", "images"])
    wide = rest.merge(values.reset_index(), on=["i", "j"]).sort_values(["i", "j"], ignore_index=True)
    for name in VALUES:
        wide[name] = wide[name].astype(float) if name in wide else math.nan
    losses = wide[f"{split}_loss"].to_numpy()
    finite = np.isfinite(losses)
    positive = losses[finite & (losses > 0)]
    if not len(positive):
        raise StudyError(f"it has no finite {SPLITS[split]} loss")
    low, high = positive.min(), positive.max()
    return Relief(wide, np.log10(np.where(finite, np.clip(losses, low, high), high)), finite)


def _vts(shape: Relief) -> bytes:
    grid = lattice(shape.points)
    there = grid.measured & shape.finite[grid.place]
    up = np.where(grid.measured, shape.height[grid.place], shape.height.max())
    across = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    data = {
        "height": up,
        **{name: grid.values(shape.points, name) for name in VALUES},
        "finite": there.astype(np.uint8),
    }

    def solid(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values[:, :, None])  # (A, B, 1), the first index fastest in the file

    with TemporaryDirectory() as folder:  # the library writes to a path only
        stem = Path(folder) / "surface"
        places = [solid(values) for values in (*across, up)]
        _pyevtk().gridToVTK(str(stem), *places, pointData={key: solid(values) for key, values in data.items()})
        return stem.with_suffix(".vts").read_bytes()
