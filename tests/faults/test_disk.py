"""A disk that fails or fills up at any operation: it is said in one line, nothing is lost, and the same command goes on."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import whole
from tests.faults.kills import FILES, kind_of
from tests.faults.layer import CHANGES, NEEDS_ROOM, Action, Ended, Kind
from tests.faults.warm import Warm

SMALL = """
fixed: {data: digits, network: plain, train_subset: 100, depth: 8, seed: 0, probes: [weights], probe_every: 6,
  snapshot_every: 6, recipe: {name: quick, iterations: 12, batch_size: 16, evaluate_every: 6, log_every: 3}}
surfaces:
  - {dims: 1, points: 2, data: train, subset: 32}
"""
WORDS = ("sweep", "tiny.yaml", "--threads", "1", "--checkpoint-seconds", "0")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
KINDS = (Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.RENAME, Kind.LINK, Kind.UNLINK)
WORDS_OF = {Kind.OPEN: "open", Kind.WRITE: "write", Kind.SYNC: "fsync", Kind.RENAME: "rename", Kind.LINK: "link"} | {
    Kind.UNLINK: "unlink"
}
UNHURT = ("/log", "heartbeat")
"""Files without which a run goes on: their loss is no reason to end it."""


class Undisturbed:
    """What a sweep comes to, and how many operations of each kind it does on each kind of file."""

    def __init__(self, warm: Warm, text: str = SMALL) -> None:
        self.text = text
        self.folder = warm.layer.root / "undisturbed"
        whole.sweep_file(self.folder, text)
        warm.layer.arm()
        ended = warm.run(self.folder, *WORDS)
        assert ended.code == 0, ended.err
        self.whole, self.curves = whole.read(self.folder), whole.curves_of(self.folder)
        self.operations = Counter((kind_of(o.path), o.kind) for o in warm.layer.operations())


@pytest.fixture(scope="module")
def undisturbed(warm: Warm) -> Undisturbed:
    return Undisturbed(warm)


@pytest.fixture
def folder(warm: Warm, tmp_path: Path) -> Iterator[Path]:
    """A folder that the layer of `warm` watches."""
    path = warm.layer.root / tmp_path.name
    whole.sweep_file(path, SMALL)
    yield path
    shutil.rmtree(path)


def refused(ended: Ended, error: int) -> None:
    """It ends with one line that names a file and says what is wrong with it."""
    assert ended.code == 2, ended
    (line,) = ended.err.splitlines()
    assert line.startswith("study: ") and f": {os.strerror(error)}" in line and "/" in line
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
        unhurt = kinds == Kind.UNLINK or file in UNHURT or action is Action.SHORT
        if ended.code or not unhurt:
            refused(ended, errno.ENOSPC if action is Action.SHORT else error)
        goes_on(warm, folder, undisturbed)
    except AssertionError as wrong:
        raise AssertionError(f"{case}, at {warm.layer.where()}:\n{ended.out}\n{ended.err}\n{wrong}") from None


@pytest.mark.parametrize("file", FILES)
def test_an_operation_that_fails_is_said_and_the_sweep_goes_on_afterwards(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str
) -> None:
    tried = 0
    for place, kind in enumerate(KINDS):
        count = undisturbed.operations[file, WORDS_OF[kind]]
        for at in sorted({1, count} - {0}):
            error = ERRORS[(place + at + len(file)) % len(ERRORS)]
            fail(warm, folder, undisturbed, file, kind, at, error, Action.FAIL)
            tried += 1
    assert tried or file == "/figures/"  # this sweep asks for none


@pytest.mark.long
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("file", FILES)
def test_every_operation_that_fails_is_said_and_the_sweep_goes_on_afterwards(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str, error: int
) -> None:
    for kind in KINDS:
        for at in range(1, undisturbed.operations[file, WORDS_OF[kind]] + 1):
            fail(warm, folder, undisturbed, file, kind, at, error, Action.FAIL)


@pytest.mark.parametrize("file", FILES)
def test_a_short_write_is_completed_or_said(warm: Warm, folder: Path, undisturbed: Undisturbed, file: str) -> None:
    for at in sorted({1, undisturbed.operations[file, "write"]} - {0}):
        fail(warm, folder, undisturbed, file, Kind.WRITE, at, errno.EIO, Action.SHORT)


@pytest.mark.parametrize("file", FILES)
def test_a_disk_that_stays_full_is_said_and_the_sweep_goes_on_once_there_is_room(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str
) -> None:
    if undisturbed.operations[file, "write"] and file not in UNHURT:
        fail(warm, folder, undisturbed, file, NEEDS_ROOM, 3, errno.ENOSPC, Action.FILL)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("file", ["sweep.json", "spec.json", "attempts.jsonl", "checkpoint-", "done.json", "points-"])
def test_a_disk_that_takes_nothing_any_more_is_said_and_the_sweep_goes_on_once_it_does(
    warm: Warm, folder: Path, undisturbed: Undisturbed, file: str, error: int
) -> None:
    fail(warm, folder, undisturbed, file, CHANGES, 1, error, Action.BREAK)
