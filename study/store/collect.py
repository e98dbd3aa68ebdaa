"""All of a sweep in Parquet: `curves.parquet` and `runs.parquet`; attempts, probes and surfaces where there are any."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from study.errors import StudyError
from study.spec import recipes
from study.spec.identity import NEUTRAL, point_id
from study.spec.recipe import Recipe
from study.spec.run import RunSpec
from study.store import attempts, probes, surfaces
from study.store.curves import CURVES, read_curve, read_table, to_bytes
from study.store.files import DamagedError, read_lines, sweep_away_temporaries, write_bytes
from study.store.layout import RunFiles, SweepFiles
from study.store.measurements import read_bench
from study.store.probes import KEY, PROBES, ordered
from study.store.runs import RunStatus, read_sweep, status

if TYPE_CHECKING:
    import pandas as pd


log = logging.getLogger(__name__)


def _arrow_type(annotation: Any) -> pa.DataType:
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    for kind in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(kind) is tuple:
            return pa.list_(_arrow_type(typing.get_args(kind)[0]))
    said = [kind for kind in typing.get_args(annotation) or (annotation,) if kind is not type(None)]
    found = {kinds.get(kind, pa.string()) for kind in said}
    return found.pop() if len(found) == 1 else pa.string()  # text, where a field is a number or a word


def _spec_columns() -> list[tuple[str, pa.DataType]]:
    run = [(k, _arrow_type(f.annotation)) for k, f in RunSpec.model_fields.items() if k != "recipe"]
    recipe = [(f"recipe.{k}", _arrow_type(f.annotation)) for k, f in Recipe.model_fields.items() if k != "name"]
    return [*run, ("recipe", pa.string()), *recipe]


ATTEMPT_COLUMNS = ("executor", "host", "job", "node", "device", "driver", "cpu", "python", "torch", "commit", "dirty")
"""What the last attempt's record says of hardware and software."""

RUNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("point_id", pa.string()),
        ("dataset", pa.string()),
        ("recipe_changes", pa.string()),  # fields in which the recipe is not the named one
        *_spec_columns(),
        ("state", pa.string()),
        ("iteration", pa.int64()),  # reached
        ("iterations", pa.int64()),  # planned
        ("attempts", pa.int64()),
        ("seconds", pa.float64()),  # of training, over all attempts
        ("message", pa.string()),  # why it failed, or what to know about its result
        ("started", pa.timestamp("ms", tz="UTC")),
        ("finished", pa.timestamp("ms", tz="UTC")),
        ("threads", pa.int64()),
        *[(name, pa.string()) for name in ATTEMPT_COLUMNS],
    ]
)
"""A row a run. Key: run_id."""


def run_row(files: RunFiles, fields: dict[str, Any], now: RunStatus) -> dict[str, Any]:
    """One row of `runs.parquet`; `fields` is the spec as plain data."""
    spec = RunSpec.model_validate(fields)
    starts = [line for line in read_lines(files.attempts) if line.get("event") == "start"]
    last = starts[-1] if starts else {}
    recipe = fields["recipe"]
    return {
        "run_id": files.run_id,
        "point_id": point_id(spec),
        "dataset": spec.dataset,
        "recipe_changes": ", ".join(recipes.changes(fields["recipe"])),
        **{key: _cell(key, value) for key, value in fields.items() if key != "recipe"},
        "recipe": recipe["name"],
        **{f"recipe.{key}": value for key, value in recipe.items() if key != "name"},
        "state": now.state,
        "iteration": now.iteration,
        "iterations": recipe["iterations"],
        "attempts": now.attempts,
        "seconds": now.seal.get("seconds"),
        "message": now.message,
        "started": _milliseconds(starts[0].get("time")) if starts else None,
        "finished": _milliseconds(now.seal.get("time")),
        "threads": last.get("threads"),
        **{name: last.get(name) for name in ATTEMPT_COLUMNS},
    }


def _cell(name: str, value: Any) -> Any:
    """A field's value as its column holds it: a number as text where it might have been a word."""
    return str(value) if isinstance(value, int) and RUNS.field(name).type == pa.string() else value


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def gather(files: SweepFiles) -> tuple[pa.Table, pa.Table]:
    """The curves and the runs of a sweep as they are on disk now; safe while runs are being trained.

    A damaged curve is left out, and the run's `message` says so: it is never shown as one that is whole.
    """
    rows, curves = [], [CURVES.empty_table()]
    for run_id, fields in read_sweep(files)["runs"].items():
        run = files.run(run_id)
        now = status(run)
        try:
            curves.append(read_curve(run, now.seal.get("curves")))
        except FileNotFoundError:
            pass
        except DamagedError as error:
            if str(error) not in now.message:
                now = replace(now, message="; ".join(filter(None, [now.message, str(error)])))
        rows.append(run_row(run, fields, now))
    order = [("run_id", "ascending"), ("iteration", "ascending"), ("split", "ascending")]
    return pa.concat_tables(curves).sort_by(order), pa.Table.from_pylist(rows, schema=RUNS)


def gather_probes(files: SweepFiles) -> pa.Table:
    """What was measured of a sweep's runs, as it is on disk now."""
    found = [PROBES.empty_table()]
    for run_id in read_sweep(files)["runs"]:
        try:
            found.append(probes.read(files.run(run_id)))
        except DamagedError as error:
            log.warning("%s; `study probe %s` measures again", error, run_id)
    return ordered(pa.concat_tables(found))


