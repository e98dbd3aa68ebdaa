import gzip
import struct

import numpy as np
import pytest

from study.data.idx import read_idx
from study.errors import StudyError


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


ARRAY = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize(("name", "pack"), [("plain", bytes), ("full.gz", gzip.compress), ("misnamed", gzip.compress)])
def test_reads_plain_and_gzipped(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(idx_bytes(ARRAY)))
    assert np.array_equal(read_idx(tmp_path / name, 3), ARRAY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02ab", "not an IDX file of 3-dimensional"),
        (b"<html>not found</html>", "not an IDX file"),
        (idx_bytes(ARRAY)[:10], "truncated in its header"),
        (idx_bytes(ARRAY)[:-1], "needs 60 bytes but 59 are there"),
        (idx_bytes(ARRAY) + b"x", "needs 60 bytes but 61 are there"),
        (gzip.compress(idx_bytes(ARRAY))[:-9], "unreadable or truncated"),
        (b"\x1f\x8b" + b"?" * 40, "unreadable or truncated"),
    ],
    ids=["empty", "labels", "html", "header", "short", "long", "gzip-short", "gzip-damaged"],
)
def test_bad_files_cost_one_line_that_names_them(tmp_path, content, says):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(StudyError, match=says) as caught:
        read_idx(tmp_path / "images", 3)
    assert str(tmp_path / "images") in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match="unreadable"):
        read_idx(tmp_path / "nothing", 3)
