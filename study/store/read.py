"""A sweep as data frames: gathered afresh where it was trained, else as it was collected there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from study.errors import StudyError
from study.store.attempts import ATTEMPTS
from study.store.attempts import KEY as ATTEMPT_KEY
from study.store.collect import RUNS, OnDisk, completed
from study.store.images import refuse_conflict, told_apart
from study.store.layout import SweepFiles
from study.store.probes import KEY as PROBE_KEY
from study.store.probes import PROBES
from study.store.surfaces import KEY as SURFACE_KEY
from study.store.surfaces import SURFACES
from study.store.tables import read_table
from study.text import user_path

if TYPE_CHECKING:
    import pandas as pd


def read_tables(files: SweepFiles) -> tuple[pa.Table, pa.Table]:
    """The curves and runs of a sweep: gathered afresh where it was trained, else as they were collected there."""
    if not files.sweep.exists() and files.curves.exists() and files.runs_table.exists():
        return read_table(files.curves), completed(read_table(files.runs_table), RUNS)
    return OnDisk(files).curves_and_runs()


def _with_fields(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """What was measured of runs, with the fields of its run on each row."""
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


def read_curves(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
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


def read_runs(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The runs of a sweep, a row a run: every field of its spec, state, attempts, hardware, versions. See `read_curves`.

    Where the images of a data set changed between runs, `dataset` and `point_id` say which each was trained on.
    """
    return _runs(_folders(sweep))


def read_probes(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """What probes measured of a sweep's runs, in long form, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (run_id, iteration, probe, measure, place, layer), with its `value`; `docs/probes.md` says what they
        are. Empty where nothing was measured.
    """
    import pandas as pd

    folders = _folders(sweep)
    tables = [_table(files, files.probes, OnDisk.probes, PROBES) for files in map(_files, folders)]
    rows = pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    return _with_fields(rows.drop_duplicates(PROBE_KEY, ignore_index=True), _runs(folders))


def read_attempts(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The attempts at a sweep's runs, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (run_id, attempt): `start`, `end`, `outcome`, `why`, host, device; `study.store.attempts.ATTEMPTS` says
        what they are. Empty where nothing was started, and for a sweep that was collected before attempts were.
    """
    import pandas as pd

    folders = _folders(sweep)
    tables = [_table(files, files.attempts, OnDisk.attempts, ATTEMPTS) for files in map(_files, folders)]
    rows = pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    return _with_fields(rows.drop_duplicates(ATTEMPT_KEY, ignore_index=True), _runs(folders))


def read_surfaces(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The surfaces of a sweep, in long form, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (surface_id, i, j, iteration, split). Empty where nothing was measured. `precision` is that of the
        measurement, `run_precision` that of the training.
    """
    import pandas as pd

    folders = _folders(sweep)
    tables = [_table(files, files.surfaces_table, OnDisk.surfaces, SURFACES) for files in map(_files, folders)]
    runs = _runs(folders)
    runs = runs.assign(run_precision=runs["precision"])
    rows = pd.concat(map(_frame, tables), ignore_index=True)
    return _with_fields(rows.drop_duplicates(SURFACE_KEY, ignore_index=True), runs)


def read_frame(needs: str, folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """What `read_<needs>` (surfaces or probes) and `read_runs` return; for curves as `read_frames`."""
    if needs == "curves":
        return read_frames(folders)
    read = {"surfaces": read_surfaces, "probes": read_probes}[needs]
    return read(folders), read_runs(folders)


def _table(files: SweepFiles, path: Path, gather: Callable[[OnDisk], pa.Table], schema: pa.Schema) -> pa.Table:
    """As `read_tables`: afresh where it was trained, else as collected there."""
    if files.sweep.exists():
        return gather(OnDisk(files))
    return completed(read_table(path), schema) if path.exists() else schema.empty_table()


def _folders(sweep: str | Path | Iterable[str | Path]) -> list[Path]:
    folders = [user_path(item) for item in ([sweep] if isinstance(sweep, str | Path) else sweep)]
    if not folders:
        raise StudyError("no sweep was named")
    return folders


def read_frames(folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves of sweeps without their runs' fields, which take many times their room, and what `read_runs` returns."""
    import pandas as pd

    if not folders:
        raise StudyError("no sweep was named")
    tables = [read_tables(_files(folder)) for folder in folders]
    curves = pd.concat([_frame(pair[0]) for pair in tables], ignore_index=True)
    runs = pd.concat([_frame(pair[1]) for pair in tables], ignore_index=True)
    if len(tables) > 1:  # two sweeps that name the same run share it: it counts once
        refuse_conflict(runs)
        curves = curves.drop_duplicates(["run_id", "iteration", "split"], ignore_index=True)
        runs = runs.drop_duplicates("run_id", ignore_index=True)
    return curves, told_apart(runs)


def _runs(folders: Sequence[Path]) -> pd.DataFrame:
    return read_frames(folders)[1]


def _files(folder: Path) -> SweepFiles:
    return SweepFiles(folder.parent, folder.name)
