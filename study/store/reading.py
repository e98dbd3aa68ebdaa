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
from study.store.curves import read_table
from study.store.layout import SweepFiles
from study.store.measurements import read_bench
from study.store.probes import KEY as PROBE_KEY
from study.store.probes import PROBES
from study.store.surfaces import KEY as SURFACE_KEY
from study.store.surfaces import SURFACES

if TYPE_CHECKING:
    import pandas as pd


def read_tables(files: SweepFiles) -> tuple[pa.Table, pa.Table]:
    """The curves and runs of a sweep: gathered afresh where it was trained, else as they were collected there."""
    if not files.sweep.exists() and files.curves.exists() and files.runs_table.exists():
        return read_table(files.curves), completed(read_table(files.runs_table), RUNS)
    return OnDisk(files).curves_and_runs()


def _joined(curves: pa.Table, runs: pa.Table) -> pd.DataFrame:
    fields = [name for name in runs.column_names if name not in curves.column_names or name == "run_id"]
    frame: pd.DataFrame = curves.to_pandas().merge(_frame(runs.select(fields)), on="run_id", validate="many_to_one")
    return frame


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
    curves, runs = read_frames(_folders(sweep))
    fields = [name for name in runs if name not in curves or name == "run_id"]
    return curves.merge(runs[fields], on="run_id", validate="many_to_one")


def read_runs(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The runs of a sweep, a row a run: every field of its spec, state, attempts, hardware, versions. See `read_curves`."""
    return read_frames(_folders(sweep))[1]


def read_probes(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """What probes measured of a sweep's runs, in long form, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (run_id, iteration, probe, measure, place, layer), with its `value`; `docs/probes.md` says what they
        are. Empty where nothing was measured.
    """
    import pandas as pd

    folders = [SweepFiles(folder.parent, folder.name) for folder in _folders(sweep)]
    frames = [_joined(_table(files, files.probes, OnDisk.probes, PROBES), read_tables(files)[1]) for files in folders]
    return pd.concat(frames, ignore_index=True).drop_duplicates(PROBE_KEY, ignore_index=True)


def read_attempts(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The attempts at a sweep's runs, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (run_id, attempt): `start`, `end`, `outcome`, `why`, host, device; `study.store.attempts.ATTEMPTS` says
        what they are. Empty where nothing was started, and for a sweep that was collected before attempts were.
    """
    import pandas as pd

    folders = [SweepFiles(folder.parent, folder.name) for folder in _folders(sweep)]
    tables = [_table(files, files.attempts, OnDisk.attempts, ATTEMPTS) for files in folders]
    frames = [_joined(table, read_tables(files)[1]) for table, files in zip(tables, folders, strict=True)]
    return pd.concat(frames, ignore_index=True).drop_duplicates(ATTEMPT_KEY, ignore_index=True)


def read_surfaces(sweep: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The surfaces of a sweep, in long form, with the fields of its run on each row. See `read_curves`.

    Returns
    -------
    DataFrame
        One row per (surface_id, i, j, iteration, split). Empty where nothing was measured. `precision` is that of the
        measurement.
    """
    import pandas as pd

    frames = []
    for files in [SweepFiles(folder.parent, folder.name) for folder in _folders(sweep)]:
        runs = read_tables(files)[1]
        measured = _table(files, files.surfaces_table, OnDisk.surfaces, SURFACES)
        fields = [name for name in runs.column_names if name not in measured.column_names or name == "run_id"]
        frames.append(_frame(measured).merge(_frame(runs.select(fields)), on="run_id", validate="many_to_one"))
    return pd.concat(frames, ignore_index=True).drop_duplicates(SURFACE_KEY, ignore_index=True)  # of shared runs, too


def read_frame(needs: str, folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """What `read_<needs>` (surfaces, probes or attempts) and `read_runs` return; for curves as `read_frames`; for bench, of
    the first sweep's results folder, and no runs."""
    if needs == "curves":
        return read_frames(folders)
    if needs == "bench":
        return read_bench(folders[0].parent), None
    read = {"surfaces": read_surfaces, "probes": read_probes, "attempts": read_attempts}[needs]
    return read(folders), read_runs(folders)


def _table(files: SweepFiles, path: Path, gather: Callable[[OnDisk], pa.Table], schema: pa.Schema) -> pa.Table:
    """As `read_tables`: afresh where it was trained, else as collected there."""
    if files.sweep.exists():
        return gather(OnDisk(files))
    return completed(read_table(path), schema) if path.exists() else schema.empty_table()


def _folders(sweep: str | Path | Iterable[str | Path]) -> list[Path]:
    folders = [Path(sweep)] if isinstance(sweep, str | Path) else [Path(item) for item in sweep]
    if not folders:
        raise StudyError("no sweep was named")
    return folders


def read_frames(folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves of sweeps without their runs' fields, which take many times their room, and what `read_runs` returns."""
    import pandas as pd

    if not folders:
        raise StudyError("no sweep was named")
    tables = [read_tables(SweepFiles(folder.parent, folder.name)) for folder in folders]
    curves = pd.concat([_frame(pair[0]) for pair in tables], ignore_index=True)
    runs = pd.concat([_frame(pair[1]) for pair in tables], ignore_index=True)
    if len(tables) == 1:
        return curves, runs
    # Two sweeps that name the same run share it: it counts once.
    key = ["run_id", "iteration", "split"]
    return curves.drop_duplicates(key, ignore_index=True), runs.drop_duplicates("run_id", ignore_index=True)
