"""A disk that fails or fills up at any operation: it is said in one line, nothing is lost, and the same command goes on."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import kills, whole
from tests.faults.layer import CHANGES, NEEDS_ROOM, Action, Ended, Kind, until
from tests.faults.undisturbed import SMALL, WORDS, Undisturbed
from tests.faults.warm import Warm
from tests.helpers import long

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
KINDS = {
    Kind.OPEN: "open",
    Kind.WRITE: "write",
    Kind.SYNC: "fsync",
    Kind.RENAME: "rename",
    Kind.LINK: "link",
    Kind.UNLINK: "unlink",
}
FILES = [name for name in kills.FILES if name != "/figures/"]  # they are drawn of what is collected
UNHURT = ("/log", "heartbeat")


def _some(*chosen: str) -> list[object]:
    """All kinds of files as parameters, of which all but the chosen ones are for the long version."""
    return [file if file in chosen else long(file) for file in FILES]


@pytest.fixture
def folder(warm: Warm, tmp_path: Path) -> Iterator[Path]:
    """A folder that the layer of `warm` watches."""
    path = warm.layer.root / tmp_path.name
    whole.sweep_file(path, SMALL)
    yield path
    shutil.rmtree(path)


def refused(ended: Ended, *reasons: str) -> None:
    """It ends with one line that names a file and says what is wrong with it."""
    assert ended.code == 2, ended
    (line,) = ended.err.splitlines()
    assert re.match(rf"study: results/tiny(/\S+)?: ({'|'.join(reasons)}); .* the same command goes on", line), line
    assert "Traceback" not in ended.out


def goes_on(warm: Warm, folder: Path, undisturbed: Undisturbed) -> None:
    """What there is is sound, and the same command ends with all of an undisturbed sweep, and nothing else."""
    warm.layer.mend()
    assert not list(whole.half_done(folder, undisturbed.curves))
    ended = warm.run(folder, *WORDS)
    assert ended.code == 0, ended
    found = [*whole.differences(whole.read(folder), undisturbed.whole), *whole.trained_once(folder)]
    assert not found


def fail(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str, kinds: Kind, at: int, error: int, action: Action
) -> None:
    """A sweep whose `at`-th operation of a kind on a kind of file fails, and the same after the disk was mended."""
    case = f"{action.name} {kinds!r} {at} on {file}: {os.strerror(error)}"
    shutil.rmtree(folder)
    whole.sweep_file(folder, undisturbed.text)
    warm.layer.arm(action, at, error, kinds, only=file)
    ended = warm.run(folder, *WORDS)
    try:
        assert warm.layer.struck, "nothing failed"
        # Nobody misses a log, a heartbeat, or a removed file; what was written in part may be completed.
        unhurt = kinds == Kind.UNLINK or file in UNHURT or action is Action.SHORT
        if ended.code or not unhurt:
            refused(ended, os.strerror(error), "only a part could be written")
        goes_on(warm, folder, undisturbed)
    except AssertionError as wrong:
        raise AssertionError(f"{case}, at {warm.layer.where()}:\n{ended.out}\n{ended.err}\n{wrong}") from None


def operations(undisturbed: Undisturbed, file: str) -> list[tuple[Kind, int]]:
    """Every operation of a sweep on a kind of file: its kind, and the how manieth of these it is."""
    counts = {kind: undisturbed.operations[file, word] for kind, word in KINDS.items()}
    return [(kind, at) for kind, count in counts.items() for at in range(1, count + 1)]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_an_operation_that_fails_is_said_and_the_sweep_goes_on_afterwards(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str
) -> None:
    chance = random.Random(file)
    kind, at = chance.choice(operations(undisturbed, file))
    fail(warm, folder, undisturbed, file, kind, at, chance.choice(ERRORS), Action.FAIL)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["checkpoint-", "points-", "done.json"])
def test_a_file_that_cannot_be_removed_is_said(warm: Warm, folder: Path, undisturbed: Undisturbed, file: str) -> None:
    fail(warm, folder, undisturbed, file, Kind.UNLINK, 1, errno.EIO, Action.FAIL)


@pytest.mark.long
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("file", FILES)
def test_every_operation_that_fails_is_said_and_the_sweep_goes_on_afterwards(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str, error: int
) -> None:
    for kind, at in operations(undisturbed, file):
        fail(warm, folder, undisturbed, file, kind, at, error, Action.FAIL)


@pytest.mark.slow
@pytest.mark.parametrize("file", _some("attempts.jsonl", "/log", "checkpoint-"))
def test_a_short_write_is_completed_or_said(warm: Warm, folder: Path, undisturbed: Undisturbed, file: str) -> None:
    fail(warm, folder, undisturbed, file, Kind.WRITE, undisturbed.operations[file, "write"], errno.EIO, Action.SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("file", _some("attempts.jsonl", "checkpoint-", "done.json", "surface.parquet", "runs.parquet"))
def test_a_disk_that_stays_full_is_said_and_the_sweep_goes_on_once_there_is_room(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str
) -> None:
    fail(warm, folder, undisturbed, file, NEEDS_ROOM, 2, errno.ENOSPC, Action.FILL)


@pytest.mark.slow
@pytest.mark.parametrize("file", _some("sweep.json", "attempts.jsonl", "checkpoint-", "lease"))
def test_a_disk_that_takes_nothing_any_more_is_said_and_the_sweep_goes_on_once_it_does(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str
) -> None:
    error = random.Random(file).choice((errno.EIO, errno.EROFS))
    fail(warm, folder, undisturbed, file, CHANGES, 1, error, Action.BREAK)


# -- file systems that are full, or read-only, indeed ---------------------------------------------------------------------


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder whose results are on a file system of their own, with room for all of the sweep; root alone can have one."""
    results = folder / "results"
    results.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", results], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", results], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder / "results"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 40, 400, 1000, 1500])
