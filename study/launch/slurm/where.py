"""Where the queue has what was submitted; nothing is asked where nothing was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.launch.slurm.submit import Place


def places(results: Path) -> dict[str, Place]:
    """Where the queue has each run; nothing is asked where nothing was submitted, or where there is no cluster to ask."""
    from study.launch.slurm.queue import on_a_cluster

    if not any(results.glob("*/slurm")) or not on_a_cluster():
        return {}
    from study.launch.slurm import submit as slurm

    return slurm.places(results)


def adopt_orphans(results: Path) -> None:
    """Complete what a submitter that was killed left half done; nothing where nothing was submitted."""
    if any(results.glob("*/slurm")):
        from study.launch.slurm import submit as slurm

        slurm.adopt(results)
