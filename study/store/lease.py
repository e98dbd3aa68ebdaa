"""Who is training a run: a lease that one process holds, kept alive by a heartbeat.

The lease is a file that appears by `os.link`, which is atomic on network file systems too. It is void when its
heartbeat is older than `STALE` seconds, or at once when the process that wrote it is known to be dead: same machine,
same boot, no such process. A void lease is removed by one process at a time, so that of several who find it only one
takes it over.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.store.files import read_json, write_json
from study.store.layout import TaskFiles

STALE = 90.0
"""Seconds without a heartbeat after which a lease is void."""


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot: tells it from a later one of the same number; None when it is dead.

    Empty where there is no /proc to ask.
    """
    if not Path("/proc/self/stat").exists():
        return ""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else fields[18]  # a zombie is dead, though its number is still taken


def _identity() -> dict[str, Any]:
    pid = os.getpid()
    job = {"job": os.environ.get("SLURM_JOB_ID"), "restart": os.environ.get("SLURM_RESTART_COUNT", "0")}
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": _started(pid), **job}


def _known_dead(holder: dict[str, Any]) -> bool:
    if holder.get("job") is not None and holder["job"] == os.environ.get("SLURM_JOB_ID"):
        # An earlier start of this very job: SLURM ended it, on whatever node, before it started the job again.
        return bool(holder.get("restart") != os.environ.get("SLURM_RESTART_COUNT", "0"))
    if holder.get("host") != socket.gethostname() or holder.get("boot") != _boot():
        return False
    pid = int(holder.get("pid", -1))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(pid) != holder.get("started")


def holder(files: TaskFiles) -> dict[str, Any] | None:
    """The living holder of a run's lease with its last heartbeat merged in, or None."""
    try:
        lease = read_json(files.lease)
        beat = read_json(files.heartbeat) or {}
        age = time.time() - max(_changed(files.heartbeat), _changed(files.lease))
    except (OSError, StudyError):
        return None
    if not isinstance(lease, dict) or age > STALE or _known_dead(lease):
        return None
    return lease | (beat if beat.get("token") == lease.get("token") else {})


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class LeaseLost(Exception):  # noqa: N818 -- an event more than an error
    """Another process took a run over, because this one was not heard of for too long: it must not write any more."""


class Lease:
    """A held lease. `beat` says where the run is; `release` gives it back."""

    def __init__(self, files: TaskFiles, token: str, before: float | None = None) -> None:
        self.files, self.token = files, token
        self.before = before
        """When a holder that died without giving the run back was last heard of, in seconds since 1970."""

    def beat(self, **progress: Any) -> None:
        """Renew, and publish the run's progress (iteration, error, speed) to `study status`."""
        write_json(self.files.heartbeat, {"token": self.token, "time": time.time(), **progress})

    def mine(self) -> bool:
        """Whether the lease is still held: it is lost when this process slept through its heartbeats."""
        content = read_json(self.files.lease)
        return isinstance(content, dict) and content.get("token") == self.token

    def check(self) -> None:
        """Raise `LeaseLost` where the lease is no longer held; asked before each write to the run's files."""
        if not self.mine():
            raise LeaseLost(f"{self.files.run_id} was taken over by another process")

    def release(self) -> None:
        """Give the run back."""
        if self.mine():
            self.files.lease.unlink(missing_ok=True)
            self.files.heartbeat.unlink(missing_ok=True)


def claim(files: TaskFiles) -> Lease | None:
    """Take a run's lease, or None where a living process holds it."""
    token = uuid.uuid4().hex
    draft = files.folder / f".lease.{token}.tmp"
    write_json(draft, {"token": token, "time": time.time(), **_identity()})
    try:
        before = _changed(files.heartbeat) or None  # who gives a run back removes it
        if _link(draft, files.lease) or (holder(files) is None and _take_over(files, draft)):
            return Lease(files, token, before)
        return None
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, target: Path) -> bool:
    """Let a file appear under another name; False where that is taken."""
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    return True


def _take_over(files: TaskFiles, draft: Path) -> bool:
    """Put a lease in the place of a void one; False where somebody else does.

    One process at a time: a second one would remove what the first has just put there.
    """
    turn = files.folder / ".lease-turn.tmp"
    if not _link(draft, turn):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - turn.stat().st_mtime > STALE:  # it died in its turn; the next call has one
                turn.unlink()
        return False
    try:
        if holder(files) is not None:
            return False
        files.lease.unlink(missing_ok=True)
        return _link(draft, files.lease)
    finally:
        turn.unlink(missing_ok=True)
