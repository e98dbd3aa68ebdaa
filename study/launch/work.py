"""What an executor gives a process to do: runs to train, or chunks of surfaces to measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from study.launch.attempt import attempt
from study.launch.chunks import measure
from study.store.layout import ChunkFiles, task_files
from study.training.pack import Progress
from study.training.ranks import Ranks


def work(
    folders: Sequence[Path],
    data_root: Path,
    device: str,
    executor: str,
    *,
    checkpoint_seconds: float,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
    raise_errors: bool = False,
    ranks: Ranks | None = None,
) -> dict[str, str]:
    """Do what is left of these tasks, all runs or all chunks. Arguments and result as of `study.launch.attempt.attempt`."""
    if isinstance(task_files(folders[0]), ChunkFiles):
        return measure(
            folders,
            data_root,
            device,
            executor,
            checkpoint_seconds=checkpoint_seconds,
            stopped=stopped,
            report=report,
            raise_errors=raise_errors,
        )
    return attempt(
        folders,
        data_root,
        device,
        executor,
        checkpoint_seconds=checkpoint_seconds,
        stopped=stopped,
        report=report,
        raise_errors=raise_errors,
        ranks=ranks,
    )
