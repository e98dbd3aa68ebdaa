"""The cluster that the other SLURM tests stand on does what a cluster does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import PATIENCE
from tests.slurm.cluster import Cluster, processes, why_unavailable

REQUEUES_ITSELF = 'trap "scontrol requeue $SLURM_JOB_ID; exit" USR2; while :; do sleep 0.1; done'


@pytest.fixture(autouse=True)
def _tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cluster" in request.fixturenames:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.run("scancel", "--user=root", check=False)
        cluster.wait_idle()


def test_each_node_runs_a_job_with_its_own_gpu(cluster: Cluster) -> None:
    script = "echo $SLURMD_NODENAME gpu $CUDA_VISIBLE_DEVICES"
    jobs = {node: cluster.submit(script, "-w", node, "--gpus-per-node=1") for node in ("n1", "n2")}
    for node, job in jobs.items():
        assert cluster.wait_for(job) == "COMPLETED"
        assert (cluster.folder / f"{job}.out").read_text() == f"{node} gpu 0\n"


def test_tasks_of_an_array_are_throttled_and_spread_over_the_nodes(cluster: Cluster) -> None:
    job = cluster.submit("sleep 1; echo $SLURM_ARRAY_TASK_ID $SLURMD_NODENAME", "--array=0-3%2", "-c", 2)
    assert [row["id"] for row in cluster.squeue()] == [f"{job}_{task}" for task in range(4)]
    most = 0

    def empty() -> bool:
        nonlocal most
        rows = cluster.squeue()
        most = max(most, sum(row["state"] == "RUNNING" for row in rows))
        return not rows

    cluster.wait(empty, "the array did not end")
    said = [(cluster.folder / f"{job}_{task}.out").read_text().split() for task in range(4)]
    assert [task for task, _ in said] == ["0", "1", "2", "3"]
    assert {node for _, node in said} == {"n1", "n2"} and most <= 2


def test_a_requeued_job_starts_again(cluster: Cluster) -> None:
    job = cluster.submit("sleep 300")
    cluster.wait_for(job, "RUNNING")
    cluster.requeue(job)
    cluster.wait(lambda: cluster.restarts(job) == 1 and cluster.state(job) == "RUNNING", "it did not start again", 30)


def test_a_job_of_a_higher_partition_preempts(cluster: Cluster) -> None:
    job = cluster.submit(REQUEUES_ITSELF, "--signal=B:USR2@30")
    cluster.wait_for(job, "RUNNING")
    cluster.preempt(job)
    assert cluster.wait_for(job, "RUNNING") and cluster.restarts(job) == 1


def test_jobs_outlive_an_outage_of_the_controller(cluster: Cluster) -> None:
    job = cluster.submit("sleep 3")
    cluster.wait_for(job, "RUNNING")
    cluster.stop_controller()
    assert (
        subprocess.run(["squeue"], env=cluster.env, capture_output=True, timeout=PATIENCE, check=False).returncode != 0
    )
    cluster.start_controller()
    assert cluster.wait_for(job) == "COMPLETED" and cluster.restarts(job) == 0


def test_sacct_remembers(accounting_cluster: Cluster) -> None:
    good = accounting_cluster.submit("true", "--comment=a run")
    bad = accounting_cluster.submit("exit 3")
    for job in (good, bad):
        accounting_cluster.wait_for(job)

    def rows() -> str:
        return accounting_cluster.run("sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode,Comment")

    wanted = f"{good}|COMPLETED|0:0|a run\n{bad}|FAILED|3:0|\n"
    accounting_cluster.wait(lambda: wanted in rows(), f"sacct did not say {wanted}", daemon="slurmdbd")


def test_nothing_survives(tmp_path: Path) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    cluster = Cluster(tmp_path / "cluster", MaxArraySize=5).start()
    try:
        assert "MaxArraySize            = 5" in cluster.run("scontrol", "show", "config")
        job = cluster.submit("setsid sleep 300 & sleep 300")
        cluster.wait_for(job, "RUNNING")
        assert len(processes(cluster.mark)) > 6
    finally:
        cluster.stop()
    assert not processes(cluster.mark) and not cluster.run_folder.exists()


def test_nothing_survives_the_death_of_the_tests(tmp_path: Path) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    code = (
        "import os, sys; from tests.slurm.cluster import Cluster, processes\n"
        "cluster = Cluster(sys.argv[1]).start(); assert processes(cluster.mark)\n"
        "print(cluster.run_folder, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == -9
    idle = Cluster(tmp_path)  # never started: for its waiting and its mark
    idle.wait(lambda: not processes(idle.mark), "processes outlive the tests")
    idle.wait(lambda: not Path(done.stdout.strip()).exists(), "the sockets' folder stays")
