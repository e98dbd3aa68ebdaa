"""Hands packs to a SLURM cluster through submitit, as arrays that are split at the cluster's MaxArraySize."""

from __future__ import annotations

import math
import shlex
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from study.errors import StudyError
from study.launch.attempt.provenance import ALLOCATOR
from study.launch.slurm import code as codes
from study.launch.slurm import queue
from study.launch.slurm.job import PackJob
from study.launch.slurm.profile import Profile
from study.launch.slurm.submissions import Submission
from study.store.layout import SweepFiles

if TYPE_CHECKING:
    from study.launch.machine import Machine

FORGET = "unset ${!SRUN_@} ${!SCONTROL_@} ${!SUBMITIT_@} SLURM_CLUSTERS"
"""A shell line that undoes what a login shell on the node may have set for SLURM's commands."""


def submit(
    files: SweepFiles, packs: Sequence[list[Path]], profile: Profile, machine: Machine, content: str
) -> Iterator[Submission]:
    """Submit packs in arrays of at most MaxArraySize, and yield each array when it is accepted.

    `content` describes a job for its comment in the queue. A StudyError repeats what sbatch said when it refused.
    """
    code = codes.copy(files.code.resolve())
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
        part = [[str(folder.resolve()) for folder in pack] for pack in packs[start : start + limit]]
        token = uuid.uuid4().hex[:8]
        name, limits = f"study-{files.name}-{token}", [profile.time, profile.max_requeues]
        submission = Submission(files.slurm.resolve() / token, name, part, job, limits, time.time(), None)
        submission.write()
        comment = f"study: sweep {files.name}, {len(part)} jobs of {content}"
        yield _sbatch(submission, profile, _parameters(submission, profile, code, comment))


def _sbatch(submission: Submission, profile: Profile, parameters: dict[str, Any]) -> Submission:
    executor = submitit.SlurmExecutor(submission.folder, max_num_timeout=profile.max_requeues, python=profile.python)
    executor.update_parameters(**parameters)
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
    several = profile.ranks > 1
    optional = {
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "gres": profile.gres,
        "mem": profile.memory,
        "gpus_per_node": profile.gpus_per_run if several and profile.device != "cpu" else profile.gpus or None,
        "nodes": profile.nodes if several else None,
        "ntasks_per_node": profile.gpus_per_run if several else None,
    }
    extra = {name.replace("_", "-"): value for name, value in profile.sbatch.items()}
    ours = {"export": "ALL", "signal": f"USR2@{profile.signal_seconds}", "requeue": not extra.get("no-requeue", False)}
    return {
        "job_name": submission.name,
        "comment": comment,
        "time": profile.time,
        "cpus_per_task": profile.cpus,
        "array_parallelism": profile.max_parallel,
        "stderr_to_stdout": True,
        "setup": [FORGET, *_exports(ALLOCATOR), *profile.setup, *_imports(code)],
        "srun_args": ["--export=ALL", f"--cpus-per-task={profile.cpus}", *["--kill-on-bad-exit=1"] * several],
        "additional_parameters": {name: value for name, value in (ours | extra).items() if value is not False},
        **{key: value for key, value in optional.items() if value is not None},
    }


def _imports(code: Path) -> list[str]:
    """Shell lines that make Python import this code first, and nothing from the working directory (nor an empty entry)."""
    kept = 'for path in ${PYTHONPATH-}; do [[ $path != /* || $path -ef . ]] || printf :%s "$path"; done'
    return [f"PYTHONPATH={shlex.quote(str(code))}$(IFS=:; set -f; {kept})", "export PYTHONPATH PYTHONSAFEPATH=1"]


def _exports(variables: dict[str, str]) -> list[str]:
    """Shell lines that set variables which are not set yet."""
    return [f"export {name}=${{{name}:-{shlex.quote(value)}}}" for name, value in variables.items()]
