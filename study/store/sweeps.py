"""The record of a sweep: which runs and surfaces it names, and the user's code that they were begun with."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from study.config.sweep import Sweep
from study.config.use import kept_in, used
from study.errors import StudyError, nearest
from study.store.files import DamagedError, read_json, write_bytes, write_json
from study.store.find import refuse_tables_alone, sweep_names
from study.store.layout import SweepFiles
from study.store.runs import ENDED
from study.store.tables import read_table
from study.version import VERSION

RECORD = 1


def write_sweep(files: SweepFiles, sweep: Sweep, before: Mapping[str, Any] | None = None) -> None:
    """Record what a sweep names, so that other commands need no sweep file; `before` is kept besides (`kept`)."""
    for name, code in (copy for source in used() for copy in source.copies.items()):
        path = files.components / name
        if not (path.is_file() and path.read_bytes() == code):
            write_bytes(path, code)
    kept_in(files.components)
    old = before or {"runs": {}, "surfaces": {}}
    surfaces = {name: surface.model_dump(mode="json") for name, surface in sweep.surfaces.items()} | old["surfaces"]
    content = {
        "version": RECORD,
        "name": sweep.name,
        "description": sweep.description,
        "command": sweep.command,
        "file": sweep.file,
        "study": VERSION,
        "figures": list(sweep.figures),
        "runs": {run_id: spec.model_dump(mode="json") for run_id, spec in sweep.whole.items()} | old["runs"],
    }
    if surfaces:
        content["surfaces"] = surfaces
    with contextlib.suppress(DamagedError):
        if read_json(files.sweep) == content:
            return
    write_json(files.sweep, content)


def read_sweep(files: SweepFiles) -> dict[str, Any]:
    """What `write_sweep` recorded; `surfaces` are there if there are any. Raises DamagedError or StudyError."""
    try:
        content = read_json(files.sweep, RECORD)
    except DamagedError as error:
        raise DamagedError(f"{error}; `study sweep FILE` writes it anew") from None
    if content is None:
        refuse_tables_alone(files)
        hint = nearest(files.name, sweep_names(files.results), listing="sweeps")
        raise StudyError(
            f"no sweep '{files.name}' under {files.results}/"
            f"{hint or '; start one with `study sweep FILE`, or name the folder that has it by --results'}"
        )
    return content


def records(results: Path) -> Iterator[tuple[SweepFiles, dict[str, Any]]]:
    """The record of every sweep under a results folder. Raises as `read_sweep`."""
    for name in sweep_names(results):
        files = SweepFiles(results, name)
        if files.sweep.exists():
            yield files, read_sweep(files)


def kept(files: SweepFiles, named: Collection[str]) -> dict[str, Any]:
    """The recorded `runs`, and `surfaces` around them, that a sweep keeps besides those `named` now: they were started.

    Raises StudyError if the collected tables have the only results of further runs, which the next `collect` would drop.
    """
    record: dict[str, Any] = {}
    alone: set[str] = set()
    with contextlib.suppress(DamagedError):  # then it is written anew
        record = read_json(files.sweep) or {}
    with contextlib.suppress(DamagedError, FileNotFoundError):
        rows = read_table(files.runs_table).select(["run_id", "state"]).to_pylist()
        ended = {row["run_id"] for row in rows if row["state"] in ENDED}
        alone = {name for name in ended - set(named) if not files.run(name).folder.exists()}
    before = {name: fields for name, fields in record.get("runs", {}).items() if name not in named}
    runs = {name: fields for name, fields in before.items() if name in alone or files.run(name).spec.exists()}
    if lost := alone - runs.keys():
        raise StudyError(
            f"{files.folder}/ has tables of {len(lost)} other runs, whose folders are gone, and would lose them: "
            "give this sweep another name (name=...), or another results folder (--results)"
        )
    surfaces = record.get("surfaces", {}).items()
    return {"runs": runs, "surfaces": {name: fields for name, fields in surfaces if fields["run"] in runs}}
