"""Stop a sweep in mid-run in every way; rerunning the command must end with the undisturbed curves."""

import os
import shlex
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from study.launch.local.worker import NAMES
from study.store.files import read_lines
from study.store.layout import RunFiles
from study.store.runs import status
from tests.helpers import PATIENCE, attempts
from tests.launch.command import curves, descendants, kill_tree, output, runs, start, sweep_file, wait_for

WORDS = ("sweep", "tiny.yaml", "network=plain", "recipe.iterations=100", "recipe.schedule.at=[80]", "--threads", "1")
COMMAND = (*WORDS, "--workers", "1", "--checkpoint-seconds", "0.1")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep_file(folder)
    output(folder, *WORDS)
    return curves(folder)


@pytest.fixture
def begun(tmp_path):
    """The command, whose run has a point on its curve and a checkpoint."""

    def in_mid_run():
        found = [RunFiles(path) for path in tmp_path.glob("results/tiny/runs/*")]
        return any(files.curves.exists() and files.checkpoints() and not files.done.exists() for files in found)

    sweep_file(tmp_path)
    process = start(tmp_path, *COMMAND)
    wait_for(in_mid_run)
    return process


def rerun(folder, undisturbed):
    """Rerun the command: it finishes the sweep, and nothing of the interruption is left."""
    output(folder, *WORDS)
    assert curves(folder) == undisturbed
    left = [path.name for files in runs(folder) for path in files.folder.iterdir()]
    assert not [name for name in left if name.endswith(".tmp") or name in ("lease", "heartbeat", "failed.json")]


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES)
def test_an_orderly_interruption_checkpoints_and_says_how_to_continue(begun, tmp_path, number, undisturbed):
    begun.send_signal(number)
    _, err = begun.communicate(timeout=PATIENCE)
    assert begun.returncode == 130 and f"study {shlex.join(COMMAND)}" in err
    [files] = runs(tmp_path)
    end = read_lines(files.attempts)[-1]
    assert (status(files).state, end["outcome"]) == ("interrupted", "interrupted") and status(files).iteration > 0
    assert end["why"] == NAMES[number]
    rerun(tmp_path, undisturbed)


def test_after_max_hours_it_says_how_to_continue(tmp_path, undisturbed):
    sweep_file(tmp_path)
    said = output(tmp_path, *WORDS, "--max-hours", "0", code=1)
    assert "nothing is lost" in said and f"study {shlex.join(WORDS)} --max-hours 0" in said
    [files] = runs(tmp_path)
    assert status(files).state in ("interrupted", "pending")
    rerun(tmp_path, undisturbed)
    assert "max_requeues in the profile" in output(tmp_path, *WORDS, "--max-hours", "1", "--executor", "slurm", code=2)


@pytest.mark.slow
def test_a_second_interruption_does_not_say_that_it_checkpointed(begun, tmp_path, undisturbed):
    for pid in descendants(begun.pid):
        os.kill(pid, signal.SIGSTOP)  # so that it cannot checkpoint
    begun.send_signal(signal.SIGINT)
    while "press Ctrl-C once more to stop at once" not in begun.stdout.readline():
        pass
    begun.send_signal(signal.SIGINT)
    out, err = begun.communicate(timeout=PATIENCE)
    assert begun.returncode == 130 and "checkpointed" not in out + err
    assert "training since the last checkpoints is lost" in out and "study sweep tiny.yaml" in err
    rerun(tmp_path, undisturbed)


def test_a_killed_process_tree_leaves_what_a_rerun_resumes_from(begun, tmp_path, undisturbed):
    kill_tree(begun)
    [files] = runs(tmp_path)
    now = status(files)  # at once, long before a heartbeat is stale
    assert now.state == "interrupted" and now.iteration
    rerun(tmp_path, undisturbed)
    [(first, later)] = pairwise(attempts(files))
    # The first heartbeat is a little older than the record of the start.
    assert first["end"] is None and later["last_sign"] > first["start"] - 1


@pytest.mark.slow
def test_workers_end_in_order_when_only_their_parent_is_killed(begun, tmp_path, undisturbed):
    workers = descendants(begun.pid)
    begun.kill()
    begun.communicate(timeout=PATIENCE)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    [files] = runs(tmp_path)
    assert read_lines(files.attempts)[-1]["why"] == "the process that started it died"
    rerun(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_in_the_same_call(begun, tmp_path, undisturbed):
    os.kill(descendants(begun.pid)[0], signal.SIGKILL)
    out, err = begun.communicate(timeout=PATIENCE)
    assert begun.returncode == 0, err
    assert "a worker died (killed by SIGKILL (out of memory?))" in out
    assert curves(tmp_path) == undisturbed
