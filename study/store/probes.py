"""What probes measured of a run, as Parquet: the schema, and how rows are added."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from study.store.files import DamagedError, write_bytes
from study.store.layout import RunFiles
from study.store.tables import of_run, to_bytes

PROBES = pa.schema(
    [
        ("run_id", pa.string()),
        ("iteration", pa.int64()),  # steps that were taken before
        ("probe", pa.string()),
        ("measure", pa.string()),  # what of it; the probe's docstring has formula and unit
        ("layer", pa.string()),  # layer or block, named as in the network's state; empty for the whole network
        ("place", pa.int64()),  # among those measured, from 1 in the order of the data's way; 0: the whole network
        ("value", pa.float64()),  # NaN and infinity as they are
        ("images", pa.int64()),  # that the value is of; 0 where none is looked at
        ("seconds", pa.float64()),  # that this measurement of the whole probe took
    ]
)
"""Key: (run_id, iteration, probe, measure, place, layer), in which order the rows are sorted."""

KEY = ["run_id", "iteration", "probe", "measure", "place", "layer"]

log = logging.getLogger(__name__)


def ordered(table: pa.Table) -> pa.Table:
    """The rows in the order of their key."""
    return table.sort_by([(name, "ascending") for name in KEY])


def add(files: RunFiles, rows: Sequence[dict[str, Any]]) -> None:
    """Add one measurement of one probe to a run's file, in place of an earlier one at the same iteration."""
    import pyarrow.compute as pc  # late: whatever trains imports this module, and few runs are measured

    new = pa.Table.from_pylist(list(rows), schema=PROBES)
    old = _present(files)
    for row in rows[:1]:
        again = pc.and_(pc.equal(old["iteration"], row["iteration"]), pc.equal(old["probe"], row["probe"]))
        old = old.filter(pc.invert(again))
    write_bytes(files.probes, to_bytes(ordered(pa.concat_tables([old, new]))))


def read(files: RunFiles) -> pa.Table:
    """What was measured of a run; an empty table where nothing was.

    Raises
    ------
    DamagedError
        The file is not what was written, or another run's.
    """
    try:
        return of_run(files.probes, PROBES, files.run_id)
    except FileNotFoundError:
        return PROBES.empty_table()


def _present(files: RunFiles) -> pa.Table:
    """What is in the file; a damaged one is put aside, for no measurement is worth a run."""
    try:
        return read(files)
    except DamagedError as error:
        aside = files.probes.with_name(f"damaged-{files.probes.name}")
        files.probes.replace(aside)
        log.warning("%s; it is now %s, and a new one is begun", error, aside.name)
    return PROBES.empty_table()
