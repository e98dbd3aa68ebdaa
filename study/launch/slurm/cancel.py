"""Cancel jobs: `study cancel`."""

from __future__ import annotations

from pathlib import Path

from study.config.fields import sweep_name
from study.errors import StudyError
from study.launch.slurm import queue
from study.launch.slurm.submissions import places
from study.store.find import find_run, of_runs, sweep_names
from study.store.layout import SweepFiles
from study.store.sweeps import read_sweep


def cancel(results: Path, what: str) -> list[str]:
    """Cancel the jobs of a sweep or of one run, and of their surfaces; returns a line for each job."""
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
        raise StudyError(f"{what}: no queued jobs; press Ctrl-C to stop a sweep that runs in a terminal")
    queue.cancel(list(jobs))
    return [f"job {job_id}: cancelled ({', '.join(runs)})" for job_id, runs in jobs.items()]
