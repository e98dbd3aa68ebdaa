"""What an executor gives a process to do: runs to train, or chunks of surfaces to measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study.launch.attempt.runs import attempt
from study.store.layout import ChunkFiles, task_files
from study.training.ranks import Ranks


def work(folders: Sequence[Path], *where: Any, ranks: Ranks | None = None, **how: Any) -> dict[str, str]:
    """Do what is left of these tasks, all runs or all chunks. Arguments and result as of `study.launch.attempt.runs.attempt`.

    The chunks of a surface are shared out between processes, never within ranks.
    """
    if isinstance(task_files(folders[0]), ChunkFiles):
        from study.launch.attempt.chunks import measure  # brings SciPy, which no run needs

        return measure(folders, *where, **how)
    return attempt(folders, *where, ranks=ranks, **how)
