"""Leases: one process at a time works on a task, and keeps its lease alive by a heartbeat.

The lease is a file that appears by `os.link`, which is atomic on network file systems too. Of a process of this machine it is
known whether it lives, and that decides. Of any other the heartbeat decides: the lease is void when it is older than `STALE`
seconds, by the clock of the file system and not of any host, and then does not beat for `WATCH` seconds more, since clocks
jump. A void lease is removed by one process at a time, so that of several who find it only one takes it over.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from study.errors import StudyError
from study.store import process
from study.store.files import DamagedError, draft, peek_json, read_json, sweep_away_temporaries, write_json, writing
from study.store.layout import TaskFiles, refuse_links

BEAT = 5.0
STALE = 90.0
"""Seconds without a heartbeat after which a lease of another machine is void."""
WATCH = 2.5 * BEAT
"""Seconds for which such a lease is watched before it is taken over."""

TURN = ".lease-turn.tmp"
"""The lock of the process that takes over a lease."""


def holder(files: TaskFiles) -> dict[str, Any] | None:
    """The living holder of a run's lease with its last heartbeat merged in, or None.

    `silent` is the age of that heartbeat in seconds. Who only looks has no clock but this machine's, which may be wrong;
    `claim` asks the file system's.
    """
    found = _look(files)
    if found is None:
        return None
    silent = time.time() - found.beat
    lives = process.alive(found.lease)
    if lives is None:
        lives = abs(silent) <= STALE
    return {**found.lease, **found.told, "silent": silent} if lives else None


class _Look(NamedTuple):
    lease: dict[str, Any]
    told: dict[str, Any]
    """The holder's last heartbeat."""
    beat: float
    """Its time, by the file system's clock."""


def _look(files: TaskFiles) -> _Look | None:
    """A run's lease; None if there is none, or it is unreadable."""
    try:
        lease = read_json(files.lease)
        beat = max(_changed(files.heartbeat), _changed(files.lease))
    except (OSError, DamagedError):
        return None
    if lease is None or "token" not in lease:
        return None
    told = peek_json(files.heartbeat)
    return _Look(lease, told if told.get("token") == lease["token"] else {}, beat)


def _changed(path: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 without a file."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class LeaseLost(Exception):  # noqa: N818 -- an event more than an error
    """Another process took a run over because this one was silent for too long; it must not write any more."""


class Lease:
    """A held lease."""

    def __init__(self, files: TaskFiles, token: str, before: float | None = None) -> None:
        self.files, self.token = files, token
        self.before = before
        """Last sign of life of a holder that died without releasing the run, in seconds since 1970."""

    def beat(self, **progress: Any) -> None:
        """Renew the lease, and publish the run's progress (iteration, error, speed) for `study status`."""
        write_json(self.files.heartbeat, {"token": self.token, "time": time.time(), **progress})

    def mine(self) -> bool:
        """Whether the lease is still held; it is lost if this process missed its heartbeats."""
        try:
            content = read_json(self.files.lease)
        except DamagedError:  # void for the others, too
            return False
        return content is not None and content.get("token") == self.token

    def check(self) -> None:
        """Raise `LeaseLost` if the lease is no longer held. Call it before each write to the run's files."""
        if not self.mine():
            raise LeaseLost(f"{self.files.run_id} was taken over by another process")

    def release(self) -> None:
        """Release the run. If the disk fails, the lease is void when this process ends."""
        with contextlib.suppress(OSError):
            if self.mine():
                self.files.lease.unlink(missing_ok=True)
                self.files.heartbeat.unlink(missing_ok=True)


def claim(files: TaskFiles) -> Lease | None:
    """Take a run's lease; None if a living process holds it. As `claim_all`."""
    return claim_all([files]).get(files.run_id)


def claim_all(tasks: Iterable[TaskFiles]) -> dict[str, Lease]:
    """Take the leases of all tasks that no living process holds, by id. Raises WriteError, or StudyError for a link elsewhere.

    Leases of silent processes on other machines are watched, all together, for `WATCH` seconds.
    """
    leases: dict[str, Lease] = {}
    todo: list[tuple[TaskFiles, _Look | None]] = [(files, None) for files in tasks]
    try:
        while todo:
            silent: list[tuple[TaskFiles, _Look | None]] = []
            for files, before in todo:
                found = _ask(files, before)
                if isinstance(found, Lease):
                    leases[files.run_id] = found
                elif found is not None:
                    silent.append((files, found))
            if silent:
                time.sleep(WATCH)
            todo = silent
    except BaseException:
        for lease in leases.values():
            lease.release()
        raise
    return leases


def _ask(files: TaskFiles, before: _Look | None = None) -> Lease | _Look | None:
    """Claim a task: its lease, None if it is held, or the lease that was found if it must be watched first."""
    refuse_links(files.results, [files.folder])
    token = uuid.uuid4().hex
    own = draft(files.lease)
    write_json(own, {"token": token, "time": time.time(), **process.identity()})
    try:
        with writing(files.lease):
            heard = _changed(files.heartbeat) or None  # who gives a run back removes it
            if _link(own, files.lease):
                return Lease(files, token, heard)
            found = _look(files)
            state = _judge(found, _changed(own))
            if state == "silent" and (before is None or before != found):
                return found if before is None else None
            return Lease(files, token, heard) if state != "held" and _take_over(files, own, found) else None
    finally:
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)


