"""What `status` shows of a run that hangs, and what its watchdog does."""

import os
import signal
from contextlib import suppress

import pytest

from study.launch.attempt.heartbeat import Heartbeat
from study.store import lease
from study.store import runs as store
from study.store.files import read_json, read_lines
from study.store.layout import RunFiles
from study.training.session import Session
from tests.helpers import make_folder, make_spec, open_run
from tests.launch.command import descendants, runs, start, sweep_file, wait_for

STREAM = """
fixed:
  {data: image_stream, data.folder: toy, data.image_size: 16, recipe: quick, depth: 8, seed: 0, network: plain, recipe.pad: 0,
   recipe.iterations: 30, recipe.evaluate_every: 30, recipe.log_every: 5, recipe.batch_size: 12}
"""


@pytest.fixture
def held(tmp_path):
    files = open_run(tmp_path / "results", make_spec())
    return lease.claim(files)


def test_a_heartbeat_reports_the_time_without_progress(held, monkeypatch):
    monkeypatch.setattr("study.launch.attempt.heartbeat.BEAT", 0.05)
    with Heartbeat({held.files.run_id: held}) as heartbeat:
        asked = heartbeat.watched(Session()).stopped
        wait_for(lambda: (read_json(held.files.heartbeat) or {}).get("still", 0.0) > 0.5)
        assert asked() is False
        wait_for(lambda: (read_json(held.files.heartbeat) or {}).get("still", 9.0) < 0.5)


def test_status_reports_a_hung_run_and_how_to_end_it(held):
    files = held.files
    held.beat(iteration=5, still=store.HUNG / 2)
    assert store.status(files).message == ""
    held.beat(iteration=5, still=720.0)
    now = store.status(files)
    assert (now.state, now.iteration) == ("running", 5)
    assert now.message.startswith("no step for 12 min; if it hangs, end process ")
    assert f"process {os.getpid()} on " in now.message and "goes on where its checkpoint is" in now.message


@pytest.mark.slow
def test_with_a_watchdog_a_run_that_hangs_resumes_in_another_process(tmp_path):
    make_folder(tmp_path / "data" / "toy", train=24)
    options = ("--checkpoint-seconds", "0", "--watchdog", "0.1", "--workers", "1")
    process = start(tmp_path, "sweep", sweep_file(tmp_path, STREAM), *options)
    wait_for(lambda: in_training(tmp_path))
    (run,) = runs(tmp_path)
    decoders = descendants((read_json(run.lease) or {})["pid"])
    assert decoders
    for pid in decoders:  # training now waits for images for ever, and its heartbeat continues
        os.kill(pid, signal.SIGSTOP)
    try:
        out, err = process.communicate(timeout=180)
    finally:
        for pid in decoders:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert process.returncode == 0, err
    assert "a worker died (exit status 75: no step for" in out and "goes on from iteration" in out
    starts = [line for line in read_lines(run.attempts) if line["event"] == "start"]
    assert len(starts) == 2 and starts[1]["from"] > 0
    assert store.status(run).state == "done"


def in_training(folder):
    """Whether the only run has a checkpoint and is not near its end."""
    found = list((folder / "results" / "tiny" / "runs").glob("*/spec.json"))
    return bool(found) and 0 < store.checkpointed(RunFiles(found[0].parent)) < 20