def test_a_full_disk_is_said_and_the_sweep_goes_on_once_it_is_larger(
    warm: Warm, small_disk: Path, undisturbed: Undisturbed, kilobytes: int
) -> None:
    remount(small_disk, f"size={kilobytes}k")
    warm.layer.arm()
    refused(warm.run(small_disk, *WORDS), os.strerror(errno.ENOSPC), "only a part could be written")
    remount(small_disk, "size=16m")
    goes_on(warm, small_disk, undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_full_when_all_is_trained_is_said_and_what_is_trained_is_collected_later(
    warm: Warm, small_disk: Path, undisturbed: Undisturbed
) -> None:
    warm.layer.arm(Action.STOP, 1, kinds=Kind.OPEN, only="/results/tiny/.curves.parquet")
    with warm.started(small_disk, *WORDS) as fork:
        until(lambda: warm.layer.struck)
        room = os.statvfs(small_disk / "results")
        (small_disk / "results" / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
        os.kill(fork.pid, signal.SIGCONT)
        refused(fork.ended(), os.strerror(errno.ENOSPC))
    assert all(files.done.exists() for files in whole.runs_of(small_disk))
    (small_disk / "results" / "ballast").unlink()
    goes_on(warm, small_disk, undisturbed)


@pytest.mark.slow
def test_a_read_only_results_folder_is_said_before_anything_is_trained(
    warm: Warm, small_disk: Path, undisturbed: Undisturbed
) -> None:
    remount(small_disk, "ro")
    warm.layer.arm()
    ended = warm.run(small_disk, *WORDS)
    refused(ended, os.strerror(errno.EROFS))
    assert "runs to train" not in ended.out
    remount(small_disk, "rw")
    goes_on(warm, small_disk, undisturbed)


# -- with worker processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("file", _some("checkpoint-"))
def test_a_full_disk_ends_workers_and_their_parent_says_so(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str
) -> None:
    layer = warm.layer
    layer.arm(Action.FILL, 2, errno.ENOSPC, NEEDS_ROOM, only=file)
    ended = layer.run(folder, *WORDS, "--executor", "local", "--workers", "2")
    assert layer.struck
    if ended.code or file not in UNHURT:
        refused(ended, os.strerror(errno.ENOSPC), "only a part could be written")
    goes_on(warm, folder, undisturbed)
