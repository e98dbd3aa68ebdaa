"""The SLURM executor: detached, through submitit. A sweep is planned, submitted and left to the cluster.

A submission is first written down (`submission.json`: its name, its packs), then given to sbatch under that name, then
completed with the job's id. Killed between any two of these, it is found again by the name: whatever the controller
accepted is adopted by the next call, and nothing is submitted twice.
"""

from __future__ import annotations

import logging
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import submitit
from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError, JobPaths, UncompletedJobError

from study.errors import StudyError
from study.launch.allocator import ALLOCATOR
from study.launch.attempt.provenance import require
from study.launch.slurm import code as snapshot
from study.launch.slurm import queue
from study.launch.slurm.profile import Profile
from study.store import runs as store
from study.store.files import DamagedError, read_json, write_json
from study.store.layout import SweepFiles, task_files

if TYPE_CHECKING:
    from study.launch.machine import Machine
    from study.training.ranks import Ranks

log = logging.getLogger(__name__)


class PackJob:
    """What a job runs: one pack. It holds paths and numbers only; the specs are read from the runs' folders."""

    def __init__(
        self,
        folders: list[str],
        data_root: str,
        device: str,
        threads: int,
        checkpoint_seconds: float,
        watchdog: float | None = None,
        code: str | None = None,
    ) -> None:
        self.folders, self.data_root, self.device = folders, data_root, device
        self.threads, self.checkpoint_seconds, self.watchdog = threads, checkpoint_seconds, watchdog
        self.code = code  # the digest of what was submitted

    def __call__(self) -> dict[str, str]:
        """Train until the runs are sealed or a signal asks for a checkpoint; then requeue, where that was the signal."""
        signals = _Signals()
        import torch

        from study.launch.attempt.work import work
        from study.training.session import Session

        try:
            require(self.__dict__.get("code"))  # a job submitted by an earlier version has none
        except StudyError as error:
            sys.exit(str(error))
        torch.set_num_threads(self.threads)
        device = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        ranks = _join(device)
        if ranks.size > 1 and device == "cuda":
            device = f"cuda:{os.environ['SLURM_LOCALID']}"
        session = Session(
            Path(self.data_root),
            torch.device(device),
            "slurm",
            checkpoint_seconds=self.checkpoint_seconds,
            watchdog=self.watchdog or math.inf,
            stopped=lambda: signals.stop,
            why=signals.why,
            ranks=ranks,
        )
        outcomes = work([Path(folder) for folder in self.folders], session)
        if ranks.size > 1 and {"failed", "busy"} & set(outcomes.values()):
            sys.exit(1)  # and srun ends the other ranks, which wait for this one
        if signals.requeue is not None and "interrupted" in outcomes.values():
            self._requeue(signals)
        return outcomes

    def _requeue(self, signals: _Signals) -> None:
        """Let submitit put this job back into the queue; what stops it is written where `study status` looks."""
        try:
            signals.hand_on()
        except subprocess.CalledProcessError as error:
            # The runs stay interrupted. The last line of a job's log is what `study status` shows of it.
            command = shlex.join(error.cmd)
            sys.exit(f"the job could not requeue itself (`{command}` failed); `study sweep` submits its runs again")
        except UncompletedJobError as error:
            for files in map(task_files, map(Path, self.folders)):
                if store.status(files).state not in store.ENDED:
                    store.write_failed(files, f"{error} Raise time or max_requeues in the profile, then --mode retry")
            raise

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit before it requeues: the same job again. The runs' own checkpoints are on disk by then."""
        return DelayedSubmission(self)


def _join(device: str) -> Ranks:
    """Meet the other tasks of this job, if there are any."""
    from study.training.ranks import Ranks

    if int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return Ranks()
    import torch.distributed as dist
    from submitit.helpers import TorchDistributedEnvironment

    world = TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    one_node = os.environ.get("SLURM_JOB_NUM_NODES", "1") == "1"
    os.environ["MASTER_ADDR"] = "127.0.0.1" if one_node else queue.address(world.master_addr)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", rank=world.rank, world_size=world.world_size)
    return Ranks(world.rank, world.world_size)


class _Signals:
    """USR2 (time limit, preemption): checkpoint and requeue. TERM (scancel, or the scheduler's own requeue): checkpoint.

    The handlers only set a flag; the pack looks at it after each step.
    """

    def __init__(self) -> None:
        self.stop = False
        self.requeue: tuple[int, FrameType | None] | None = None
        self._submitit = signal.signal(signal.SIGUSR2, self._on_usr2)
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_usr2(self, number: int, frame: FrameType | None) -> None:
        self.stop, self.requeue = True, (number, frame)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        self.stop = True

    def why(self) -> str:
        """Which of them it was, for the record of the attempt."""
        if self.requeue is None:
            return "cancelled, or requeued by the scheduler (SIGTERM)" if self.stop else ""
        # submitit knows how long the job may be: before the end of that comes near, it can only be preempted.
        near_its_end = getattr(getattr(self._submitit, "__self__", None), "has_timed_out", lambda: True)()
        return f"{'time limit or preemption' if near_its_end else 'preemption'} (SIGUSR2)"

    def hand_on(self) -> None:
        """Call submitit's own handler, which requeues the job and exits."""
        if callable(self._submitit) and self.requeue is not None:
            self._submitit(*self.requeue)


