"""What a SLURM job does: it trains one pack until a signal comes.

On USR2 (time limit, preemption) it checkpoints at the next step and requeues itself. On TERM (`scancel`, or the scheduler's
own requeue) it checkpoints and exits.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from submitit.core.utils import DelayedSubmission, UncompletedJobError

from study.errors import StudyError
from study.launch.machine import Terms
from study.launch.slurm import queue
from study.store import runs as store
from study.store.layout import task_files

if TYPE_CHECKING:
    from study.training.ranks import Ranks


@dataclass(frozen=True)
class PackJob:
    """A job's pack, as paths and numbers: the specs are in the runs' folders."""

    folders: list[str]
    terms: Terms

    def __call__(self) -> dict[str, str]:
        """Train until the runs are sealed or a signal comes; returns their outcomes."""
        signals = _Signals()  # first of all: torch takes its seconds
        outcomes, ranks = self._train(signals)
        if ranks.size > 1 and {"failed", "busy"} & set(outcomes.values()):
            sys.exit(1)  # then srun ends the other ranks, which wait for this one
        if signals.requeue is not None and "interrupted" in outcomes.values():
            self._requeue(signals)
        return outcomes

    def _train(self, signals: _Signals) -> tuple[dict[str, str], Ranks]:
        import torch

        from study.launch.attempt.work import work

        device = self.terms.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            session = self.terms.session(device, "slurm", lambda: signals.stop, why=signals.why)
        except StudyError as error:
            sys.exit(str(error))
        torch.set_num_threads(self.terms.threads)
        ranks = _join(device)
        if ranks.size > 1 and device == "cuda":
            session = replace(session, device=torch.device("cuda", int(os.environ["SLURM_LOCALID"])))
        return work([Path(folder) for folder in self.folders], replace(session, ranks=ranks)), ranks

    def _requeue(self, signals: _Signals) -> None:
        """Have submitit requeue this job; if that fails, leave the reason where `study status` finds it."""
        try:
            signals.hand_on()
        except subprocess.CalledProcessError as error:
            # The runs stay interrupted. `study status` shows the last line of the job's log.
            command = shlex.join(error.cmd)
            sys.exit(f"the job could not requeue itself (`{command}` failed); `study sweep` submits its runs again")
        except UncompletedJobError as error:
            for files in map(task_files, map(Path, self.folders)):
                if store.status(files).state not in store.ENDED:
                    store.write_failed(files, f"{error} Raise time or max_requeues in the profile, then --mode retry")
            raise

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit before it requeues: the same job again. By then the runs have written their checkpoints."""
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
    """Handlers that only set a flag, which the training looks at after each step."""

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
        """What stopped the job, for the record of the attempt."""
        if self.requeue is None:
            return "cancelled, or requeued by the scheduler (SIGTERM)" if self.stop else ""
        # submitit knows the time limit: long before it, USR2 can only mean preemption.
        near_its_end = getattr(getattr(self._submitit, "__self__", None), "has_timed_out", lambda: True)()
        return f"{'time limit or preemption' if near_its_end else 'preemption'} (SIGUSR2)"

    def hand_on(self) -> None:
        """Call submitit's own handler, which requeues the job and exits."""
        if callable(self._submitit) and self.requeue is not None:
            self._submitit(*self.requeue)
