"""What an executor gives a process to do: runs to train, or chunks of surfaces to measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from study.launch.attempt.runs import attempt
from study.store.layout import ChunkFiles, task_files
from study.training.session import Session


def work(folders: Sequence[Path], session: Session) -> dict[str, str]:
    """Work on tasks, all runs or all chunks, until each is sealed, has failed, or `session.stopped` says True.

    Returns the outcome of each: `done`, `diverged`, `failed`, `interrupted`, or `busy` when another process holds it. The
    chunks of a surface are shared out between processes, never within ranks.

    Raises
    ------
    WriteError
        The results folder cannot be written. The tasks are interrupted: they go on once it can be.
    """
    if isinstance(task_files(folders[0]), ChunkFiles):
        from study.launch.attempt.chunks import measure  # late: SciPy, which no run needs

        return measure(folders, session)
    return attempt(folders, session)
