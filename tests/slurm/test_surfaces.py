"""Surfaces on a real cluster: their chunks become jobs, and whatever befalls these the tables are the local executor's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from study.store.files import read_json, read_lines
from study.store.layout import ChunkFiles, SurfaceFiles
from study.store.lease import holder
from tests.launch.command import study
from tests.slurm.cluster import Cluster
from tests.slurm.sweeps import User

pytestmark = pytest.mark.slurm

RUNS = """
fixed: {data: digits, recipe: quick, depth: 8, recipe.iterations: 40, recipe.evaluate_every: 20, recipe.schedule.at: [30]}
grid: {network: [plain, residual], seed: [0]}
"""

NAMED = RUNS + "surfaces: [{points: [10, 9], subset: 300}, {dims: 1, points: 5, of: {network: plain}}]\n"

HELD = "sbatch: {hold: true}\n"
"""A profile whose jobs wait in the queue until somebody releases them."""

ASKED = ("surface", "tiny", "--points", "16", "--subset", "400")
"""256 points around each of two networks: 8 chunks in all, of some seconds each."""

Tables = dict[str, bytes]


def surfaces(folder: Path) -> dict[str, SurfaceFiles]:
    return {path.name: SurfaceFiles(path) for path in sorted(folder.glob("results/tiny/surfaces/*"))}


def tables(folder: Path) -> Tables:
    """The bytes of the table of each surface that has one."""
    return {name: files.table.read_bytes() for name, files in surfaces(folder).items() if files.table.exists()}


def chunks(folder: Path) -> list[ChunkFiles]:
    return [chunk for files in surfaces(folder).values() for chunk in files.chunks()]


def starts(folder: Path) -> list[dict[str, Any]]:
    """The beginning of each attempt at a chunk."""
    return [line for chunk in chunks(folder) for line in read_lines(chunk.attempts) if line["event"] == "start"]


def in_work(folder: Path) -> list[ChunkFiles]:
    """Chunks that a job has been measuring for a moment: their heartbeat does not tell how far they are before 5 s."""
    held = [chunk for chunk in chunks(folder) if holder(chunk) is not None and chunk.surface.planes()]
    begun = [(chunk, read_lines(chunk.attempts)) for chunk in held]  # a lease comes before the first line
    return [chunk for chunk, lines in begun if lines and time.time() - lines[-1]["time"] > 0.5]


def shown(user: User) -> list[tuple[str, str]]:
    """State and message of each surface, as `study status` has them."""
    return [(record["state"], record["message"]) for record in user.records() if "surface_id" in record]


def states(user: User) -> list[str]:
    return [state for state, _ in shown(user)]


def finish(user: User, words: tuple[str, ...] = ASKED) -> str:
    """Wait until nothing is in the queue, and give the command again; until it submits nothing more. What it said last."""
    for _ in range(4):
        user.wait(lambda: not user.cluster.squeue(), "the queue is empty")
        said = user.study(*words)
        if "in the queue" not in said:
            return said
    raise AssertionError(f"not complete after four calls: {said}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep whose runs are trained, on this machine."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(RUNS)
    code, _, err = study(folder, "sweep", "tiny.yaml", "--threads", "1")
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def expected(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """What the local executor makes of `ASKED`, with one thread as jobs with one core have it."""
    return _locally(trained, tmp_path_factory.mktemp("local"), *ASKED)


def _locally(trained: Path, folder: Path, *words: str) -> Tables:
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    code, _, err = study(folder, *words, "--threads", "1")
    assert code == 0, err
    return tables(folder)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained sweep, to go on with."""
    shutil.copytree(trained, tmp_path / "user")
    return tmp_path / "user"


@pytest.fixture(autouse=True)
def _empty_queue(cluster: Cluster):  # type: ignore[no-untyped-def]
    """What a test left in the queue is not the next one's."""
    yield
    cluster.run("scancel", "-u", "root", check=False)
    cluster.wait(lambda: not cluster.squeue(), "the queue did not empty")


def test_chunks_on_two_nodes_end_in_the_local_executors_tables(
    cluster: Cluster, folder: Path, expected: Tables
) -> None:
    user = User(cluster, folder, RUNS)
    assert "2 of 2 surfaces are in the queue, in 4 jobs" in user.study(*ASKED, "--jobs", "2")
    assert "4 jobs of up to 2 chunks of surfaces" in cluster.squeue()[0]["comment"]
    user.wait(lambda: len(tables(folder)) == 2, "both surfaces are sealed")
    assert tables(folder) == expected
    assert {line["node"] for line in starts(folder)} == {"n1", "n2"}
    assert len({line["job"] for line in starts(folder)}) == 4 and set(user.submitted().values()) == {1}
    # A job that ended between its last chunk's seal and the surface's leaves nothing to submit.
    lost = next(iter(surfaces(folder).values()))
    lost.done.unlink()
    lost.table.unlink()
    said = user.study(*ASKED)
    assert said.count("at the centre") == 0 and said.count("train loss") == 2 and "in the queue" not in said
    assert tables(folder) == expected and len(user.submitted()) == 8 and set(user.submitted().values()) == {1}


