"""Submissions, as recorded on disk, and their jobs in the queue; `study cancel`.

A submission is first written down (`submission.json`: its name and packs), then given to sbatch under that name, then
completed with the job's id. If the submitter is killed between any two of these, the next call finds by the name what the
controller accepted, and submits nothing twice.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.config.fields import sweep_name
from study.errors import StudyError
from study.launch.machine import Terms
from study.launch.slurm import queue
from study.store.files import DamagedError, read_json, write_json
from study.store.find import find_run, of_runs, sweep_names
from study.store.layout import SweepFiles
from study.store.sweeps import read_sweep

if TYPE_CHECKING:
    from study.launch.slurm.job import PackJob


@dataclass(frozen=True)
class Submission:
    """One array of packs, as recorded in its folder."""

    folder: Path
    name: str
    packs: list[list[str]]
    job: dict[str, Any]
    """The `Terms` of its jobs."""
    limits: list[int]
    """Minutes of a job, and how often it may be requeued after them."""
    time: float
    job_id: str | None

    def task_id(self, index: int) -> str | None:
        """SLURM's id of a pack's job; None while the array's is not known."""
        # submitit submits a single job without an array.
        return self.job_id if self.job_id is None or len(self.packs) == 1 else f"{self.job_id}_{index}"

    def write(self) -> None:
        """Write the record."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "folder"}
        write_json(self.folder / "submission.json", facts)

    def jobs(self) -> list[PackJob]:
        """What submitit runs, a job for each pack."""
        from study.launch.slurm.job import PackJob

        return [PackJob(pack, Terms(**self.job)) for pack in self.packs]

    def complete(self) -> None:
        """Write the job files that are missing if the submitter was killed after sbatch; tasks wait a minute for them."""
        from submitit.core.utils import DelayedSubmission, JobPaths

        for index, job in enumerate(self.jobs()):
            path = JobPaths(self.folder, self.task_id(index)).submitted_pickle
            if not path.exists():
                delayed = DelayedSubmission(job)
                delayed.set_timeout(*self.limits)
                draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
                delayed.dump(draft)
                draft.replace(path)


_FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE")
"""States in accounting of jobs that will not be requeued. A completing job may be: squeue does not tell."""

_TASK_FAILED = re.compile(r"srun: (?!error|fatal)|srun: error: \S+: tasks? \S+: ")


@dataclass(frozen=True)
class Place:
    """A task's job."""

    job: queue.Job
    waiting: bool
    """Whether the controller still holds it."""
    log: Path

    @property
    def ending(self) -> bool:
        """Whether the job has ended and its nodes are being cleaned up; it may yet be requeued."""
        return self.waiting and self.job.state == "COMPLETING"

    def __str__(self) -> str:
        if self.ending:
            return f"job {self.job.job_id}, ending"
        reason = f" ({self.job.reason})" if self.waiting and self.job.reason not in ("", "None") else ""
        return f"job {self.job.job_id}, {self.job.state.lower()}{reason}"

    def failure_message(self) -> str:
        """The last line printed by a job that has left the queue; empty when it ended normally."""
        if self.waiting:
            return ""
        with suppress(OSError):
            lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
            last = [line for line in lines if not _TASK_FAILED.match(line)][-1:]
            return "" if not last or last[0].startswith("submitit INFO") else last[0]
        return ""


def places(results: Path) -> dict[str, Place]:
    """The newest job of each submitted task; its state is `UNKNOWN` if neither squeue nor sacct lists it.

    Only reads, and asks SLURM nothing if nothing was submitted or there is no cluster. A job belongs to a submission if it
    has its unique name: on another cluster the same id is another job.
    """
    if not any(results.glob("*/slurm")) or not queue.on_a_cluster():
        return {}
    jobs = {job.job_id: job for job in queue.held()}
    submitted = _accepted(_submissions(results), jobs.values())
    tasks = [(s, s.task_id(index) or "", pack) for s in submitted for index, pack in enumerate(s.packs)]
    here = {task for task, job in jobs.items() if job.state != "COMPLETING"}
    past = queue.past(task for _, task, _ in tasks if task not in here) or {}
    found: dict[str, Place] = {}
    for submission, task, pack in tasks:
        known = [job for job in (jobs.get(task), past.get(task)) if job and job.name == submission.name]
        if len(known) == 2 and known[1].state in _FINAL:
            del known[0]
        job = known[0] if known else queue.Job(task, submission.name, "UNKNOWN", "")
        place = Place(job, job == jobs.get(task), submission.folder / f"{task}_0_log.out")
        found |= {Path(folder).name: place for folder in pack}
    return found


def adopt_orphans(results: Path) -> None:
    """Complete the records and job files of submissions whose submitter was killed."""
    if any(results.glob("*/slurm")):
        for submission in _accepted(_submissions(results), queue.held()):
            submission.write()
            submission.complete()


def _submissions(results: Path) -> list[Submission]:
    """All submissions under a results folder, oldest first: sweeps share their runs."""
    found = []
    root = results.resolve()
    for path in root.glob("*/slurm/*/submission.json"):
        try:
            submission = Submission(path.parent, **(read_json(path) or {}))
            if Path(submission.packs[0][0]).is_relative_to(root):  # else a copy: its jobs train the original's runs
                found.append(submission)
        except (DamagedError, TypeError):  # the latter: gone, or of another version
            # Continuing would risk submitting the same runs twice.
            raise StudyError(
                f"{path}: is damaged, so what it submitted is unknown; cancel the jobs named study-*-{path.parent.name} "
                "with scancel, and remove its folder"
            ) from None
    return sorted(found, key=lambda item: item.time)


def _accepted(submitted: Iterable[Submission], jobs: Iterable[queue.Job]) -> list[Submission]:
    """The submissions that the controller accepted, by their name in the queue or the id in their record."""
    ids = {job.name: job.job_id.partition("_")[0] for job in jobs}
    named = (replace(s, job_id=ids.get(s.name, s.job_id)) for s in submitted)
    return [submission for submission in named if submission.job_id is not None]


def cancel(results: Path, what: str) -> list[str]:
    """Cancel the jobs of a sweep or of one run, and of their surfaces; returns a line for each job."""
    if (name := sweep_name(what)) in sweep_names(results):
        wanted = set(read_sweep(SweepFiles(results, name))["runs"])
    else:
        wanted = {find_run(results, what).run_id}
    jobs: dict[str, list[str]] = {}
    around = {surface.run_id for surface in of_runs(SweepFiles(results, "").run(name) for name in wanted)}
    for task, place in places(results).items():
        if place.waiting and not place.ending and (task in wanted or task.rpartition("-")[0] in around):
            jobs.setdefault(place.job.job_id, []).append(task)
    if not jobs:
        raise StudyError(f"{what}: no queued jobs; press Ctrl-C to stop a sweep that runs in a terminal")
    queue.cancel(list(jobs))
    return [f"job {job_id}: cancelled ({', '.join(runs)})" for job_id, runs in jobs.items()]
