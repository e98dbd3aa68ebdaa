"""Two commands on one sweep, on one host and two, with clocks that differ: each run is trained once, each reports the other."""

import os
import signal
import socket

import pytest

import study
from study.store.lease import STALE
from study.store.runs import status
from tests.faults import whole
from tests.faults.layer import OTHER_HOST, OTHER_PIDS, Action, Kind
from tests.helpers import attempts, long
from tests.launch.command import wait_for

LONGER = """
fixed: {data: digits, train_subset: 160, depth: 8, seed: 0,
  recipe: {name: quick, iterations: 100, batch_size: 16, evaluate_every: 50, log_every: 50, schedule: {at: [75]}}}
grid: {network: [plain, residual]}
"""
"""Long enough for two commands to meet in it."""
ONE = LONGER.replace("[plain, residual]", "[plain]")
"""For commands that meet in one run: the second one starts no worker."""

WORDS = ("sweep", "tiny.yaml", "--workers", "1", "--threads", "1", "--checkpoint-seconds", "0.05")
HERE = ("sweep", "tiny.yaml", "--executor", "debug", "--threads", "1", "--checkpoint-seconds", "0.05")
"""Trained by the command itself, so that half as many processes have to start."""


@pytest.fixture
def folder(folder):
    return whole.sweep_file(folder, LONGER).parent


def in_training(folder):
    """The unfinished runs that have a checkpoint."""
    return [files for files in whole.runs_of(folder) if files.checkpoints() and not files.done.exists()]


def trained_once(folder, runs=2):
    """Check that each run has one attempt, from its start to its end."""
    rows = {files.run_id: attempts(files) for files in whole.runs_of(folder)}
    assert len(rows) == runs
    for run, found in rows.items():
        assert [(row["outcome"], row["from"], row["iteration"]) for row in found] == [("done", 0, 100)], run
    left = [path.name for files in whole.runs_of(folder) for path in files.folder.iterdir()]
    assert not [name for name in left if name.endswith(".tmp") or name in ("lease", "heartbeat")]


def said(ended):
    """Check that a command that met another finds all runs finished, or says who trains the rest and how to continue."""
    assert ended.code in (0, 1), ended
    if ended.code == 1:
        assert "by another process" in ended.out and "rerun to continue" in ended.out
    assert "Traceback" not in ended.out + ended.err


def left_alone(second):
    """Check that a command that found the only run taken says so, and trains nothing."""
    said(second)
    assert "1 in training" in second.out or "by another process" in second.out


def together(first, second):
    ends = first.ended(), second.ended()
    for ended in ends:
        said(ended)
    return ends


@pytest.mark.slow
def test_two_commands_that_start_together_share_the_runs(layer, folder):
    with layer.started(folder, *WORDS) as first, layer.started(folder, *WORDS) as second:
        together(first, second)
    trained_once(folder)


@pytest.mark.slow
def test_two_commands_with_surfaces_measure_each_chunk_once(warm, layer, folder):
    whole.sweep_file(folder)
    with layer.started(folder, *HERE) as first, layer.started(folder, *HERE) as second:
        together(first, second)
    again = warm.run(folder, *HERE)
    assert again.code == 0, again.err
    assert not list(whole.trained_once(folder))
    tasks = [files for surface in whole.runs_of(folder)[0].surfaces() for files in surface.chunks()]
    assert len(tasks) == 2
    for files in tasks:
        assert [row["outcome"] for row in attempts(files)] == ["done"]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["lease", "done.json"])
def test_a_process_that_stalls_at_its_lease_or_seal_trains_no_run_twice(warm, layer, folder, file):
    layer.arm(Action.STOP, 1, kinds=Kind.LINK if file == "lease" else Kind.RENAME, only=f"/{file}")
    with layer.started(folder, *HERE) as first:
        wait_for(lambda: layer.struck)
        stopped = layer.state.process
        layer.mend()
        second = warm.run(folder, *HERE)
        said(second)
        os.kill(stopped, signal.SIGCONT)
        assert first.ended().code == 0
    # Without the lease, the first finds both runs trained; with it, it seals the run that was left to it.
    trained_once(folder)
    assert second.code == (0 if file == "lease" else 1)


