"""A disk that fails or fills up at any operation, or loses a file: one line says so, and rerunning the command continues."""

import errno
import os
import random
import re
import shutil
import signal
import subprocess

import pytest

from study.store.runs import status
from tests.faults import whole
from tests.faults.layer import CHANGES, NEEDS_ROOM, Action, Kind
from tests.faults.whole import SMALL, WORDS
from tests.helpers import long
from tests.launch.command import wait_for

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
KINDS = {
    Kind.OPEN: "open",
    Kind.WRITE: "write",
    Kind.SYNC: "fsync",
    Kind.RENAME: "rename",
    Kind.LINK: "link",
    Kind.UNLINK: "unlink",
}
FILES = [name for name in whole.FILES if name != "/figures/"]  # figures are drawn from collected tables
OPTIONAL = ("/log", "heartbeat")
"""A run finishes without these."""


@pytest.fixture
def folder(folder):
    return whole.sweep_file(folder, SMALL).parent


def refused(ended, *reasons):
    """The command ended with one line that names a file and its problem."""
    assert ended.code == 2, ended
    (line,) = ended.err.splitlines()
    pattern = rf"study: results/tiny(/\S+)?: ({'|'.join(reasons)}); nothing is lost: fix this and rerun the command"
    assert re.fullmatch(pattern, line), line
    assert "Traceback" not in ended.out


def resumes(warm, folder, undisturbed):
    """What exists is sound, and the same command ends with what an undisturbed sweep has, and nothing else."""
    warm.layer.mend()
    assert not list(whole.half_done(folder, undisturbed.curves))
    ended = warm.run(folder, *WORDS)
    assert ended.code == 0, ended
    assert not [*whole.differences(whole.read(folder), undisturbed.whole), *whole.trained_once(folder)]


def fail(warm, folder, undisturbed, file, action, kinds, at, error):
    """Run a sweep whose `at`-th operation of these kinds on a kind of file fails; then again on a sound disk."""
    case = f"{action.name} {kinds!r} {at} on {file}: {os.strerror(error)}"
    shutil.rmtree(folder)
    whole.sweep_file(folder, SMALL)
    warm.layer.arm(action, at, error, kinds, only=file)
    ended = warm.run(folder, *WORDS)
    try:
        assert warm.layer.struck, "nothing failed"
        # A log, a heartbeat or a file that is not removed is not missed; a short write may be completed.
        harmless = kinds == Kind.UNLINK or file in OPTIONAL or action is Action.SHORT
        if ended.code or not harmless:
            refused(ended, os.strerror(error), "only a part could be written")
        resumes(warm, folder, undisturbed)
    except AssertionError as wrong:
        raise AssertionError(f"{case}, at {warm.layer.where()}:\n{ended.out}\n{ended.err}\n{wrong}") from None


def operations(undisturbed, file):
    """Every operation of a sweep on a kind of file: its kind, and its number among these."""
    counts = {kind: undisturbed.operations[file, word] for kind, word in KINDS.items()}
    return [(kind, at) for kind, count in counts.items() for at in range(1, count + 1)]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_a_failing_disk_is_reported_and_the_sweep_resumes(warm, folder, undisturbed, file):
    """Each file meets one kind of failure: one operation fails, the disk stays full, or it takes nothing more."""
    chance, way = random.Random(file), FILES.index(file) % 3
    if way == 0:
        kind, at = chance.choice(operations(undisturbed, file))
        fail(warm, folder, undisturbed, file, Action.FAIL, kind, at, chance.choice(ERRORS))
    elif way == 1:
        fail(warm, folder, undisturbed, file, Action.FILL, NEEDS_ROOM, 2, errno.ENOSPC)
    else:
        fail(warm, folder, undisturbed, file, Action.BREAK, CHANGES, 1, chance.choice((errno.EIO, errno.EROFS)))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["attempts.jsonl", "checkpoint-"])
def test_a_short_write_is_completed_or_reported(warm, folder, undisturbed, file):
    fail(warm, folder, undisturbed, file, Action.SHORT, Kind.WRITE, undisturbed.operations[file, "write"], errno.EIO)


@pytest.mark.slow
def test_a_file_that_cannot_be_removed_does_no_harm(warm, folder, undisturbed):
    fail(warm, folder, undisturbed, "checkpoint-", Action.FAIL, Kind.UNLINK, 1, errno.EIO)


@pytest.mark.long
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("file", FILES)
def test_every_failing_operation_is_reported_and_the_sweep_resumes(warm, folder, undisturbed, file, error):
    for kind, at in operations(undisturbed, file):
        fail(warm, folder, undisturbed, file, Action.FAIL, kind, at, error)


