"""Reading IDX files, the format of MNIST and its kin (described by LeCun, Cortes and Burges)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from study.data.images import Images
from study.errors import StudyError

GZIP_MAGIC = b"\x1f\x8b"
UINT8 = 0x08


def read_idx(path: Path, ndim: int) -> Images:
    """The uint8 array of `ndim` axes in an IDX file, gzipped or plain.

    Raises `StudyError`, one line, where the file is unreadable, truncated, or holds something else.
    """
    content = _read(path)
    header = 4 + 4 * ndim
    if content[:4] != bytes([0, 0, UINT8, ndim]):
        raise StudyError(
            f"{path}: not an IDX file of {ndim}-dimensional uint8 data "
            f"(it begins with {content[:4].hex(' ') or 'nothing'})"
        )
    if len(content) < header:
        raise StudyError(f"{path}: truncated in its header; delete it and provide it again")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise StudyError(
            f"{path}: shape {shape} needs {math.prod(shape)} bytes but {len(content) - header} are "
            "there; the file is truncated or corrupt: delete it and provide it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        # Told by its first bytes, as files are renamed when they are copied.
        return gzip.decompress(content) if content[:2] == GZIP_MAGIC else content
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"{path}: unreadable or truncated ({error}); delete it and provide it again") from error
