"""Error curves as Parquet: the schema, one run's file, and its rows; and how this package's Parquet files carry checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from study.store.files import DamagedError, check_version, digest, write_bytes
from study.store.layout import RunFiles

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


def table_of(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table of texts, int64 and float64; what a row lacks is null. As `Table.from_pylist`, but without pandas.

    pyarrow imports pandas to look at a list, which takes half a second in every process that trains; so its buffers are
    made here.
    """
    columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    there = np.array([value is not None for value in values], dtype=bool)
    nulls = len(values) - int(there.sum())
    buffers = [pa.py_buffer(np.packbits(there, bitorder="little")) if nulls else None]
    if kind == pa.string():
        texts = [b"" if value is None else value.encode() for value in values]
        buffers += [pa.py_buffer(np.cumsum([0, *map(len, texts)], dtype=np.int32)), pa.py_buffer(b"".join(texts))]
    else:
        dtype = {pa.int64(): np.int64, pa.float64(): np.float64}[kind]
        buffers += [pa.py_buffer(np.array([0 if value is None else value for value in values], dtype=dtype))]
    return pa.Array.from_buffers(kind, len(values), buffers, nulls)


SUM = b"study_sha256"
"""The key in a Parquet file's own metadata under which it has its checksum."""
_MARK, _DIGITS = b"sha256:", 64
_BLANK = _MARK + b"0" * _DIGITS


def to_bytes(table: pa.Table) -> bytes:
    """A table as Parquet, marked with the schema version, and with the SHA-256 of the file in it.

    The checksum is that of all bytes with zeros in its own place, in the footer, where other programs pass over it.
    """
    told = {key: value for key, value in (table.schema.metadata or {}).items() if key != SUM}
    marked = table.replace_schema_metadata({**told, b"study_version": str(VERSION).encode()})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, marked.schema, compression="zstd") as writer:
        writer.write_table(marked)
        writer.add_key_value_metadata({SUM: _BLANK})
    content = bytearray(sink.getvalue())
    place = content.rindex(_BLANK)
    content[place + len(_MARK) : place + len(_BLANK)] = hashlib.sha256(content).hexdigest().encode()
    return bytes(content)


def _check(content: bytes) -> None:
    """Raise ValueError where a Parquet file's content does not match the checksum in it. Those of earlier versions have none.

    Before anything is parsed: what is damaged is not shown to a parser.
    """
    place = content.rfind(_MARK)
    told = content[place + len(_MARK) : place + len(_BLANK)]
    if place < 0 or content.rfind(SUM, 0, place) < 0:
        return
    found = hashlib.sha256(memoryview(content)[:place])
    found.update(_BLANK)
    found.update(memoryview(content)[place + len(_BLANK) :])
    if found.hexdigest().encode() != told:
        raise ValueError("its content does not match its checksum")


def parse(content: bytes, *, checked: bool = False) -> pa.Table:
    """A Parquet file's table. Raises ValueError for a damaged one. `checked` where it is known to be what was written.

    It is made by this very thread: those that pyarrow starts to read files by path abort a process that ends a moment later
    ("terminate called without an active exception", 10 % of short calls on a busy machine).
    """
    if not checked:
        _check(content)
    try:
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as error:  # OSError for damage to its inner parts
        raise ValueError(" ".join(str(error).split())) from None


def read_table(path: Path) -> pa.Table:
    """A Parquet file of this package.

    Raises
    ------
    DamagedError
        It is not what was written.
    StudyError
        It is of a version that this program does not know.
    FileNotFoundError
        There is no such file.
    """
    return _table(path, path.read_bytes())


def _table(path: Path, content: bytes, *, checked: bool = False) -> pa.Table:
    try:
        table = parse(content, checked=checked)
    except ValueError as error:
        raise DamagedError(f"{path}: is damaged: {error}") from None
    version = (table.schema.metadata or {}).get(b"study_version", b"0")
    check_version(path, int(version) if version.isdigit() else version, VERSION)
    return table


def of_run(path: Path, schema: pa.Schema, run_id: str, seal: str | None = None) -> pa.Table:
    """A Parquet file of one run's own, whose rows all name it.

    Parameters
    ----------
    seal
        The digest that the file had when the run was sealed, where that is known.

    Raises
    ------
    DamagedError
        It is not what was written, or another run's.
    FileNotFoundError
        There is no such file.
    """
    content = path.read_bytes()
    if seal is not None and digest(content) != seal:
        raise DamagedError(f"{path}: is damaged: it is not the one that the run was sealed with")
    table = _table(path, content, checked=seal is not None)
    try:
        table = table.replace_schema_metadata() if table.schema.equals(schema) else table.cast(schema)
    except (ValueError, KeyError) as error:  # pyarrow's errors of shape and type are ValueErrors
        raise DamagedError(f"{path}: is damaged: {' '.join(str(error).split())}") from None
    if table["run_id"].unique().to_pylist() not in ([], [run_id]):
        raise DamagedError(f"{path}: is damaged: it has rows of another run")
    return table


def read_curve(files: RunFiles, seal: str | None = None) -> pa.Table:
    """A run's curve. Raises as `of_run`."""
    return of_run(files.curves, CURVES, files.run_id, seal)


def write_rows(path: Path, rows: Sequence[Row]) -> str:
    """Replace a run's curves as one act; returns the file's digest, for the seal."""
    content = to_bytes(table_of(rows, CURVES))
    write_bytes(path, content)
    return digest(content)