def gather_attempts(files: SweepFiles) -> pa.Table:
    """The attempts at a sweep's runs, as recorded on disk now; those at chunks of surfaces are no part of it."""
    runs = [files.run(run_id) for run_id in read_sweep(files)["runs"]]
    return attempts.table([row for run in runs for row in attempts.rows(run, status(run).seal)])


def gather_surfaces(files: SweepFiles) -> pa.Table:
    """The surfaces around a sweep's runs, as far as they are measured now."""
    runs = [files.run(run_id) for run_id in read_sweep(files)["runs"]]
    found = [surfaces.gather(surface) for surface in surfaces.of_runs(runs)]
    return surfaces.ordered(pa.concat_tables([surfaces.SURFACES.empty_table(), *found]))


def collect(files: SweepFiles) -> list[Path]:
    """Write a sweep's Parquet files; returns their paths. What has not changed is not written.

    `curves.parquet` and `runs.parquet`; `attempts.parquet` where a run was started; `probes.parquet` and
    `surfaces.parquet` where something was measured.
    """
    curves, runs = gather(files)
    tables = {files.curves: curves, files.runs_table: runs}
    further = {
        files.attempts: gather_attempts(files),
        files.probes: gather_probes(files),
        files.surfaces_table: gather_surfaces(files),
    }
    tables |= {path: table for path, table in further.items() if table.num_rows or path.exists()}
    files.refuse_elsewhere()
    sweep_away_temporaries(files.folder)
    for path, table in tables.items():
        content = to_bytes(table)
        if not path.exists() or path.read_bytes() != content:
            write_bytes(path, content)
    return list(tables)


def read_tables(files: SweepFiles) -> tuple[pa.Table, pa.Table]:
    """The curves and runs of a sweep: gathered afresh where it was trained, else as they were collected there."""
    if not files.sweep.exists() and files.curves.exists() and files.runs_table.exists():
        return read_table(files.curves), _completed(read_table(files.runs_table))
    return gather(files)


def _completed(runs: pa.Table) -> pa.Table:
    """Runs that were collected before a field of the spec was there, with the value under which they were trained."""
    for field in RUNS:
        if field.name not in runs.column_names:
            value = pa.scalar(NEUTRAL.get(field.name), field.type)
            runs = runs.append_column(field, pa.repeat(value, len(runs)))
    return runs.select(RUNS.names)


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
    return read_frames(_folders(sweep))[0]


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
    frames = [_joined(_table(files, files.probes, gather_probes, PROBES), read_tables(files)[1]) for files in folders]
    return pd.concat(frames, ignore_index=True).drop_duplicates(KEY, ignore_index=True)


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
    tables = [_table(files, files.attempts, gather_attempts, attempts.ATTEMPTS) for files in folders]
    frames = [_joined(table, read_tables(files)[1]) for table, files in zip(tables, folders, strict=True)]
    return pd.concat(frames, ignore_index=True).drop_duplicates(attempts.KEY, ignore_index=True)


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
        measured = _table(files, files.surfaces_table, gather_surfaces, surfaces.SURFACES)
        fields = [name for name in runs.column_names if name not in measured.column_names or name == "run_id"]
        frames.append(_frame(measured).merge(_frame(runs.select(fields)), on="run_id", validate="many_to_one"))
    return pd.concat(frames, ignore_index=True).drop_duplicates(surfaces.KEY, ignore_index=True)  # of shared runs, too


def read_frame(needs: str, folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """What `read_<needs>` (curves, surfaces, probes or attempts) and `read_runs` return; for bench, of the first sweep's
    results folder, and no runs."""
    if needs == "curves":
        return read_frames(folders)
    if needs == "bench":
        return read_bench(folders[0].parent), None
    read = {"surfaces": read_surfaces, "probes": read_probes, "attempts": read_attempts}[needs]
    return read(folders), read_runs(folders)


def _table(files: SweepFiles, path: Path, gather: Callable[[SweepFiles], pa.Table], schema: pa.Schema) -> pa.Table:
    """As `read_tables`: afresh where it was trained, else as collected there."""
    if files.sweep.exists():
        return gather(files)
    return read_table(path) if path.exists() else schema.empty_table()


def _folders(sweep: str | Path | Iterable[str | Path]) -> list[Path]:
    folders = [Path(sweep)] if isinstance(sweep, str | Path) else [Path(item) for item in sweep]
    if not folders:
        raise StudyError("no sweep was named")
    return folders


def read_frames(folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `read_curves` and `read_runs` return, read once for both."""
    import pandas as pd

    if not folders:
        raise StudyError("no sweep was named")
    tables = [read_tables(SweepFiles(folder.parent, folder.name)) for folder in folders]
    curves = pd.concat([_joined(*pair) for pair in tables], ignore_index=True)
    runs = pd.concat([_frame(pair[1]) for pair in tables], ignore_index=True)
    # Two sweeps that name the same run share it: it counts once.
    key = ["run_id", "iteration", "split"]
    return curves.drop_duplicates(key, ignore_index=True), runs.drop_duplicates("run_id", ignore_index=True)
