"""Forget results, so that a run is trained, or a surface measured, from the start."""

from __future__ import annotations

import shutil

from study.errors import StudyError
from study.store import lease
from study.store.files import remove
from study.store.layout import RunFiles, SurfaceFiles
from study.store.surfaces import read_spec


def reset_run(files: RunFiles) -> None:
    """Remove a run's result, checkpoints, snapshots and surfaces, but not its attempts and log.

    Raises `StudyError` if another process is training it, or measuring around it.
    """
    held = lease.claim(files)
    if held is None:
        raise StudyError(f"{files.run_id} is being trained; it cannot start over")
    try:
        for surface in files.surfaces():
            try:
                spec = read_spec(surface)
            except StudyError:
                continue
            if files.run_id in (spec.run, *spec.to):
                reset_surface(surface)
        # The seal goes first: if this is cut short, the run shows as interrupted, never as done without its files.
        networks = (*files.checkpoints(), *files.snapshots(), *files.certificates())
        for path in (files.done, files.failed, *networks, files.curves, files.probes):
            remove(path)
    finally:
        held.release()


def reset_surface(files: SurfaceFiles) -> None:
    """Remove all measurements of a surface; raises `StudyError` if another process is measuring it."""
    tasks = (files, *files.chunks())
    held = lease.claim_all(tasks)
    try:
        busy = [task.run_id for task in tasks if task.run_id not in held]
        if busy:
            raise StudyError(f"{busy[0]} is being measured; it cannot start over")
        remove(files.done)  # first: if this is cut short, the surface is not done
        for path in (files.table, files.failed, files.facts, *files.planes()):
            remove(path)
        shutil.rmtree(files.folder / "chunks", ignore_errors=True)
    finally:
        for own in held.values():
            own.release()
