"""Tables of rows as Parquet: what a kind of row consists of, and how its files are written, read, checked and combined."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from study.store.files import DamagedError, check_version, digest, write_bytes
from study.store.layout import RunFiles

log = logging.getLogger(__name__)

VERSION = 1
"""Of the Parquet files of this package; a reader refuses a newer one."""

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Table:
    """A kind of row: its columns, and the key by which rows are sorted and told apart."""

    schema: pa.Schema
    key: tuple[str, ...]
    """The columns that identify a row, in sorting order."""
    neutral: Mapping[str, Any] | None = None
    """Values of columns that files of earlier versions lack, else null; if None, no column may be missing."""

    def of(self, rows: Sequence[Row]) -> pa.Table:
        """Make a table of rows; a missing value is null.

        `Table.from_pylist` would import pandas, which takes half a second in every process that trains.
        """
        columns = [_column([row.get(column.name) for row in rows], column.type) for column in self.schema]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def write(self, path: Path, rows: pa.Table | Sequence[Row]) -> str:
        """Replace a file atomically; returns its digest, for a seal."""
        content = to_bytes(rows if isinstance(rows, pa.Table) else self.of(rows))
        write_bytes(path, content)
        return digest(content)

    def read(self, path: Path, run_id: str | None = None, sealed: str | None = None) -> pa.Table:
        """Read a file and check it, its digest (`sealed`), and its run. Raises FileNotFoundError, DamagedError or StudyError."""
        content = path.read_bytes()
        if sealed is not None and digest(content) != sealed:
            raise DamagedError(f"{path}: is damaged: its content does not match its seal")
        return self.check(parse(path, content), path, run_id)

    def check(self, table: pa.Table, path: Path, run_id: str | None = None) -> pa.Table:
        """The table with the columns of this kind; raises `DamagedError` if it cannot have them. `path` is where it is from."""
        if table.schema.equals(self.schema):
            table = table.replace_schema_metadata()
        else:
            try:
                table = self._completed(table)
            except (ValueError, KeyError) as error:  # pyarrow's errors of shape and type are ValueErrors
                raise DamagedError(f"{path}: is damaged: {' '.join(str(error).split())}") from None
        if run_id is not None and table["run_id"].unique().to_pylist() not in ([], [run_id]):
            raise DamagedError(f"{path}: is damaged: it has rows of another run")
        return table

    def _completed(self, table: pa.Table) -> pa.Table:
        for column in self.schema if self.neutral is not None else ():
            if column.name not in table.column_names:
                value = pa.scalar((self.neutral or {}).get(column.name), column.type)
                table = table.append_column(column, pa.repeat(value, len(table)))
        return table.select(self.schema.names).cast(self.schema)

    def collect(self, parts: Iterable[pa.Table]) -> pa.Table:
        """Join tables into one, sorted by the key."""
        whole = pa.concat_tables([self.schema.empty_table(), *parts])
        return whole.sort_by([(name, "ascending") for name in self.key])


CURVES = Table(
    pa.schema(
        [
            ("run_id", pa.string()),
            ("iteration", pa.int64()),
            ("epoch", pa.float64()),  # passes over the training set
            ("split", pa.string()),  # train: running, augmented; train_clean and test: evaluation mode, unaugmented
            ("loss", pa.float64()),  # mean cross-entropy, nats
            ("error", pa.float64()),  # percent
            ("lr", pa.float64()),  # rate of the step that ended at `iteration`
            ("seconds", pa.float64()),  # of training so far, over all attempts
        ]
    ),
    key=("run_id", "iteration", "split"),
)

PROBES = Table(
    pa.schema(
        [
            ("run_id", pa.string()),
            ("iteration", pa.int64()),  # steps taken before
            ("probe", pa.string()),
            ("measure", pa.string()),  # the probe's docstring has formula and unit
            ("layer", pa.string()),  # layer or block, named as in the network's state; empty for the whole network
            ("place", pa.int64()),  # among the measured layers, from 1 at the input; 0: the whole network
            ("value", pa.float64()),  # may be NaN or infinite
            ("images", pa.int64()),  # used for the measurement; 0 where none are
            ("seconds", pa.float64()),  # taken by this measurement of the whole probe
        ]
    ),
    key=("run_id", "iteration", "probe", "measure", "place", "layer"),
)


def add_probe(files: RunFiles, rows: Sequence[Row]) -> None:
    """Add one measurement of one probe to a run's file, in place of an earlier one at the same iteration."""
    import pyarrow.compute as pc  # late: few of the processes that import this module need it

    try:
        old = PROBES.read(files.probes, files.run_id) if files.probes.exists() else PROBES.schema.empty_table()
    except DamagedError as error:  # no measurement is worth a run
        aside = files.probes.with_name(f"damaged-{files.probes.name}")
        files.probes.replace(aside)
        log.warning("%s; renamed to %s, and a new file is started", error, aside.name)
        old = PROBES.schema.empty_table()
    for row in rows[:1]:
        others = [pc.not_equal(old[name], row[name]) for name in ("iteration", "probe")]
        old = old.filter(pc.or_(*others))
    PROBES.write(files.probes, PROBES.collect([old, PROBES.of(rows)]))


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    dtype = {pa.int64(): np.int64, pa.float64(): np.float64}.get(kind)
    if dtype is None and kind != pa.string():
        return pa.array(values, kind)
    present = np.array([value is not None for value in values], dtype=bool)
    nulls = len(values) - int(present.sum())
    buffers = [pa.py_buffer(np.packbits(present, bitorder="little")) if nulls else None]
    if dtype is None:
        texts = [b"" if value is None else value.encode() for value in values]
        buffers += [pa.py_buffer(np.cumsum([0, *map(len, texts)], dtype=np.int32)), pa.py_buffer(b"".join(texts))]
    else:
        buffers += [pa.py_buffer(np.array([0 if value is None else value for value in values], dtype=dtype))]
    return pa.Array.from_buffers(kind, len(values), buffers, nulls)


def to_bytes(table: pa.Table) -> bytes:
    """A table as Parquet with a checksum in each page, marked with the version of this package's files."""
    marked = table.replace_schema_metadata({b"study_version": str(VERSION).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(marked, sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file of any kind. Raises as `Table.read`."""
    return parse(path, path.read_bytes())


def parse(path: Path, content: bytes) -> pa.Table:
    """The table in a Parquet file's content. Raises as `Table.read`.

    It is read by this thread: the threads that pyarrow starts for it abort a process that ends a moment later
    ("terminate called without an active exception", in 10 % of short calls on a busy machine).
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        table = file.read(use_threads=False)
        parts = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        if not len(table) == sum(parts) == file.metadata.num_rows:
            raise ValueError("its number of rows is not what it says")
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:  # OSError for damage to its inner parts
        raise DamagedError(f"{path}: is damaged: {' '.join(str(error).split())}") from None
    version = (table.schema.metadata or {}).get(b"study_version", b"0")
    check_version(path, int(version) if version.isdigit() else version, VERSION)
    return table