def test_a_sweep_holds_its_surfaces_until_the_runs_are_there(cluster: Cluster, tmp_path: Path) -> None:
    user = User(cluster, tmp_path, NAMED, HELD)
    said = user.study("sweep", "tiny.yaml")
    assert "2 of 2 runs are in the queue" in said and "3 surfaces are held back until their runs are trained" in said
    found = shown(user)
    assert len(found) == 3 and all(s == "pending" and "is not trained yet" in message for s, message in found)
    cluster.run("scontrol", "release", cluster.squeue()[0]["job"])
    user.wait(lambda: user.ended() and not cluster.squeue(), "the runs are through")
    assert shown(user) == [("pending", "")] * 3
    said = user.study("sweep", "tiny.yaml")
    assert "2 of 2 runs are there" in said and "3 of 3 surfaces are in the queue, in 3 jobs" in said
    assert all(state == "queued" and "pending (JobHeldUser)" in message for state, message in shown(user))
    said = user.study("sweep", "tiny.yaml")
    assert said.count(", pending (JobHeldUser)") == 3 and len(cluster.squeue()) == 3
    cluster.run("scontrol", "release", cluster.squeue()[0]["job"])
    user.wait(lambda: "running" in states(user), "a surface is being measured")
    user.wait(lambda: not cluster.squeue(), "the surfaces are through")
    assert states(user) == ["done"] * 3
    said = user.study("sweep", "tiny.yaml")
    assert said.count("train loss") == 3 and "surfaces: results/tiny/surfaces.parquet" in said
    assert "training error (%)" in said and set(user.submitted().values()) == {1} and not cluster.squeue()


@pytest.mark.long  # of runs the same is always tried
def test_what_cannot_be_known_of_a_surface_is_unknown(cluster: Cluster, folder: Path) -> None:
    user = User(cluster, folder, RUNS, HELD)
    user.study(*ASKED)
    cluster.stop_controller()
    try:
        assert states(user) == ["unknown"] * 2
        assert "nothing was submitted" in user.study(*ASKED, code=2)
    finally:
        cluster.start_controller()
    assert states(user) == ["queued"] * 2
    assert "2 surfaces, 0 to measure" in user.study(*ASKED, "--mode", "force", "-n")  # queued: not once more
    said = user.study("cancel", "tiny")
    assert said.count("cancelled") == 2 and said.count("-c000") == 2
    cluster.wait(lambda: not cluster.squeue(), "the jobs are gone")
    assert states(user) == ["unknown"] * 2
    (folder / "cluster.yaml").write_text("python: /nowhere/python\n")
    assert "2 of 2 surfaces are in the queue" in user.study(*ASKED)
    cluster.wait(lambda: not cluster.squeue(), "the jobs failed")
    assert all("/nowhere/python" in message for _, message in shown(user)), shown(user)


def test_a_time_limit_a_requeue_and_a_dead_node_in_mid_chunk(cluster: Cluster, folder: Path, expected: Tables) -> None:
    # A limit of one minute: submitit takes every USR2 for a time-out.
    user = User(cluster, folder, RUNS, "{time: 1, signal_seconds: 10, max_requeues: 9}")
    user.study(*ASKED, "--jobs", "2")
    user.wait(lambda: len(in_work(folder)) == 4, "all four jobs are at their points")
    first, second = sorted(row["id"] for row in cluster.squeue() if row["node"] == "n1")
    cluster.run("scancel", "--signal=USR2", first)
    cluster.requeue(second)
    cluster.kill_node("n2")
    cluster.restart_node("n2")
    finish(user)
    assert tables(folder) == expected
    again = [chunk for chunk in chunks(folder) if len(read_lines(chunk.attempts)) > 2]
    assert len(again) >= 3  # four jobs were at a chunk each, one of which may just have been through
    ends = [line for chunk in chunks(folder) for line in read_lines(chunk.attempts) if line["event"] == "end"]
    assert any(line["outcome"] == "interrupted" and 0 < line["iteration"] < 64 for line in ends), ends


@pytest.mark.long  # of runs the same is always tried
def test_preempted_in_mid_chunk_it_goes_on(cluster: Cluster, folder: Path, expected: Tables) -> None:
    user = User(cluster, folder, RUNS)
    user.study(*ASKED)
    user.wait(lambda: len(in_work(folder)) == 2, "both jobs are at their points")
    cluster.preempt(cluster.squeue()[0]["job"])
    assert len(tables(folder)) < 2
    finish(user)
    assert tables(folder) == expected and set(user.submitted().values()) == {1}