# -- submissions on disk ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """One array of packs, as recorded in its folder."""

    folder: Path
    name: str
    packs: list[list[str]]
    job: dict[str, Any]
    """Arguments of `PackJob` but for the folders."""
    limits: list[int]
    """Minutes of a job, and how often it may be requeued after them."""
    time: float
    job_id: str | None

    def task_id(self, index: int) -> str | None:
        """SLURM's id of a pack's job; None while the array's is not known."""
        # submitit makes a plain job of an array of one.
        return self.job_id if self.job_id is None or len(self.packs) == 1 else f"{self.job_id}_{index}"

    def write(self) -> None:
        """Record it, as one act."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "folder"}
        write_json(self.folder / "submission.json", facts)

    def complete(self) -> None:
        """Write the job files that a submitter did not come to write, who died after sbatch: tasks wait a minute for them."""
        for index, pack in enumerate(self.packs):
            path = JobPaths(self.folder, self.task_id(index)).submitted_pickle
            if not path.exists():
                delayed = DelayedSubmission(PackJob(pack, **self.job))
                delayed.set_timeout(*self.limits)
                draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
                delayed.dump(draft)
                draft.replace(path)


def submissions(results: Path) -> list[Submission]:
    """All submissions of runs under a results folder, oldest first: sweeps share their runs."""
    found = []
    root = results.resolve()
    for path in root.glob("*/slurm/*/submission.json"):
        try:
            submission = Submission(path.parent, **(read_json(path) or {}))
            if Path(submission.packs[0][0]).is_relative_to(root):  # else a copy: its jobs train the original's runs
                found.append(submission)
        except (DamagedError, TypeError):  # the latter: gone, or of another version
            # Whoever submits without knowing what is in the queue may submit it twice.
            raise StudyError(
                f"{path}: is damaged, so what it submitted is not known; cancel the jobs named study-*-{path.parent.name} "
                "with scancel, and remove its folder"
            ) from None
    return sorted(found, key=lambda item: item.time)


def identify(submitted: Iterable[Submission], jobs: Iterable[queue.Job]) -> list[Submission]:
    """The submissions that the controller accepted, by their name in the queue or, where they have left it, by their record."""
    ids = {job.name: job.job_id.partition("_")[0] for job in jobs}
    named = (replace(s, job_id=ids.get(s.name, s.job_id)) for s in submitted)
    return [submission for submission in named if submission.job_id is not None]


def adopt(results: Path) -> None:
    """Complete the records and job files of submissions whose submitter died."""
    for submission in identify(submissions(results), queue.held()):
        submission.write()
        submission.complete()


_TASK_FAILED = re.compile(r"srun: (?!error|fatal)|srun: error: \S+: tasks? \S+: ")


@dataclass(frozen=True)
class Place:
    """Where the queue has a run."""

    job: queue.Job
    waiting: bool
    """Whether the controller still holds it."""
    log: Path
    """What the job printed."""

    def __str__(self) -> str:
        reason = f" ({self.job.reason})" if self.waiting and self.job.reason not in ("", "None") else ""
        return f"job {self.job.job_id}, {self.job.state.lower()}{reason}"

    def last_words(self) -> str:
        """The last line that a job printed which has left the queue; empty when it ended in good order.

        Of srun's own lines those that say no more than that a task has failed do not count.
        """
        try:
            lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        lines = [line for line in lines if not _TASK_FAILED.match(line)]
        return "" if self.waiting or not lines or lines[-1].startswith("submitit INFO") else lines[-1]


def places(results: Path) -> dict[str, Place]:
    """Where each run is or was in the queue, by its newest submission; `UNKNOWN` where nothing can tell. Reads only.

    A job is believed to be a submission's by its name, which nothing else has: elsewhere the same id is another job.
    """
    jobs = {job.job_id: job for job in queue.held()}
    submitted = identify(submissions(results), jobs.values())
    tasks = [(s, s.task_id(index) or "", pack) for s in submitted for index, pack in enumerate(s.packs)]
    past = queue.past(task for _, task, _ in tasks if task not in jobs) or {}
    found: dict[str, Place] = {}
    for submission, task, pack in tasks:
        known = [job for job in (jobs.get(task), past.get(task)) if job and job.name == submission.name]
        job = known[0] if known else queue.Job(task, submission.name, "UNKNOWN", "", "")
        place = Place(job, job == jobs.get(task), submission.folder / f"{task}_0_log.out")
        found |= {Path(folder).name: place for folder in pack}
    return found


# -- submitting ---------------------------------------------------------------------------------------------------------


def submit(
    files: SweepFiles,
    packs: Sequence[list[Path]],
    profile: Profile,
    machine: Machine,
    content: str,
) -> Iterator[Submission]:
    """Give packs to the cluster, in arrays of at most its MaxArraySize; yields each as it is accepted.

    Parameters
    ----------
    content
        What a job holds, in words, for its comment in the queue.

    Raises
    ------
    StudyError
        sbatch refused; in its words.
    """
    code = snapshot.take(files.code.resolve())
    limit = queue.max_array_size()
    job = {
        "data_root": str(machine.data_root.resolve()),
        "device": profile.device,
        "threads": profile.cpus,
        "checkpoint_seconds": machine.checkpoint_seconds,
        "watchdog": machine.watchdog if math.isfinite(machine.watchdog) else None,
        "code": code.name,
    }
    for start in range(0, len(packs), limit):
        chunk = [[str(folder.resolve()) for folder in pack] for pack in packs[start : start + limit]]
        token = uuid.uuid4().hex[:8]
        name, limits = f"study-{files.name}-{token}", [profile.time, profile.max_requeues]
        submission = Submission(files.slurm.resolve() / token, name, chunk, job, limits, time.time(), None)
        submission.write()
        comment = f"study: sweep {files.name}, {len(chunk)} jobs of {content}"
        yield _sbatch(submission, profile, code, comment)


def _sbatch(submission: Submission, profile: Profile, code: Path, comment: str) -> Submission:
    executor = submitit.SlurmExecutor(submission.folder, max_num_timeout=profile.max_requeues, python=profile.python)
    executor.update_parameters(**_parameters(submission, profile, code, comment))
    jobs = [PackJob(pack, **submission.job) for pack in submission.packs]
    try:
        with queue.plain_environment():
            first = executor.submit_array(jobs)[0]
    except (FailedJobError, FailedSubmissionError) as error:
        (submission.folder / "submission.json").unlink()
        raise StudyError(f"sbatch refused: {_sbatch_words(str(error))}") from None
    accepted = replace(submission, job_id=first.job_id.partition("_")[0])
    accepted.write()
    return accepted


def _sbatch_words(text: str) -> str:
    """The lines of submitit's message that are sbatch's own."""
    lines = [line.strip() for line in text.splitlines() if "sbatch: " in line]
    return "; ".join(line.rpartition("sbatch: ")[2] for line in lines) or " ".join(text.split())


def _parameters(submission: Submission, profile: Profile, code: Path, comment: str) -> dict[str, Any]:
    """The profile in submitit's words."""
    ranks = profile.ranks
    optional = {
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "gres": profile.gres,
        "mem": profile.memory,
        "gpus_per_node": profile.gpus_per_run if ranks > 1 and profile.device != "cpu" else profile.gpus or None,
        "nodes": profile.nodes if ranks > 1 else None,
        "ntasks_per_node": profile.gpus_per_run if ranks > 1 else None,
    }
    srun = ["--export=ALL", f"--cpus-per-task={profile.cpus}", *(["--kill-on-bad-exit=1"] if ranks > 1 else [])]
    asked = {name.replace("_", "-"): value for name, value in profile.sbatch.items() if value is not False}
    ours = {"export": "ALL", "signal": f"USR2@{profile.signal_seconds}", "requeue": "no-requeue" not in asked}
    return {
        "job_name": submission.name,
        "comment": comment,
        "time": profile.time,
        "cpus_per_task": profile.cpus,
        "array_parallelism": profile.max_parallel,
        "stderr_to_stdout": True,
        "setup": [_FORGET, *_exports(ALLOCATOR), *profile.setup, *_imports(code)],
        "srun_args": srun,
        "additional_parameters": {name: value for name, value in (ours | asked).items() if value is not False},
        **{key: value for key, value in optional.items() if value is not None},
    }


_FORGET = "unset ${!SRUN_@} ${!SCONTROL_@} ${!SUBMITIT_@} SLURM_CLUSTERS"
"""A shell line against what a login shell on the node may have set for the commands of a job."""


def _imports(code: Path) -> list[str]:
    """Shell lines that have Python find this code first, and nothing in the working directory (an empty entry is that, too)."""
    kept = 'for path in ${PYTHONPATH-}; do [[ $path != /* || $path -ef . ]] || printf :%s "$path"; done'
    return [f"PYTHONPATH={shlex.quote(str(code))}$(IFS=:; set -f; {kept})", "export PYTHONPATH PYTHONSAFEPATH=1"]


def _exports(variables: dict[str, str]) -> list[str]:
    """Shell lines that set what is not set."""
    return [f"export {name}=${{{name}:-{shlex.quote(value)}}}" for name, value in variables.items()]
