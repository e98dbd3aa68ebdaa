"""What `study bench` measured, as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from study.errors import StudyError
from study.store.curves import read_table, to_bytes
from study.store.files import write_bytes
from study.store.layout import bench_file, user_path

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measurement:
    """The speed of one way to train some networks."""

    networks: str
    """Such as `ResNet-20`, or `figure 6` for its ten."""
    lanes: int
    precision: str
    measure: str
    """`textbook`; `workers` (steps of as many single-threaded processes as there are cores, together); `bare` (forward,
    backward, SGD); `step` (with samples and augmentation); `run` (with all of the harness)."""
    images_per_second: float
    """Of all lanes together; the median over rounds."""
    rounds: int
    ratio_to_textbook: float | None
    share_of_floor: float
    """The time that arithmetic or memory alone would take, over the time taken."""
    over_bare: float
    """Time taken over that of the bare step, minus 1."""


def write_measurements(path: Path, measurements: Sequence[Measurement], machine: dict[str, str | int | float]) -> None:
    """Replace the file as one act; each row carries the facts of the machine, its ceilings among them."""
    rows = [asdict(measurement) | machine for measurement in measurements]
    write_bytes(path, to_bytes(pa.Table.from_pylist(rows)))


def read_bench(results: str | Path) -> pd.DataFrame:
    """What `study bench` measured last: a row a way of training, with the fields of `Measurement` and the machine's.

    Parameters
    ----------
    results
        A results folder, such as `results`.

    Raises
    ------
    StudyError
        Nothing was measured there, or the file is damaged.
    """
    path = bench_file(user_path(results))
    try:
        frame: pd.DataFrame = read_table(path).to_pandas()
    except FileNotFoundError:
        raise StudyError(
            f"nothing to draw: there is no {path.name} among the results; `study bench` measures it"
        ) from None
    return frame
