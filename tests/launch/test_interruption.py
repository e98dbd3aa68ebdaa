"""Stop a sweep in mid-run in every way; rerunning the command must end with the undisturbed curves."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from study.store.files import read_lines
from study.store.runs import status
from tests.helpers import PATIENCE, attempts
from tests.launch.command import curves, descendants, inside, kill_tree, runs, start, sweep_file, wait_for

LONG = ("recipe.iterations=150", "recipe.schedule.at=[100]")

ONE_WORKER = ("--workers", "1", "--threads", "1")
"""For tests of one worker, which starts sooner than two."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    code, _, err = inside(folder, "sweep", sweep_file(folder), *LONG)
    assert code == 0, err
    return curves(folder)


def in_mid_run(folder: Path) -> bool:
    """Whether some unfinished run has a point on its curve."""
    try:
        return any(files.curves.exists() and not files.done.exists() for files in runs(folder))
    except FileNotFoundError:
        return False


def rerun(folder: Path, undisturbed: object) -> None:
    """Rerun the command: it finishes the sweep, and nothing of the interruption is left."""
    code, out, err = inside(folder, "sweep", "tiny.yaml", *LONG)
    assert code == 0, out + err
    assert curves(folder) == undisturbed
    left = [path.name for files in runs(folder) for path in files.folder.iterdir()]
    assert not [name for name in left if name.endswith(".tmp") or name in ("lease", "heartbeat", "failed.json")]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, ()), (signal.SIGTERM, ONE_WORKER)])
def test_an_orderly_interruption_checkpoints_and_says_how_to_continue(
    tmp_path: Path, number: signal.Signals, workers: tuple[str, ...], undisturbed: object
) -> None:
    process = start(tmp_path, "sweep", sweep_file(tmp_path), *LONG, *workers)
    wait_for(lambda: in_mid_run(tmp_path))
    under_way = {files.run_id for files in runs(tmp_path) if files.curves.exists()}
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert f"study sweep tiny.yaml {LONG[0]} '{LONG[1]}'" in err
    unfinished = [files for files in runs(tmp_path) if not files.done.exists()]
    assert unfinished
    for files in unfinished:
        now = status(files)
        assert now.state in ("interrupted", "pending")
        if now.state == "interrupted":
            end = read_lines(files.attempts)[-1]
            assert end["outcome"] == "interrupted" and end["why"] == (
                "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
            )
            assert now.iteration > 0 or files.run_id not in under_way  # another worker may not have taken a step yet
    rerun(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_second_interruption_does_not_say_that_it_checkpointed(tmp_path: Path, undisturbed: object) -> None:
    process = start(tmp_path, "sweep", sweep_file(tmp_path), *LONG, *ONE_WORKER)
    wait_for(lambda: in_mid_run(tmp_path))
    for pid in descendants(process.pid):
        os.kill(pid, signal.SIGSTOP)  # so that it cannot checkpoint
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C once more to stop at once" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "checkpointed" not in out + err
    assert "training since the last checkpoints is lost" in out and "study sweep tiny.yaml" in err
    rerun(tmp_path, undisturbed)


def test_a_killed_process_tree_leaves_what_a_rerun_resumes_from(tmp_path: Path, undisturbed: object) -> None:
    process = start(tmp_path, "sweep", sweep_file(tmp_path), *LONG, "--checkpoint-seconds", "0.1")
    wait_for(lambda: in_mid_run(tmp_path) and any(files.checkpoints() for files in runs(tmp_path)))
    kill_tree(process)
    states = [status(files) for files in runs(tmp_path)]  # at once, long before a heartbeat is stale
    assert any(now.state == "interrupted" and now.iteration for now in states)
    assert not any(now.state == "running" for now in states)
    rerun(tmp_path, undisturbed)
    tries = [attempts(files) for files in runs(tmp_path)]
    killed = [pair for rows in tries for pair in pairwise(rows) if pair[0]["end"] is None]
    # The first heartbeat is a little older than the record of the start.
    assert killed and all(later["last_sign"] > first["start"] - 1 for first, later in killed)


@pytest.mark.slow
def test_workers_end_in_order_when_only_their_parent_is_killed(tmp_path: Path, undisturbed: object) -> None:
    process = start(tmp_path, "sweep", sweep_file(tmp_path), *LONG, *ONE_WORKER)
    wait_for(lambda: in_mid_run(tmp_path))
    workers = descendants(process.pid)
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert all(files.done.exists() or files.checkpoints() for files in runs(tmp_path) if files.curves.exists())
    whys = {
        line.get("why") for files in runs(tmp_path) for line in read_lines(files.attempts) if line["event"] == "end"
    }
    assert "the process that started it died" in whys
    rerun(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_in_the_same_call(tmp_path: Path, undisturbed: object) -> None:
    process = start(tmp_path, "sweep", sweep_file(tmp_path), *LONG, "--checkpoint-seconds", "0.1", *ONE_WORKER)
    wait_for(lambda: in_mid_run(tmp_path) and any(files.checkpoints() for files in runs(tmp_path)))
    os.kill(descendants(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "a worker died (killed by SIGKILL (out of memory?))" in out
    assert curves(tmp_path) == undisturbed
