"""Error curves as Parquet: the schema, one run's file, and its rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from study.errors import StudyError
from study.store.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
"""Of the Parquet files of this package; a reader refuses a newer one."""

CURVES = pa.schema(
    [
        ("run_id", pa.string()),
        ("iteration", pa.int64()),
        ("epoch", pa.float64()),  # passes over the training set
        ("split", pa.string()),  # train: running, augmented; train_clean and test: evaluation mode, as they are
        ("loss", pa.float64()),  # mean cross-entropy, nats
        ("error", pa.float64()),  # percent
        ("lr", pa.float64()),  # rate of the step that ended at `iteration`
        ("seconds", pa.float64()),  # of training so far, over all attempts
    ]
)
"""Key: (run_id, iteration, split)."""

Row = dict[str, Any]


def to_bytes(table: pa.Table) -> bytes:
    """A table as Parquet, marked with the schema version."""
    sink = pa.BufferOutputStream()
    marked = table.replace_schema_metadata({**(table.schema.metadata or {}), b"study_version": str(VERSION).encode()})
    pq.write_table(marked, sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def parse(content: bytes) -> pa.Table:
    """A Parquet file's table, made by this very thread: those that pyarrow starts to read files by path abort a process
    that ends a moment later ("terminate called without an active exception", 10 % of short calls on a busy machine)."""
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def read_table(path: Path) -> pa.Table:
    """A Parquet file of this package.

    Raises
    ------
    StudyError
        The file is damaged, or of a version that this program does not know.
    FileNotFoundError
        There is no such file.
    """
    content = path.read_bytes()
    try:
        table = parse(content)
    except (pa.ArrowInvalid, OSError) as error:  # the latter for damage to its inner parts
        raise StudyError(f"{path}: is damaged: {' '.join(str(error).split())}") from None
    version = int((table.schema.metadata or {}).get(b"study_version", b"0"))
    if not 1 <= version <= VERSION:
        raise StudyError(f"{path}: has schema version {version}; this program reads version {VERSION}")
    return table


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Replace a run's curves as one act."""
    write_bytes(path, to_bytes(pa.Table.from_pylist(list(rows), schema=CURVES)))
