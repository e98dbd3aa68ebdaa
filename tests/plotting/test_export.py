"""Exported surfaces, read back: lattices of 5 × 3 points, so that a transposed one is found out."""

import re
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from study.errors import StudyError
from study.plotting.surfaces.export import export, export_all

from .planes import four, surface, together

ALPHA, BETA = [-1, -0.5, 0, 0.5, 1], [-0.5, 0, 0.5]
DTYPES = {"Float64": "<f8", "UInt8": "u1"}


@pytest.fixture
def slope():
    """5 × 3 points, spans 1 and 0.5; log10 of the training loss is alpha + 10 beta, but for a NaN and an infinity."""
    frame = surface(shape=(5, 3), spans=(1.0, 0.5))
    frame["loss"] = 10 ** (frame["alpha"] + 10 * frame["beta"]) * np.where(frame["split"] == "test", 2, 1)
    frame.loc[(frame["i"] == 4) & (frame["j"] == 0), "loss"] = np.nan
    frame.loc[(frame["i"] == 0) & (frame["j"] == 1), "loss"] = np.inf
    return frame.sample(frac=1, random_state=2)


def heights():
    """(5, 3): what the heights of `slope` must be; the highest point is alpha 1, beta 0.5."""
    wanted = np.add.outer(ALPHA, 10 * np.array(BETA))
    wanted[4, 0] = wanted[0, 1] = 6
    return wanted


def read_vts(path):
    """The extent of a structured grid, and its arrays as they lie in the file: the first index fastest."""
    content = path.read_bytes()
    head, _, rest = content.partition(b'<AppendedData encoding="raw">')
    raw = rest[rest.index(b"_") + 1 :]
    root = ElementTree.fromstring(head + b"</VTKFile>")
    assert root.attrib["type"] == "StructuredGrid" and root.attrib["byte_order"] == "LittleEndian"
    arrays = {}
    for array in root.iter("DataArray"):
        offset = int(array.attrib["offset"])
        (size,) = struct.unpack_from("<Q", raw, offset)
        values = np.frombuffer(raw[offset + 8 : offset + 8 + size], DTYPES[array.attrib["type"]])
        width = int(array.attrib["NumberOfComponents"])
        arrays[array.attrib["Name"]] = values.reshape(-1, width) if width > 1 else values
    piece = next(root.iter("Piece"))
    return tuple(map(int, piece.attrib["Extent"].split())), arrays


def test_vts_holds_the_lattice_and_all_values(slope, tmp_path):
    assert export(slope, tmp_path / "a.vts") == 2
    extent, arrays = read_vts(tmp_path / "a.vts")
    assert extent == (0, 4, 0, 2, 0, 0)
    alpha, beta = np.tile(ALPHA, 3), np.repeat(BETA, 5)
    np.testing.assert_allclose(arrays["points"], np.column_stack([alpha, beta, heights().T.ravel()]))
    np.testing.assert_allclose(arrays["height"], heights().T.ravel())
    for split in ("train", "test"):
        rows = slope[slope["split"] == split].sort_values(["j", "i"])
        for value in ("loss", "error"):
            np.testing.assert_array_equal(arrays[f"{split}_{value}"], rows[value])
    assert arrays["finite"].tolist() == np.isfinite(arrays["train_loss"]).astype(int).tolist()
    export(slope, tmp_path / "test.vts", split="test")
    np.testing.assert_allclose(read_vts(tmp_path / "test.vts")[1]["height"] - arrays["height"], np.log10(2))


def test_missing_points_are_nan_and_a_loss_of_zero_stands_at_the_smallest_height(slope, tmp_path):
    slope.loc[(slope["i"] == 1) & (slope["j"] == 1), "loss"] = 0.0
    assert export(slope[~((slope["i"] == 2) & (slope["j"] >= 1))], tmp_path / "a.vts") == 2
    extent, arrays = read_vts(tmp_path / "a.vts")
    assert extent == (0, 4, 0, 2, 0, 0)
    np.testing.assert_allclose(arrays["points"][:, :2], np.column_stack([np.tile(ALPHA, 3), np.repeat(BETA, 5)]))
    lost = np.flatnonzero(np.isnan(arrays["test_error"]))
    assert lost.tolist() == [7, 12] and not arrays["finite"][lost].any()
    assert arrays["height"][6] == arrays["height"].min() == pytest.approx(-6)


def test_equal_input_gives_equal_bytes_and_no_other_file(slope, tmp_path):
    for name in "ab":
        export(slope.sample(frac=1, random_state=ord(name)), tmp_path / f"{name}.vts")
    assert (tmp_path / "a.vts").read_bytes() == (tmp_path / "b.vts").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_each_surface_has_a_file_of_its_own(tmp_path):
    more = [surface(shape=(5, 3), seed=1), surface(shape=(5, 3), number=1), surface(shape=(5, 3), precision="bf16")]
    empty = surface(shape=(5, 3), seed=2).assign(loss=np.nan)
    frame = together(four(("frozen", "batch"), shape=(5, 3)), *more, empty, surface(shape=(5, 1)))
    lines = list(export_all(frame, tmp_path / "new"))
    paths = sorted(Path(line) for line in lines if not line.startswith("note: "))
    assert paths == sorted((tmp_path / "new").iterdir()) and len(paths) == 11
    assert any(re.fullmatch(r"plain-56-seed0-random0-batch-[0-9a-f]{6}\.vts", path.name) for path in paths)
    assert sum("points without a finite training loss stand at the largest height" in line for line in lines) == 2
    [left_out] = [line for line in lines if "left out plain-20-seed2" in line]
    assert left_out.endswith("it has no finite training loss")
    assert lines[-1] == "note: surfaces of one dimension have no shape, and are left out: 1"


def test_what_cannot_be_exported_is_refused_before_anything_is_written(tmp_path):
    frame = surface(shape=(5, 3))
    for call, message in (
        ((frame, "tets"), "unknown split 'tets'; did you mean 'test'?"),
        ((frame.iloc[:0],), "no surface has been measured; `study surface SWEEP` measures them"),
        ((surface(shape=(5, 1)),), "all surfaces are lines"),
    ):
        with pytest.raises(StudyError, match=re.escape(message)):
            list(export_all(call[0], tmp_path, *call[1:]))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyevtk"] + ["pyevtk"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StudyError, match="written by pyevtk: pip install 'degradation-study"):
        export(surface(shape=(5, 3)), tmp_path / "a.vts")