def test_of_a_cancelled_task_only_what_is_missing_is_submitted(
    cluster: Cluster, folder: Path, expected: Tables
) -> None:
    user = User(cluster, folder, RUNS)
    user.study(*ASKED)
    user.wait(lambda: len(in_work(folder)) == 2, "both jobs are at their points")
    gone = next(row["id"] for row in cluster.squeue() if row["id"].endswith("_0"))
    cluster.cancel(gone)
    user.wait(lambda: gone not in {row["id"] for row in cluster.squeue()}, "the task has left the queue")
    [half] = [files for files in surfaces(folder).values() if files.chunk("c000").folder.name in _tasks(user, 0)]
    missing = {name for name in _tasks(user, 0) if not (half.folder / "chunks" / name / "done.json").exists()}
    assert missing and states(user).count("unknown") == 1  # without accounting
    assert "1 of 2 surfaces are in the queue, in 1 jobs" in user.study(*ASKED)
    assert {name for name, count in user.submitted().items() if count == 2} == missing
    finish(user)
    assert tables(folder) == expected
    assert {name for name, count in user.submitted().items() if count > 1} == missing


def _tasks(user: User, index: int) -> set[str]:
    """The chunks of a task of the only submission."""
    [record] = user.folder.glob("results/tiny/slurm/*/submission.json")
    return {Path(folder).name for folder in read_json(record)["packs"][index]}


def test_each_refinement_is_a_call_of_its_own(cluster: Cluster, trained: Path, folder: Path, tmp_path: Path) -> None:
    asked = ("surface", "plain-8", "--points", "9", "--refine", "1", "--subset", "64", "--data", "train")
    # A profile of several tasks a run: a job of chunks has one all the same.
    user = User(cluster, folder, RUNS, "{gpus_per_run: 1, nodes: 2, device: cpu}")
    assert "1 of 1 surfaces are in the queue, in 2 jobs" in user.study(*asked, "--jobs", "2")
    user.wait(lambda: not cluster.squeue(), "the first round is through")
    [(state, message)] = shown(user)
    assert state == "interrupted" and message.startswith("81 of ")
    assert "1 of 1 surfaces are in the queue, in 1 jobs" in user.study(*asked)
    user.wait(lambda: not cluster.squeue(), "the second round is through")
    assert "train loss" in user.study(*asked)
    assert set(user.submitted().values()) == {1}
    assert tables(folder) == _locally(trained, tmp_path / "local", *asked)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_submitter_killed_at_sbatch_submits_nothing_twice(
    cluster: Cluster, folder: Path, tmp_path: Path, moment: str
) -> None:
    user = User(cluster, folder, RUNS, HELD)
    path = _deadly_sbatch(cluster, tmp_path / "bin", moment)
    user.study(*ASKED, code=-9, PATH=path)
    assert len(cluster.squeue()) == (2 if moment == "after" else 0)
    said = user.study(*ASKED)
    assert ("2 of 2 surfaces are in the queue" in said) == (moment == "before")
    assert len(cluster.squeue()) == 2 and set(user.submitted().values()) == {1} and len(user.submitted()) == 8
    [record] = [r for r in map(read_json, folder.glob("results/tiny/slurm/*/submission.json")) if r["job_id"]]
    assert len(list(folder.glob(f"results/tiny/slurm/*/{record['job_id']}_*_submitted.pkl"))) == 2
    assert states(user) == ["queued"] * 2


def _deadly_sbatch(cluster: Cluster, folder: Path, moment: str) -> str:
    """A PATH on which sbatch kills who calls it, before or after it has submitted."""
    folder.mkdir()
    real = shutil.which("sbatch", path=cluster.env["PATH"])
    submit = f'{real} "$@"\n' if moment == "after" else ""
    script = folder / "sbatch"
    script.write_text(f'#!/bin/sh\n[ "$1" = --help ] && exec {real} "$@"\n{submit}kill -9 $PPID\n')
    script.chmod(0o755)
    return f"{folder}:{cluster.env['PATH']}"


def test_the_login_node_needs_no_torch(cluster: Cluster, folder: Path) -> None:
    user = User(cluster, folder, RUNS, HELD)
    probe = "import sys\nfrom study.cli.app import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    for words in (ASKED, ASKED, ("status", "tiny")):
        done = subprocess.run([sys.executable, "-c", probe, *words], cwd=folder, env=user.env, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
    # A network that is lost costs one line, and is in the way of no other.
    user.study("cancel", "tiny")
    [path] = folder.glob("results/tiny/runs/plain-8*/checkpoint-*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    said = user.study(*ASKED, code=1)
    assert said.count("has no sound checkpoint any more") == 1 and "1 of 2 surfaces are in the queue" in said