@pytest.mark.slow
def test_a_worker_killed_after_sealing_its_run_leaves_no_lease(layer, folder):
    whole.sweep_file(folder, ONE)
    layer.arm(Action.STOP, 1, kinds=Kind.UNLINK, only="/lease")
    with layer.started(folder, *WORDS) as command:
        wait_for(lambda: layer.struck)
        worker = layer.state.process
        layer.mend()
        os.kill(worker, signal.SIGKILL)
        assert command.ended().code == 0
    trained_once(folder, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("prefix", [long(OTHER_PIDS), OTHER_HOST], ids=["a container of the same name", "another host"])
def test_two_hosts_that_start_together_share_the_runs(layer, folder, prefix):
    with layer.started(folder, *HERE) as first, layer.started(folder, *HERE, prefix=prefix) as second:
        together(first, second)
    trained_once(folder)
    here = {row["host"] for files in whole.runs_of(folder) for row in attempts(files)}
    assert here <= {socket.gethostname(), "elsewhere"}


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("prefix", [OTHER_PIDS, long(OTHER_HOST)], ids=["a container of the same name", "another host"])
def test_a_run_of_another_host_is_left_alone_until_its_lease_is_stale(warm, layer, folder, prefix):
    whole.sweep_file(folder, ONE)
    with layer.started(folder, *HERE, prefix=prefix) as first:
        wait_for(lambda: in_training(folder))
        with first.standing_still():
            (theirs,) = [files for files in whole.runs_of(folder) if files.lease.exists()]
            lease = theirs.lease.read_bytes()
            left_alone(warm.run(folder, *HERE))
            assert theirs.lease.read_bytes() == lease and not theirs.done.exists()
            first.kill()
    for path in (theirs.lease, theirs.heartbeat):  # as long ago as if somebody had waited
        if path.exists():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - STALE - 10))
    third = warm.run(folder, *HERE)
    assert third.code == 0, third.err
    assert [row["outcome"] for row in attempts(theirs)] == [None, "done"]


# -- wrong clocks: of another host, of this one, and in mid-run --------------------------------------------------------

HOUR = 3600.0


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(("theirs", "ours"), [(-1, 0), (0, 1), long(1, 0), long(0, -1)])
def test_two_hosts_whose_clocks_differ_by_an_hour_leave_each_other_alone(warm, layer, folder, theirs, ours):
    whole.sweep_file(folder, ONE)
    with layer.started(folder, *HERE, prefix=OTHER_HOST, clock=theirs * HOUR) as first:
        wait_for(lambda: in_training(folder))
        with first.standing_still():
            left_alone(layer.run(folder, *HERE, clock=ours * HOUR) if ours else warm.run(folder, *HERE))
        assert first.ended().code == 0
    trained_once(folder, 1)


@pytest.mark.slow
@pytest.mark.parametrize("hours", [-1, long(1)])
def test_a_clock_that_jumps_in_mid_run_changes_no_measured_time(layer, folder, hours):
    whole.sweep_file(folder, ONE)
    with layer.started(folder, *HERE) as first:
        wait_for(lambda: in_training(folder))
        layer.state.clock = hours * HOUR
        ended = first.ended()
    layer.state.clock = 0.0
    assert ended.code == 0, ended.err
    trained_once(folder, 1)
    (files,) = whole.runs_of(folder)
    (row,) = attempts(files)
    assert 0.0 < status(files).seal["seconds"] < 600.0  # from a clock that is never set
    assert (row["end"] < row["start"]) == (hours < 0)
    sweep = folder / "results" / "tiny"
    assert study.figure("degradation", study.read_curves(sweep), study.read_runs(sweep)).axes
