"""Find runs, sweeps and surfaces by name."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from study.config.identity import point_id
from study.errors import StudyError, nearest
from study.store import surfaces
from study.store.layout import RunFiles, SurfaceFiles, SweepFiles
from study.store.runs import stored_spec

log = logging.getLogger(__name__)


def sweep_names(results: Path) -> list[str]:
    """The sweeps under a results folder, including those with nothing but collected tables."""
    return sorted({path.parent.name for name in ("sweep.json", "runs.parquet") for path in results.glob(f"*/{name}")})


def refuse_tables_alone(files: SweepFiles) -> None:
    """Raise `StudyError` if only the collected tables of a sweep are here."""
    if files.runs_table.exists() and not files.sweep.exists():
        raise StudyError(f"{files.folder}/ has collected tables alone; its runs are where it was trained")


def all_runs(results: Path, pattern: str = "*") -> dict[str, RunFiles]:
    """The files of every run under a results folder whose id matches `pattern`, by id."""
    return {path.parent.name: RunFiles(path.parent) for path in sorted(results.glob(f"*/runs/{pattern}/spec.json"))}


def find_run(results: Path, text: str) -> RunFiles:
    """The run whose id is, or begins with, `text`; raises `StudyError` if there is none, or several."""
    runs = all_runs(results)
    found = [text] if text in runs else [name for name in runs if text and name.startswith(text)]
    if len(found) == 1:
        return runs[found[0]]
    if found:
        raise StudyError(
            f"'{text}' fits {len(found)} runs: {', '.join(sorted(found)[:4])}{', ...' if len(found) > 4 else ''}"
        )
    raise StudyError(f"no run '{text}' under {results}/{nearest(text, runs) if runs else ''}")


def one_run(files: SweepFiles) -> RunFiles:
    """The run that has the name of `files`, for commands that take a run or a sweep; raises as `find_run`."""
    if any(name.startswith(files.name) for name in all_runs(files.results)):
        return find_run(files.results, files.name)
    refuse_tables_alone(files)
    hint = nearest(files.name, sweep_names(files.results), listing="sweeps")
    raise StudyError(f"no sweep or run '{files.name}' under {files.results}/{hint}")


def run_of_point(results: Path, point: str, seed: int) -> RunFiles | None:
    """The run of a point with this seed, in any sweep."""
    readable = point.rpartition("-")[0]
    for files in all_runs(results, f"{readable}-s{seed}-*").values():
        with contextlib.suppress(StudyError):  # damaged, or of another version
            if point_id(stored_spec(files)) == point:
                return files
    return None


def run_folder(files: SurfaceFiles, name: str) -> RunFiles:
    """A run that a surface names: in the same sweep, or any other; raises `StudyError` if there is none."""
    sweep = files.folder.parent.parent
    found = SweepFiles(sweep.parent, sweep.name).run(name)
    if not found.spec.exists():
        raise StudyError(f"no run {name} under {sweep.parent}/")
    return found


def of_runs(runs: Iterable[RunFiles]) -> list[SurfaceFiles]:
    """The readable surfaces around these runs' networks, by id."""
    centres = list(runs)
    wanted = {run.run_id for run in centres}
    folders = {run.folder.parent.parent: run for run in centres}
    found = {}
    for run in folders.values():
        for surface in run.surfaces():
            try:
                if surfaces.read_spec(surface).run in wanted:
                    found[surface.run_id] = surface
            except StudyError as error:
                log.warning("%s; its surface is left out", error)
    return [found[name] for name in sorted(found)]
