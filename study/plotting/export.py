"""Surfaces as files for other programs: ParaView (.vts), printers (.stl), and viewers of glTF (.glb).

The height is the decimal logarithm of the loss. Points without a finite loss stand at the largest height that there is,
and a loss of zero at the smallest; the .vts file has the values themselves, NaN and infinity among them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.errors import StudyError, nearest
from study.plotting.lattice import Floats, lattice, triangles
from study.plotting.planes import LEVELS
from study.plotting.surfaces import SPLITS, each
from study.store.files import write_bytes

VALUES = ("train_loss", "train_error", "test_loss", "test_error")  # nats and percent
GREY = (150, 150, 150, 255)  # of points without a finite loss


class Relief(NamedTuple):
    """A surface: `points` has a row a measured point, with `VALUES` and the fields of the surface; `height` is theirs."""

    points: pd.DataFrame
    height: Floats
    finite: np.ndarray

    @property
    def vertices(self) -> Floats:
        """(N, 3): alpha, beta, height."""
        return np.column_stack([self.points[["alpha", "beta"]].to_numpy(float), self.height])


def export(surface: pd.DataFrame, path: Path, *, split: str = "train") -> int:
    """Write one 2-D surface, in the format that the path's suffix names.

    A `.vts` file has the base lattice; `.stl` and `.glb` have triangles between all points, refined ones too. Alpha and
    beta are across; the height is up, which is z, and y in a scene of glTF.

    Parameters
    ----------
    surface
        Its rows of what `study.read_surfaces` gives.
    path
        The file; a write is atomic, and equal input gives equal bytes.
    split
        Whose loss is the height: `train` or `test`.

    Returns
    -------
    The number of points that have no finite loss.

    Raises
    ------
    StudyError
        An unknown suffix, a library that is not installed, or a surface that has no such heights.
    """
    check([path.suffix.removeprefix(".")], split)
    shape = relief(surface, split)
    write_bytes(path, WRITERS[path.suffix.removeprefix(".")](shape))
    return int((~shape.finite).sum())


def export_all(surfaces: pd.DataFrame, folder: Path, formats: Sequence[str], split: str = "train") -> Iterator[str]:
    """Write each 2-D surface of a frame into a folder, made where it is missing; lines that say what was written.

    Raises StudyError as `export` does, before anything is written where that can be told.
    """
    check(formats, split)
    every = each(surfaces)
    flat = every[every["dims"] == 2]
    if flat.empty:
        raise StudyError("nothing to export: all surfaces are lines; the figure line1d draws them")
    for surface in flat.sort_values(["network", "depth", "seed", "surface_id"]).to_dict("records"):
        rows = surfaces[surfaces["surface_id"] == surface["surface_id"]]
        name = _name(surface)
        try:
            lost = [export(rows, folder / f"{name}.{suffix}", split=split) for suffix in formats]
        except StudyError as error:
            yield f"note: left out {name}: {error}"
            continue
        yield from (str(folder / f"{name}.{suffix}") for suffix in formats)
        if lost[0]:
            yield f"note: {name}: {lost[0]:,} points without a finite {SPLITS[split]} loss stand at the largest height"
    if len(flat) < len(every):
        yield f"note: surfaces of one dimension have no shape, and are left out: {len(every) - len(flat)}"


def check(formats: Sequence[str], split: str) -> None:
    """Raise StudyError for what can't be written here."""
    for name in formats:
        if name not in WRITERS:
            raise StudyError(f"unknown export format '{name}'{nearest(name, WRITERS)}")
        _library(name)
    if split not in SPLITS:
        raise StudyError(f"unknown split '{split}'{nearest(split, SPLITS)}")


def _library(suffix: str) -> Any:
    name = "pyevtk.hl" if suffix == "vts" else "trimesh"
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise StudyError(f".{suffix} files are written by {package}: pip install 'degradation-study[export]'") from None


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
        _library("vts").gridToVTK(str(stem), *places, pointData={key: solid(values) for key, values in data.items()})
        return stem.with_suffix(".vts").read_bytes()


def _mesh(shape: Relief, **more: Any) -> Any:
    faces = triangles(shape.points)
    if not len(faces):
        raise StudyError("too few of its points were measured")
    return _library("glb").Trimesh(shape.vertices, faces, process=False, **more)


def _stl(shape: Relief) -> bytes:
    content: bytes = _mesh(shape).export(file_type="stl")
    return content


def _glb(shape: Relief) -> bytes:
    scene = _library("glb").Scene()
    y_is_up = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float)
    scene.add_geometry(_mesh(shape, vertex_colors=_colours(shape)), geom_name="surface", transform=y_is_up)
    content: bytes = scene.export(file_type="glb")
    return content


def _colours(shape: Relief) -> np.ndarray:
    """(N, 4) bytes: by the logarithm of the loss, over the range of the figure `contours`, so that surfaces compare."""
    import matplotlib

    low, high = math.log10(LEVELS["loss"][0]), math.log10(LEVELS["loss"][-1])
    colours = matplotlib.colormaps["viridis"](np.clip((shape.height - low) / (high - low), 0, 1), bytes=True)
    return np.where(shape.finite[:, None], colours, np.array(GREY, dtype=np.uint8))


WRITERS: dict[str, Callable[[Relief], bytes]] = {"vts": _vts, "stl": _stl, "glb": _glb}
