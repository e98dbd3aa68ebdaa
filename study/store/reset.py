"""Forget results, so that a run is trained, or a surface measured, from the start."""

from __future__ import annotations

import shutil
from contextlib import suppress

from study.errors import StudyError
from study.store.files import remove
from study.store.housekeeping import holding, tasks_of
from study.store.layout import RunFiles, SurfaceFiles
from study.store.surfaces import read_spec


def reset_run(files: RunFiles) -> None:
    """Remove a run's result, checkpoints, snapshots and surfaces, but not its attempts and log.

    Raises `StudyError` if another process is training it, or measuring around it.
    """
    around = []
    for surface in files.surfaces():
        with suppress(StudyError):
            spec = read_spec(surface)
            around += [surface] if files.run_id in (spec.run, *spec.to) else []
    with holding(tasks_of([files, *around])):
        for surface in around:
            _forget(surface)
        # The seal goes first: if this is cut short, the run shows as interrupted, never as done without its files.
        networks = (*files.checkpoints(), *files.snapshots(), *files.certificates())
        for path in (files.done, files.failed, *networks, files.curves, files.probes):
            remove(path)


def reset_surface(files: SurfaceFiles) -> None:
    """Remove all measurements of a surface; raises `StudyError` if another process is measuring it."""
    with holding(tasks_of([files])):
        _forget(files)


def _forget(files: SurfaceFiles) -> None:
    remove(files.done)  # first: if this is cut short, the surface is not done
    for path in (files.table, files.failed, files.facts, *files.planes()):
        remove(path)
    shutil.rmtree(files.folder / "chunks", ignore_errors=True)
