"""What an executor gives a process to do: runs to train side by side, or chunks of surfaces to measure one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from study.launch.attempt.runs import Runs, follow
from study.launch.attempt.task import attempt
from study.store.layout import ChunkFiles, RunFiles, task_files
from study.training.session import Session


def work(folders: Sequence[Path], session: Session) -> dict[str, str]:
    """Work on tasks, all runs or all chunks, until each is sealed, has failed, or `session.stopped` says True.

    Returns the outcome of each: `done`, `diverged`, `failed`, `interrupted`, or `busy` if another process holds it. The
    chunks of a surface are shared out between processes, never within ranks.

    Raises
    ------
    WriteError
        The results folder cannot be written. The tasks are interrupted: they go on once it can be.
    """
    if not isinstance(task_files(folders[0]), ChunkFiles):
        runs = [RunFiles(folder) for folder in folders]
        return attempt(runs, session, Runs()) if session.ranks.first else follow(runs[0], session)
    from study.launch.attempt.chunks import Chunks  # late: SciPy, which no run needs

    outcomes: dict[str, str] = {}
    for files in map(ChunkFiles, folders):
        outcomes |= {files.run_id: "interrupted"} if session.stopped() else attempt([files], session, Chunks())
    return outcomes
