"""A file is gone of a sudden, while its run is in training: nothing wrong comes of it, and the same command mends it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import whole
from tests.faults.layer import Action, Kind, until
from tests.faults.test_disk import SMALL, WORDS, Undisturbed
from tests.faults.warm import Warm


@pytest.fixture(scope="module")
def undisturbed(warm: Warm) -> Undisturbed:
    return Undisturbed(warm)


@pytest.fixture
def folder(warm: Warm, tmp_path: Path) -> Iterator[Path]:
    path = warm.layer.root / tmp_path.name
    whole.sweep_file(path, SMALL)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("at", ["/.checkpoint-00000009", "/.done.json"])
@pytest.mark.parametrize(
    "name",
    *[
        [
            "spec.json",
            "lease",
            "heartbeat",
            "log",
            "attempts.jsonl",
            "curves.parquet",
            "checkpoint-*",
            "snapshot-*",
            "*",
        ]
    ],
)
def test_a_file_that_vanishes_in_mid_run_spoils_nothing(
    warm: Warm, folder: Path, undisturbed: Undisturbed, name: str, at: str
) -> None:
    warm.layer.arm(Action.STOP, 1, kinds=Kind.OPEN, only=at)
    with warm.started(folder, *WORDS) as fork:
        until(lambda: warm.layer.struck)
        (run,) = whole.runs_of(folder)
        for path in run.folder.glob(name):
            path.unlink()
        os.kill(fork.pid, signal.SIGCONT)
        ended = fork.ended()
    assert ended.code in (0, 1, 2) and "Traceback" not in ended.out + ended.err
    if ended.code:
        assert "the same command goes on" in ended.out + ended.err or "failed" in ended.out + ended.err
    assert not list(whole.half_done(folder, undisturbed.curves))
    last = [warm.run(folder, *WORDS) for _ in range(2)][-1]
    assert last.code == 0, last
    found = list(whole.differences(whole.read(folder), undisturbed.whole))
    assert not found
