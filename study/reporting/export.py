"""A sweep's curves and probes for other programs: CSV, event files of TensorBoard, netCDF for xarray."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from study.config.differences import texts
from study.errors import StudyError
from study.store.files import write_bytes
from study.store.read import reader
from study.store.tables import CURVES, PROBES


def export(folder: Path, out: Path, fmt: str) -> Iterator[str]:
    """Write a sweep's curves, runs and probes into `out`, as `csv`, `tensorboard` or `xarray`; yields each path.

    Raises StudyError if there is no such sweep, or the other program's package is missing.
    """
    if fmt != "csv":
        try:
            import_module(fmt)
        except ImportError:
            raise StudyError(f"--format {fmt} needs a package: pip install 'degradation-study[{fmt}]'") from None
    read = reader([folder])
    (curves, runs), probes = read("curves"), read("probes")[0]
    curves, probes = curves[CURVES.schema.names], probes[PROBES.schema.names]
    make = {"csv": _csv, "tensorboard": _events, "xarray": _netcdf}[fmt]
    for name, content in make(curves, runs, probes):
        write_bytes(out / name, content)
        yield str(out / name)


def _csv(curves: pd.DataFrame, runs: pd.DataFrame, probes: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    listed = [name for name in runs if runs[name].map(lambda value: hasattr(value, "tolist")).any()]
    runs = runs.assign(**{str(name): texts(runs[name]) for name in listed})
    for name, frame in (("curves", curves), ("runs", runs), ("probes", probes)):
        if name != "probes" or len(frame):
            yield f"{name}.csv", frame.to_csv(index=False).encode()


def _events(curves: pd.DataFrame, runs: pd.DataFrame, probes: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """An event file for each run. Time is that of its start, and the training time since."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    starts = dict(zip(runs["run_id"], runs["started"], strict=True))
    measured = dict(list(probes.groupby("run_id")))
    for run, rows in curves.groupby("run_id"):
        start: float = 0.0 if pd.isna(starts[run]) else starts[run].timestamp()
        record = RecordWriter(file := BytesIO())
        record.write(Event(wall_time=start, file_version="brain.Event:2").SerializeToString())
        for row in rows.to_dict("records"):
            values = {f"{name}/{row['split']}": row[name] for name in ("error", "loss") if row[name] is not None}
            values |= {"lr": row["lr"]} if row["split"] == "train" else {}
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
            event = Event(wall_time=start + row["seconds"], step=row["iteration"], summary=summary)
            record.write(event.SerializeToString())
        for row in measured.get(run, probes[:0]).to_dict("records"):
            place = f"/{row['place']:03d} {row['layer']}".rstrip() if row["place"] else ""
            tag = f"{row['probe']}/{row['measure']}{place}"
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=row["value"])])
            record.write(Event(wall_time=start, step=row["iteration"], summary=summary).SerializeToString())
        yield f"tensorboard/{run}/events.out.tfevents.study", file.getvalue()


def _netcdf(curves: pd.DataFrame, runs: pd.DataFrame, probes: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Curves over (run_id, iteration, split), NaN where nothing was measured, with the fields of the runs; probes by row."""
    cube: Any = curves.set_index(["run_id", "iteration", "split"]).to_xarray()
    fields = runs.set_index("run_id").loc[cube["run_id"].values].dropna(axis="columns", how="all")
    plain = {name: column if column.dtype.kind in "if" else texts(column) for name, column in fields.items()}
    cube = cube.assign_coords({name: ("run_id", column) for name, column in plain.items() if name not in cube})
    yield "curves.nc", bytes(cube.to_netcdf(engine="scipy"))
    if len(probes):
        yield "probes.nc", bytes(probes.rename_axis("row").to_xarray().to_netcdf(engine="scipy"))
