"""Submit packs to a SLURM cluster through submitit, as arrays that are split at the cluster's MaxArraySize."""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from study.errors import StudyError
from study.launch.attempt.provenance import ALLOCATOR
from study.launch.machine import Machine, Terms
from study.launch.slurm import code as codes
from study.launch.slurm import queue
from study.launch.slurm.profile import Profile
from study.launch.slurm.submissions import Submission
from study.store.layout import SweepFiles

FORGET = "unset ${!SRUN_@} ${!SCONTROL_@} ${!SUBMITIT_@} SLURM_CLUSTERS"
"""A shell line that undoes what a login shell on the node may have set for SLURM's commands."""


def submit(
    files: SweepFiles, packs: Sequence[list[Path]], profile: Profile, machine: Machine, content: str
) -> Iterator[Submission]:
    """Submit packs in arrays of at most MaxArraySize, and yield each array when it is accepted."""
    code = codes.copy(files.code.resolve())
    limit = queue.max_array_size()
    terms = Terms.of(machine, profile.device, profile.cpus, code.name)
    for start in range(0, len(packs), limit):
        part = [[str(folder.resolve()) for folder in pack] for pack in packs[start : start + limit]]
        token = uuid.uuid4().hex[:8]
        name, limits = f"study-{files.name}-{token}", [profile.time, profile.max_requeues]
        submission = Submission(files.slurm.resolve() / token, name, part, asdict(terms), limits, time.time(), None)
        submission.write()
        comment = f"study: sweep {files.name}, {len(part)} jobs of {content}"
        parameters = {"job_name": name, "comment": comment, **_parameters(profile, code)}
        yield _sbatch(submission, parameters, profile)


def _sbatch(submission: Submission, parameters: dict[str, Any], profile: Profile) -> Submission:
    executor = submitit.SlurmExecutor(submission.folder, max_num_timeout=profile.max_requeues, python=profile.python)
    executor.update_parameters(**parameters)
    try:
        with queue.plain_environment():
            first = executor.submit_array(submission.jobs())[0]
    except (FailedJobError, FailedSubmissionError) as error:
        (submission.folder / "submission.json").unlink()
        told = [line.rpartition("sbatch: ")[2].strip() for line in str(error).splitlines() if "sbatch: " in line]
        raise StudyError(f"sbatch refused: {'; '.join(told) or ' '.join(str(error).split())}") from None
    accepted = replace(submission, job_id=first.job_id.partition("_")[0])
    accepted.write()
    return accepted


def _parameters(profile: Profile, code: Path) -> dict[str, Any]:
    several = profile.ranks > 1
    optional = {name: getattr(profile, name) for name in ("partition", "account", "qos", "constraint", "gres")}
    optional["mem"] = profile.memory
    optional["gpus_per_node"] = profile.gpus_per_run if several and profile.device != "cpu" else profile.gpus or None
    extra = {name.replace("_", "-"): value for name, value in profile.sbatch.items()}
    ours = {"export": "ALL", "signal": f"USR2@{profile.signal_seconds}", "requeue": not extra.get("no-requeue", False)}
    defaults = [f"export {name}=${{{name}:-{shlex.quote(value)}}}" for name, value in ALLOCATOR.items()]
    return {
        "time": profile.time,
        "nodes": profile.nodes,
        "ntasks_per_node": profile.gpus_per_run,  # even one: an exclusive job would have a task for each core
        "cpus_per_task": profile.cpus,
        "array_parallelism": profile.max_parallel,
        "stderr_to_stdout": True,
        "setup": [FORGET, *defaults, *profile.setup, *_imports(code)],
        "srun_args": ["--export=ALL", f"--cpus-per-task={profile.cpus}", *["--kill-on-bad-exit=1"] * several],
        "additional_parameters": {name: value for name, value in (ours | extra).items() if value is not False},
        **{key: value for key, value in optional.items() if value is not None},
    }


def _imports(code: Path) -> list[str]:
    """Shell lines that make Python import this code first, and nothing from the working directory (nor an empty entry)."""
    kept = 'for path in ${PYTHONPATH-}; do [[ $path != /* || $path -ef . ]] || printf :%s "$path"; done'
    return [f"PYTHONPATH={shlex.quote(str(code))}$(IFS=:; set -f; {kept})", "export PYTHONPATH PYTHONSAFEPATH=1"]
