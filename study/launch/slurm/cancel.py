"""Taking jobs out of the queue: `study cancel`."""

from __future__ import annotations

from pathlib import Path

from study.config.fields import sweep_name
from study.errors import StudyError
from study.launch.slurm import queue
from study.launch.slurm.where import places
from study.store.find import find_run
from study.store.layout import SweepFiles
from study.store.runs import read_sweep, sweep_names
from study.store.surfaces import of_runs


def cancel(results: Path, what: str) -> list[str]:
    """Cancel the jobs of a sweep or of one run; says what was done. The other runs of a run's pack end with it.

    Raises
    ------
    StudyError
        Nothing is called so, nothing of it is in the queue, or SLURM refuses.
    """
    if (name := sweep_name(what)) in sweep_names(results):
        wanted = set(read_sweep(SweepFiles(results, name))["runs"])
    else:
        wanted = {find_run(results, what).run_id}
    jobs: dict[str, list[str]] = {}
    around = {surface.run_id for surface in of_runs(SweepFiles(results, "").run(name) for name in wanted)}
    for task, place in places(results).items():
        if place.waiting and (task in wanted or task.rpartition("-")[0] in around):
            jobs.setdefault(place.job.job_id, []).append(task)
    if not jobs:
        raise StudyError(
            f"{what}: nothing of it is in the queue; a sweep that runs in a terminal ends with Ctrl-C there"
        )
    queue.cancel(list(jobs))
    return [f"job {job_id}: cancelled ({', '.join(runs)})" for job_id, runs in jobs.items()]