@pytest.fixture
def small_disk(folder):
    """A folder whose results are on a file system of their own, large enough for the sweep. Needs root."""
    results = folder / "results"
    results.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", results], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", results], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder / "results"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 1000])
def test_a_full_disk_is_reported_and_the_sweep_resumes_with_more_space(warm, small_disk, undisturbed, kilobytes):
    remount(small_disk, f"size={kilobytes}k")
    warm.layer.arm()
    refused(warm.run(small_disk, *WORDS), os.strerror(errno.ENOSPC), "only a part could be written")
    remount(small_disk, "size=16m")
    resumes(warm, small_disk, undisturbed)


@pytest.mark.slow
def test_runs_finished_before_the_disk_was_full_are_collected_later(warm, small_disk, undisturbed):
    warm.layer.arm(Action.STOP, 1, kinds=Kind.OPEN, only="/results/tiny/.curves.parquet")
    with warm.started(small_disk, *WORDS) as fork:
        wait_for(lambda: warm.layer.struck)
        room = os.statvfs(small_disk / "results")
        (small_disk / "results" / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
        os.kill(fork.pid, signal.SIGCONT)
        refused(fork.ended(), os.strerror(errno.ENOSPC))
    assert all(files.done.exists() for files in whole.runs_of(small_disk))
    (small_disk / "results" / "ballast").unlink()
    resumes(warm, small_disk, undisturbed)


@pytest.mark.slow
def test_a_read_only_results_folder_is_reported_before_training(warm, small_disk, undisturbed):
    remount(small_disk, "ro")
    warm.layer.arm()
    ended = warm.run(small_disk, *WORDS)
    refused(ended, os.strerror(errno.EROFS))
    assert "runs to train" not in ended.out
    remount(small_disk, "rw")
    resumes(warm, small_disk, undisturbed)


@pytest.mark.slow
def test_a_full_disk_stops_worker_processes_and_their_parent_reports_it(warm, folder, undisturbed):
    warm.layer.arm(Action.FILL, 2, errno.ENOSPC, NEEDS_ROOM, only="checkpoint-")
    ended = warm.layer.run(folder, *WORDS, "--executor", "local", "--workers", "2")
    assert warm.layer.struck
    refused(ended, os.strerror(errno.ENOSPC), "only a part could be written")
    resumes(warm, folder, undisturbed)


# -- a file is removed while its run is in training --------------------------------------------------------------------

LOST = {
    "log": r"/log is missing",
    "snapshot-*": r"/snapshot-\d+-\w+\.pt is missing",
    "probes.parquet": r"/probes\.parquet (has other rows|is missing)",
    "attempts.jsonl": r"/runs\.parquet has other rows",  # where it was trained
}
"""What is lost with a file that was removed by hand: the file itself, and what is collected from it."""

NAMES = ("spec.json", "lease", "heartbeat", "log", "attempts.jsonl", "curves.parquet", "probes.parquet")


def _lost(name):
    """A pattern of the differences that may remain; by default none."""
    return "|".join(LOST.values()) if name == "*" else LOST.get(name, "(?!)")


@pytest.mark.slow
@pytest.mark.parametrize("at", ["/.checkpoint-00000009", long("/.done.json")])
@pytest.mark.parametrize("name", [*NAMES, "checkpoint-*", "snapshot-*", "*"])
def test_a_file_removed_in_mid_run_spoils_no_curve(warm, folder, undisturbed, name, at):
    warm.layer.arm(Action.STOP, 1, kinds=Kind.OPEN, only=at)
    with warm.started(folder, *WORDS) as fork:
        wait_for(lambda: warm.layer.struck)
        (run,) = whole.runs_of(folder)
        for path in run.folder.glob(name):
            path.unlink()
        os.kill(fork.pid, signal.SIGCONT)
        ended = fork.ended()
    assert ended.code in (0, 1, 2) and "Traceback" not in ended.out + ended.err
    assert all(line.startswith("study: ") for line in ended.err.splitlines())
    assert ended.code == 0 or "study: " in ended.err or "rerun to continue" in ended.out
    if status(run).state == "done":
        assert whole.curves_of(folder) == undisturbed.curves
    again, lost = warm.run(folder, *WORDS), _lost(name)
    if "has no sound checkpoint" in again.err:  # reported, with what to do
        assert name == "checkpoint-*" and again.code == 2 and "--mode force" in again.err
        again, lost = warm.run(folder, *WORDS, "--mode", "force"), r"/attempts\.parquet has other rows"  # trained twice
    assert again.code == 0, again
    assert whole.curves_of(folder) == undisturbed.curves
    found = list(whole.differences(whole.read(folder), undisturbed.whole))
    assert not [line for line in found if not re.search(lost, line)]
