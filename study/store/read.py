"""A sweep as data frames: from its runs where it was trained, else as it was collected there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from study.errors import StudyError
from study.store.collect import Results
from study.store.layout import SweepFiles
from study.store.runs_table import RUNS, refuse_conflict, told_apart
from study.store.surfaces import SURFACES
from study.store.tables import CURVES, PROBES
from study.text import user_path

if TYPE_CHECKING:
    import pandas as pd

Sweeps = str | Path | Iterable[str | Path]


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
    return _with_fields(*read_frame("curves", _folders(sweep)))


def read_runs(sweep: Sweeps) -> pd.DataFrame:
    """The runs of a sweep, a row a run: every field of its spec, state, attempts, hardware, versions. See `read_curves`.

    If the images of a data set changed between runs, `dataset` and `point_id` tell which each was trained on.
    """
    return read_frame("curves", _folders(sweep))[1]


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


def read_frame(needs: str, folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `read_<needs>` and `read_runs` return; curves are without the fields of their runs, to save memory."""
    return reader(folders)(needs)


def reader(folders: Sequence[Path]) -> Callable[[str], tuple[pd.DataFrame, pd.DataFrame]]:
    """`read_frame` for these folders; each of their files is read once."""
    import pandas as pd

    if not folders:
        raise StudyError("no sweep was named")
    sources = [Results(SweepFiles(folder.parent, folder.name)) for folder in folders]
    runs = pd.concat([_frame(source.table(RUNS)) for source in sources], ignore_index=True)
    if len(sources) > 1:  # sweeps that name the same run share it: it counts once
        refuse_conflict(runs)
        runs = runs.drop_duplicates("run_id", ignore_index=True)
    runs = told_apart(runs).copy()  # in few blocks, so that adding columns is fast

    @cache
    def read(needs: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        kind = {"curves": CURVES, "probes": PROBES, "surfaces": SURFACES}[needs]
        rows = pd.concat([_frame(source.table(kind)) for source in sources], ignore_index=True)
        if len(sources) > 1:  # shared rows once
            rows = rows.drop_duplicates(list(kind.key), ignore_index=True)
        if needs == "curves":
            return rows, runs
        return _with_fields(rows, runs.assign(run_precision=runs["precision"]) if needs == "surfaces" else runs), runs

    return read


def _with_fields(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    fields = [name for name in runs if name not in rows or name == "run_id"]
    return rows.merge(runs[fields], on="run_id", validate="many_to_one").copy()


def _frame(table: pa.Table) -> pd.DataFrame:
    """To pandas; a whole-number column with gaps stays whole."""
    import pandas as pd

    gaps = [item.name for item in table.schema if item.type == "int64" and table[item.name].null_count]
    frame: pd.DataFrame = table.drop_columns(gaps).to_pandas()
    whole = table.select(gaps).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return pd.concat([frame, whole], axis=1)[table.column_names] if gaps else frame


def _folders(sweep: Sweeps) -> list[Path]:
    return [user_path(item) for item in ([sweep] if isinstance(sweep, str | Path) else sweep)]
