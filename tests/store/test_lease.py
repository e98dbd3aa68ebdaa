from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from study.store import lease
from study.store.layout import RunFiles

CLAIM = """
import sys, time
from pathlib import Path
from study.store.layout import RunFiles
from study.store.lease import claim
held = claim(RunFiles(Path(sys.argv[1])))
print("held" if held else "refused", flush=True)
time.sleep(float(sys.argv[2]))
"""


def claim_elsewhere(folder: Path, seconds: float = 60.0) -> subprocess.Popen[str]:
    """A process that claims a run and holds it."""
    return subprocess.Popen([sys.executable, "-c", CLAIM, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(tmp_path / "run")


def test_one_holds_it_until_it_is_released(files: RunFiles) -> None:
    first = lease.claim(files)
    assert first is not None and lease.claim(files) is None
    held = lease.holder(files)
    assert held is not None and held["pid"] == os.getpid()
    first.release()
    assert os.listdir(files.folder) == [] and lease.holder(files) is None
    assert lease.claim(files) is not None


def test_a_living_process_elsewhere_is_respected_and_a_killed_one_is_not(files: RunFiles) -> None:
    other = claim_elsewhere(files.folder)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    assert lease.claim(files) is None
    other.kill()  # not waited for: a zombie now, which is as dead
    end = time.monotonic() + 5
    while (mine := lease.claim(files)) is None:
        assert time.monotonic() < end
    assert mine.mine()
    other.communicate()


def test_a_number_used_again_by_another_process_is_not_its_holder(files: RunFiles) -> None:
    assert lease.claim(files) is not None
    content = json.loads(files.lease.read_text())
    files.lease.write_text(json.dumps(content | {"started": "1"}))
    assert lease.claim(files) is not None


def test_another_host_is_believed_while_its_heart_beats(files: RunFiles) -> None:
    first = lease.claim(files)
    assert first is not None
    content = json.loads(files.lease.read_text())
    files.lease.write_text(json.dumps(content | {"host": "elsewhere", "pid": 1}))
    assert lease.claim(files) is None
    long_ago = time.time() - lease.STALE - 1
    os.utime(files.lease, (long_ago, long_ago))
    first.beat(iteration=7)
    held = lease.holder(files)
    assert lease.claim(files) is None and held is not None and held["iteration"] == 7
    os.utime(files.heartbeat, (long_ago, long_ago))
    assert lease.claim(files) is not None
    assert not first.mine()


def test_who_lost_it_does_not_release_the_next_holders(files: RunFiles) -> None:
    first = lease.claim(files)
    assert first is not None
    files.lease.unlink()
    second = lease.claim(files)
    first.release()
    assert second is not None and second.mine()


def test_of_many_who_claim_a_void_lease_one_gets_it(files: RunFiles) -> None:
    for _ in range(20):
        other = lease.claim(files)
        assert other is not None
        content = json.loads(files.lease.read_text())
        files.lease.write_text(json.dumps(content | {"started": "1"}))
        got: list[lease.Lease] = []
        barrier = threading.Barrier(8)

        def race(barrier: threading.Barrier = barrier, got: list[lease.Lease] = got) -> None:
            barrier.wait()
            mine = lease.claim(files)
            if mine is not None:
                got.append(mine)

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1 and got[0].mine()
        got[0].release()


def test_an_unreadable_lease_is_void(files: RunFiles) -> None:
    files.folder.mkdir()
    files.lease.write_text("{half")
    assert lease.holder(files) is None
    assert lease.claim(files) is not None


def test_a_void_lease_is_taken_over_by_one_at_a_time(files: RunFiles) -> None:
    files.folder.mkdir()
    files.lease.write_text("{void")
    turn = files.folder / ".lease-turn.tmp"
    turn.touch()  # somebody is at it
    assert lease.claim(files) is None and turn.exists()
    long_ago = time.time() - lease.STALE - 1
    os.utime(turn, (long_ago, long_ago))  # and died at it
    assert lease.claim(files) is None and lease.claim(files) is not None
    assert os.listdir(files.folder) == ["lease"]