def _judge(found: _Look | None, now: float) -> Literal["void", "held", "silent"]:
    """Judge a lease; `now` is by the clock of the file system."""
    if found is None:
        return "void"  # it was given back, or is damaged
    lives = process.alive(found.lease)
    if lives is None:
        return "held" if abs(now - found.beat) <= STALE else "silent"
    return "held" if lives else "void"


def _link(draft: Path, target: Path) -> bool:
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    return True


def _take_over(files: TaskFiles, own: Path, void: _Look | None) -> bool:
    """Replace a void lease; False if another process does.

    One process at a time, or a second one would remove the lease that the first has just placed.
    """
    turn = files.folder / TURN
    if not _link(own, turn):
        _end_turn(turn, _changed(own))  # if it died in its turn; the next call has one
        return False
    try:
        if _look(files) != void:
            return False
        if void is not None or files.lease.exists():  # else it was given back, and the next may be there in a moment
            files.lease.unlink(missing_ok=True)
        return _link(own, files.lease)
    finally:
        turn.unlink(missing_ok=True)


def _end_turn(turn: Path, now: float) -> None:
    """End the turn of a process that died."""
    with contextlib.suppress(OSError):
        lives = process.alive(peek_json(turn))
        if lives is False or (lives is None and abs(now - _changed(turn)) > STALE):
            turn.unlink()


def tidy(files: TaskFiles) -> None:
    """Remove leftovers of killed processes from the folder of a sealed task."""
    with contextlib.suppress(OSError):
        if holder(files) is None:
            files.lease.unlink(missing_ok=True)
            files.heartbeat.unlink(missing_ok=True)
        _end_turn(files.folder / TURN, time.time())
        sweep_away_temporaries(files.folder)


@contextlib.contextmanager
def keeping(results: Path, tasks: Iterable[Path]) -> Iterator[None]:
    """Keep the sweeps in which these tasks' folders lie from being removed or renamed, even while no lease is held."""
    sweeps = {results / task.relative_to(results).parts[0] for task in tasks}
    marks = [draft(sweep / "work") for sweep in sweeps]
    try:
        for mark in marks:
            write_json(mark, process.identity())
        yield
    finally:
        for mark in marks:
            with contextlib.suppress(OSError):
                mark.unlink()


def refuse_kept(sweeps: Iterable[Path]) -> None:
    """Raise StudyError if a living process of this machine keeps one of these sweeps' folders."""
    for mark in (mark for sweep in sweeps for mark in sweep.glob(".work.*.tmp")):
        if process.alive(keeper := peek_json(mark)):
            by = f"process {keeper['pid']}; end that first; nothing was changed"
            raise StudyError(f"{mark.parent.name} is being trained or measured by {by}")
