"""A sweep as data frames: from its runs where it was trained, else as it was collected there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from study.errors import StudyError
from study.store.collect import Collected, OnDisk
from study.store.images import refuse_conflict, told_apart
from study.store.layout import SweepFiles
from study.store.surfaces import SURFACES
from study.store.tables import CURVES, PROBES, Table
from study.text import user_path

if TYPE_CHECKING:
    import pandas as pd

Sweeps = str | Path | Iterable[str | Path]
Source = OnDisk | Collected


def read_curves(sweep: Sweeps) -> pd.DataFrame:
    """The curves of a sweep, in long form, with the fields of its run on each row.

    Parameters
    ----------
    sweep
        A sweep's results folder, such as `results/quickstart`, or several.

    Returns
    -------
    DataFrame
        One row per (run_id, iteration, split); `error` in percent, `loss` in nats; split is `train` (running,
        augmented), `train_clean` or `test`.

    Raises
    ------
    StudyError
        There is no such sweep, or its files are damaged.
    """
    return _with_fields(*read_frames(_folders(sweep)))


def read_runs(sweep: Sweeps) -> pd.DataFrame:
    """The runs of a sweep, a row a run: every field of its spec, state, attempts, hardware, versions. See `read_curves`.

    If the images of a data set changed between runs, `dataset` and `point_id` tell which each was trained on.
    """
    return read_frames(_folders(sweep))[1]


def read_probes(sweep: Sweeps) -> pd.DataFrame:
    """The measurements of probes on a sweep's runs, in long form, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (run_id, iteration, probe, measure, place, layer), with its `value`, as described in `docs/probes.md`.
        Empty if nothing was measured.
    """
    return read_frame("probes", _folders(sweep))[0]


def read_surfaces(sweep: Sweeps) -> pd.DataFrame:
    """The surfaces of a sweep, in long form, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (surface_id, i, j, iteration, split). Empty if nothing was measured. `precision` is that of the
        measurement, `run_precision` that of the training.
    """
    return read_frame("surfaces", _folders(sweep))[0]


def read_frames(folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves of sweeps, without the fields of their runs, which would take many times their memory; and `read_runs`."""
    return _frames(_sources(folders))


def read_frame(needs: str, folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `read_<needs>` (surfaces or probes) and `read_runs` return; for curves as `read_frames`."""
    return reader(folders)(needs)


def reader(folders: Sequence[Path]) -> Callable[[str], tuple[pd.DataFrame, pd.DataFrame]]:
    """`read_frame` for these folders, each of whose files is read once. The curves are read now."""
    sources = _sources(folders)
    curves, runs = _frames(sources)

    @cache
    def read(needs: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        if needs == "probes":
            return _with_fields(_joined(PROBES, [source.probes() for source in sources]), runs), runs
        if needs == "surfaces":
            found = _joined(SURFACES, [source.surfaces() for source in sources])
            return _with_fields(found, runs.assign(run_precision=runs["precision"])), runs
        return curves, runs

    return read


def _sources(folders: Sequence[Path]) -> list[Source]:
    if not folders:
        raise StudyError("no sweep was named")
    return [_source(SweepFiles(folder.parent, folder.name)) for folder in folders]


def _source(files: SweepFiles) -> Source:
    elsewhere = not files.sweep.exists() and files.curves.exists() and files.runs_table.exists()
    return Collected(files) if elsewhere else OnDisk(files)


def _frames(sources: Sequence[Source]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    tables = [source.curves_and_runs() for source in sources]
    curves = _joined(CURVES, [pair[0] for pair in tables])
    runs = pd.concat([_frame(pair[1]) for pair in tables], ignore_index=True)
    if len(tables) > 1:  # sweeps that name the same run share it: it counts once
        refuse_conflict(runs)
        runs = runs.drop_duplicates("run_id", ignore_index=True)
    return curves, told_apart(runs)


def _joined(kind: Table, tables: Sequence[pa.Table]) -> pd.DataFrame:
    """The rows of several sweeps, those that they share once."""
    import pandas as pd

    frame = pd.concat([_frame(table) for table in tables], ignore_index=True)
    return frame.drop_duplicates(list(kind.key), ignore_index=True) if len(tables) > 1 else frame


def _with_fields(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Rows with the fields of their runs."""
    fields = [name for name in runs if name not in rows or name == "run_id"]
    return rows.merge(runs[fields], on="run_id", validate="many_to_one")


def _frame(table: pa.Table) -> pd.DataFrame:
    """To pandas; a whole-number column with gaps stays whole."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype()}
    gaps = {f.name for f in table.schema if pc.any(pc.is_null(table[f.name])).as_py()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    for name in frame.columns:
        if frame[name].dtype == "Int64" and name not in gaps:
            frame[name] = frame[name].astype("int64")
    return frame


def _folders(sweep: Sweeps) -> list[Path]:
    return [user_path(item) for item in ([sweep] if isinstance(sweep, str | Path) else sweep)]
