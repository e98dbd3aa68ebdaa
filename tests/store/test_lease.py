import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.store import lease, process
from study.store.files import WriteError, read_json, write_json
from study.store.layout import RunFiles

CLAIM = """
import sys, time
from pathlib import Path
from study.store.layout import RunFiles
from study.store.lease import claim
held = claim(RunFiles(Path(sys.argv[1])))
print("held" if held else "refused", flush=True)
time.sleep(60)
"""


def claim_elsewhere(files):
    """A process that has claimed a run and holds it."""
    other = subprocess.Popen([sys.executable, "-c", CLAIM, str(files.folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    return other


def rewrite(files, **fields):
    """Another holder's name in a lease."""
    write_json(files.lease, (read_json(files.lease) or {}) | fields)


def claimed_elsewhere(files):
    """A lease that a process of another host holds."""
    first = lease.claim(files)
    rewrite(files, host="elsewhere", pid=1)
    return first


def silent_for(path, seconds):
    """Let a file be as old as that."""
    if path.exists():
        os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def short_watch(monkeypatch):
    monkeypatch.setattr(lease, "WATCH", 0.01)


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / "run")


def test_a_lease_is_exclusive_until_released(files):
    first = lease.claim(files)
    assert first is not None and lease.claim(files) is None
    held = lease.holder(files)
    assert held is not None and held["pid"] == os.getpid()
    first.release()
    assert os.listdir(files.folder) == [] and lease.holder(files) is None
    assert lease.claim(files) is not None


def test_the_lease_of_a_killed_process_is_void(files):
    other = claim_elsewhere(files)
    assert lease.claim(files) is None
    other.kill()  # not waited for: a zombie now, which is as dead
    end = time.monotonic() + 5
    while (mine := lease.claim(files)) is None:
        assert time.monotonic() < end
    assert mine.mine()
    other.communicate()


@pytest.mark.parametrize("proc", ["/proc", "/nowhere"], ids=["Linux", "macOS, simulated"])
def test_a_reused_pid_is_not_the_holder(files, proc, monkeypatch):
    monkeypatch.setattr(process, "PROC", Path(proc))
    assert lease.claim(files) is not None and lease.claim(files) is None
    rewrite(files, started="1")
    assert lease.claim(files) is not None


def test_a_remote_lease_holds_while_it_beats(files, short_watch):
    first = claimed_elsewhere(files)
    assert lease.claim(files) is None
    silent_for(files.lease, lease.STALE + 1)
    first.beat(iteration=7)
    held = lease.holder(files)
    assert lease.claim(files) is None and held is not None and held["iteration"] == 7
    silent_for(files.heartbeat, lease.STALE + 1)
    assert lease.claim(files) is not None
    assert not first.mine()


def test_a_silent_lease_is_watched_before_it_is_taken(files, monkeypatch):
    first = claimed_elsewhere(files)
    for path in (files.lease, files.heartbeat):  # the clock of the file system has jumped, and all seems old
        silent_for(path, 3600)
    monkeypatch.setattr(time, "sleep", lambda seconds: first.beat(iteration=8))
    assert lease.claim(files) is None and first.mine()
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    for path in (files.lease, files.heartbeat):
        silent_for(path, -3600)  # back: what is dead must not live on until the clock has caught up
    others = [RunFiles(files.folder.parent / name) for name in ("a", "b")]
    assert set(lease.claim_all([*others, files])) == {"a", "b", "run"}
    assert waited == [lease.WATCH] and lease.WATCH > 2 * lease.BEAT


@pytest.mark.parametrize("field", ["host", "boot", "pids"])
def test_a_pid_of_another_machine_or_container_proves_nothing(files, field):
    other = claim_elsewhere(files)
    other.kill()
    other.communicate()
    rewrite(files, **{field: "another"})
    assert lease.claim(files) is None  # whether it lives, only its heart can tell
    held = lease.holder(files)
    assert held is not None and 0 <= held["silent"] < lease.STALE


def test_a_living_local_holder_keeps_its_lease_however_silent(files):
    first = lease.claim(files)
    silent_for(files.lease, 7200)
    held = lease.holder(files)
    assert held is not None and held["silent"] > 7000
    assert lease.claim(files) is None and first.mine()


def test_an_earlier_start_of_a_job_is_dead(files, monkeypatch):
    for name, value in (("JOB_ID", "17"), ("CLUSTER_NAME", "alps"), ("RESTART_COUNT", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    claimed_elsewhere(files)
    assert lease.claim(files) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "jura")
    assert lease.claim(files) is None
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "alps")
    assert lease.claim(files) is not None


def test_an_unreadable_lease_is_void_for_its_holder_too(files):
    first = lease.claim(files)
    files.lease.write_text("{half")
    assert lease.holder(files) is None and not first.mine()
    with pytest.raises(lease.LeaseLost):
        first.check()
    second = lease.claim(files)
    first.release()
    assert second is not None and second.mine()


def test_the_turn_of_a_dead_process_ends_at_once(files):
    other = claim_elsewhere(files)
    os.link(files.lease, files.folder / lease.TURN)
    other.kill()
    other.communicate()
    assert lease.claim(files) is None and lease.claim(files) is not None
    assert os.listdir(files.folder) == ["lease"]


def test_leftovers_in_a_sealed_folder_are_removed(files):
    other = claim_elsewhere(files)
    files.heartbeat.touch()
    os.link(files.lease, files.folder / lease.TURN)
    lease.tidy(files)
    assert len(os.listdir(files.folder)) == 3  # it lives
    other.kill()
    other.communicate()
    lease.tidy(files)
    assert os.listdir(files.folder) == []


def test_leases_are_released_if_one_claim_fails(files, tmp_path):
    broken = RunFiles(tmp_path / "file" / "run")
    broken.folder.parent.touch()
    with pytest.raises(WriteError):
        lease.claim_all([files, broken])
    assert lease.claim(files) is not None
