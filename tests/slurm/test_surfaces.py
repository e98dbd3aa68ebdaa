"""Surfaces on a real cluster: whatever befalls the jobs of their chunks, the tables are the local executor's."""

import shutil
import subprocess
import sys
import time

import pytest

from study.store.files import read_lines
from study.store.layout import SurfaceFiles
from study.store.lease import holder
from tests.launch.command import study
from tests.slurm.user import HELD, User

RUNS = """
fixed: {data: digits, recipe: quick, depth: 8, recipe.iterations: 40, recipe.evaluate_every: 20, recipe.schedule.at: [30]}
grid: {network: [plain, residual], seed: [0]}
"""

NAMED = RUNS + "surfaces: [{dims: 1, points: 5, subset: 300, of: {network: plain}}]\n"

ASKED = ("surface", "tiny", "--points", "20", "--subset", "1400")
"""400 points around each of two networks: 14 chunks, of 2 s each on a fast machine, to be disturbed at work."""


def surfaces(folder):
    return [SurfaceFiles(path) for path in sorted(folder.glob("results/tiny/surfaces/*"))]


def tables(folder):
    """The bytes of the table of each surface that has one."""
    return {files.run_id: files.table.read_bytes() for files in surfaces(folder) if files.table.exists()}


def chunks(folder):
    return [chunk for files in surfaces(folder) for chunk in files.chunks()]


def in_work(folder):
    """Chunks that a job has been measuring for a moment: their heartbeat tells how far they are only after 5 s."""
    held = [chunk for chunk in chunks(folder) if holder(chunk) is not None and chunk.surface.planes()]
    begun = [(chunk, read_lines(chunk.attempts)) for chunk in held]  # a lease comes before the first line
    return [chunk for chunk, lines in begun if lines and time.time() - lines[-1]["time"] > 0.5]


def shown(user):
    """State and message of each surface, as `study status` has them."""
    return [(record["state"], record["message"]) for record in user.records() if "surface_id" in record]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a sweep whose runs are trained, on this machine."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(RUNS)
    code, _, err = study(folder, "sweep", "tiny.yaml", "--threads", "1")
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def expected(trained, tmp_path_factory):
    """What the local executor makes of `ASKED`, with one thread as jobs with one core have it."""
    folder = tmp_path_factory.mktemp("local")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    code, _, err = study(folder, *ASKED, "--threads", "1")
    assert code == 0, err
    return tables(folder)


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the trained sweep, to go on with."""
    shutil.copytree(trained, tmp_path / "user")
    return tmp_path / "user"


def test_stopped_and_cancelled_jobs_of_chunks_end_in_the_local_executors_tables(cluster, folder, expected):
    # A limit of one minute: submitit takes every USR2 for a time-out.
    user = User(cluster, folder, RUNS, "{time: 1, signal_seconds: 10, max_requeues: 9}")
    assert "2 of 2 surfaces are in the queue, in 2 jobs" in user.study(*ASKED, "--jobs", "1")
    assert "2 jobs of up to 7 chunks" in cluster.squeue()[0]["comment"]
    user.wait(lambda: len(in_work(folder)) == 2, "both jobs are at their points")
    stopped, cancelled = sorted(row["id"] for row in cluster.squeue())
    cluster.run("scancel", "--signal=USR2", stopped)
    cluster.cancel(cancelled)
    user.wait(lambda: cancelled not in {row["id"] for row in cluster.squeue()}, "the task has left the queue")
    assert [state for state, _ in shown(user)].count("unknown") == 1  # without accounting
    missing = {files.run_id for files in user.pack(1) if not files.done.exists()}
    assert missing and "1 of 2 surfaces are in the queue, in 1 jobs" in user.study(*ASKED)
    assert {name for name, count in user.submitted().items() if count == 2} == missing
    user.wait(lambda: len(tables(folder)) == 2, "both surfaces are sealed")
    assert tables(folder) == expected
    ends = [line for chunk in chunks(folder) for line in read_lines(chunk.attempts) if line["event"] == "end"]
    assert any(line["outcome"] == "interrupted" and 0 < line["iteration"] < 64 for line in ends), ends
    # A job that ended between its last chunk's seal and the surface's leaves nothing to submit.
    user.wait(lambda: not cluster.squeue(), "the queue is empty")
    lost, before = surfaces(folder)[0], user.submitted()
    lost.done.unlink()
    lost.table.unlink()
    said = user.study(*ASKED)
    assert said.count("train loss") == 2 and "in the queue" not in said
    assert tables(folder) == expected and user.submitted() == before


def test_a_sweep_holds_its_surfaces_until_the_runs_are_trained(cluster, tmp_path):
    user = User(cluster, tmp_path, NAMED, HELD)
    said = user.study("sweep", "tiny.yaml")
    assert "2 of 2 runs are in the queue" in said and "1 surfaces are waiting until their runs are trained" in said
    [(state, message)] = shown(user)
    assert state == "pending" and "is not trained yet" in message
    cluster.release()
    user.wait(lambda: user.ended() and not cluster.squeue(), "the runs have finished")
    assert shown(user) == [("pending", "")]
    said = user.study("sweep", "tiny.yaml")
    assert "2 of 2 runs are finished" in said and "1 of 1 surfaces are in the queue, in 1 jobs" in said
    [(state, message)] = shown(user)
    assert state == "queued" and "pending (JobHeldUser)" in message
    assert ", pending (JobHeldUser)" in user.study("sweep", "tiny.yaml") and len(cluster.squeue()) == 1
    cluster.release()
    user.wait(lambda: not cluster.squeue(), "the surface is measured")
    assert [state for state, _ in shown(user)] == ["done"]
    said = user.study("sweep", "tiny.yaml")
    assert said.count("train loss") == 1 and "surfaces: results/tiny/surfaces.parquet" in said
    assert "training error (%)" in said and set(user.submitted().values()) == {1} and not cluster.squeue()


def test_the_login_node_needs_no_torch(cluster, folder):
    user = User(cluster, folder, RUNS, HELD)
    probe = "import sys\nfrom study.cli.app import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    for words in (ASKED, ("status", "tiny")):
        done = subprocess.run([sys.executable, "-c", probe, *words], cwd=folder, env=user.env, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
    # A network that is lost costs one line, and is in the way of no other.
    user.study("cancel", "tiny")
    [path] = folder.glob("results/tiny/runs/plain-8*/checkpoint-*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    said = user.study(*ASKED, code=1)
    assert said.count("has no sound checkpoint") == 1 and "1 of 2 surfaces are in the queue" in said
