"""Sweeps on a real cluster: what docs/slurm.md promises, each promise with what could break it."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import study
from study.launch.attempt.provenance import ALLOCATOR
from study.store.files import read_json, read_lines, write_json
from study.store.runs import ENDED, status
from tests.helpers import OWN_PARTS
from tests.launch.command import curves, kill_tree
from tests.launch.test_your_own import FILES
from tests.slurm.conftest import ARRAY_SIZE
from tests.slurm.user import HELD, TWO, User, deadly_sbatch, lasting, local_curves

FIVE = """
fixed: {data: digits, recipe: quick, recipe.iterations: 24, recipe.evaluate_every: 8, recipe.log_every: 5, depth: 8}
grid: {network: [plain], seed: [0, 1, 2, 3, 4]}
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A sweep of two runs that take long enough to be disturbed when both are in training."""
    return lasting(12, tmp_path_factory.mktemp("pilot"))


@pytest.fixture(scope="module")
def expected(slow, tmp_path_factory):
    """Its curves, undisturbed."""
    return local_curves(tmp_path_factory.mktemp("local"), slow)


def test_arrays_are_split_and_throttled_and_train_what_the_local_executor_trains(cluster, tmp_path):
    (tmp_path / "user").mkdir()
    user = User(cluster, tmp_path / "user", FIVE, "{max_parallel: 3, sbatch: {hold: true}}")
    out = user.study("sweep", "tiny.yaml")
    assert "5 of 5 runs are in the queue, in 5 jobs" in out and "study status tiny --watch" in out
    sizes = [len(facts["packs"]) for facts in user.submissions()]
    assert sorted(sizes) == [1, ARRAY_SIZE]
    rows = cluster.squeue()
    assert all("study-tiny-" in row["name"] and "sweep tiny" in row["comment"] for row in rows) and len(rows) == 5
    [array] = {row["job"] for row in rows if "_" in row["id"]}
    assert cluster.job(array)["ArrayTaskThrottle"] == "3"
    cluster.release()
    expected = local_curves(tmp_path / "local", FIVE)
    user.wait(user.ended, "all runs have finished")
    assert curves(user.folder) == expected
    records = [next(line for line in read_lines(f.attempts) if line["event"] == "start") for f in user.runs()]
    assert {record["node"] for record in records} == {"n1", "n2"}
    assert all(record["environment"].items() >= ALLOCATOR.items() for record in records)
    assert {record["job"] for record in records} == {row["id"] for row in rows}
    assert "nothing is left to train; 5 of 5 runs are finished" in user.study("sweep", "tiny.yaml")


OWN = {
    "my_block.py": f"""
import study, torch
from torch import nn
from helpers import scaled

@study.block
class Ghost(study.BasicBlock):
    ratio: float = 0.5

    def branch(self, x):
        return scaled(super().branch(x), self.ratio)
{OWN_PARTS}""",
    "helpers.py": "def scaled(x, ratio):\n    return ratio * x\n",
    "my_family.py": FILES["my_family.py"],
}
"""A block, whose file imports another, an optimizer and a family."""


def test_packs_run_the_users_code_as_it_was_when_they_were_submitted(cluster, tmp_path, slow):
    mine = f"use: [my_block.py, my_family.py]\n{slow}surfaces: [{{points: 3, subset: 50}}]\n"
    words = ("family=cifar,perceptron", "block=ghost", "recipe.optimizer=sign_sgd", "recipe.learning_rate=0.001")
    for name in ("user", "local"):
        (tmp_path / name).mkdir()
        for file, text in OWN.items():
            (tmp_path / name / file).write_text(text)
    expected = local_curves(tmp_path / "local", mine, *words)
    user = User(cluster, tmp_path / "user", mine, "{runs_per_gpu: 2, sbatch: {hold: true}}")
    out = user.study("sweep", "tiny.yaml", *words, "--checkpoint-seconds", "1")
    assert "4 of 4 runs are in the queue, in 2 jobs" in out
    for file in OWN:
        (user.folder / file).write_text("raise SystemExit('edited')\n")
    cluster.release()
    user.wait(lambda: any(run.checkpoints() for run in user.in_training()), "a pack has a checkpoint")
    for row in cluster.squeue():
        cluster.requeue(row["id"])
    user.wait(user.ended, "all runs have finished")
    assert curves(user.folder) == expected and max(user.starts().values()) > 1
    for file, text in OWN.items():
        (user.folder / file).write_text(text)
    user.study("surface", "tiny.yaml")
    cluster.release()
    surfaces = user.folder / "results" / "tiny" / "surfaces"
    user.wait(lambda: len(list(surfaces.glob("*/surface.parquet"))) == 4, "the surfaces are measured")


def test_packs_of_three(cluster, tmp_path):
    (tmp_path / "user").mkdir()
    user = User(cluster, tmp_path / "user", FIVE, "runs_per_gpu: 3\n")
    assert "3 of 3 runs are in the queue, in 1 jobs" in user.study("sweep", "tiny.yaml", "seed=0,1,2")
    user.wait(user.ended, "all runs have finished")
    assert curves(user.folder) == local_curves(tmp_path / "local", FIVE, "seed=0,1,2")


def test_two_tasks_train_one_run_as_one_does(cluster, tmp_path):
    words = ("network=plain", "recipe.iterations=30", "recipe.bn_groups=2")
    one = local_curves(tmp_path / "local", TWO, *words)
    (tmp_path / "user").mkdir()
    user = User(cluster, tmp_path / "user", TWO, "{gpus_per_run: 1, nodes: 2, device: cpu}")
    assert "need recipe.bn_groups=2" in user.study("sweep", "tiny.yaml", "recipe.bn_groups=1", code=2)
    user.study("sweep", "tiny.yaml", *words)
    user.wait(user.ended, "the run has finished")
    [(_, ours)], [(_, theirs)] = curves(user.folder).items(), one.items()
    for a, b in zip(ours, theirs, strict=True):
        assert a[:4] == b[:4]
        assert float(str(a[4])) == pytest.approx(float(str(b[4])), rel=1e-3)  # loss


def test_a_time_limit_checkpoints_requeues_and_goes_on(cluster, tmp_path, slow):
    # The signal comes up to a minute early: 45 s before a limit of one minute is soon after the start.
    user = User(cluster, tmp_path, slow, "{time: 1, signal_seconds: 45, max_requeues: 9}")
    user.study("sweep", "tiny.yaml", "recipe.iterations=100000", "network=plain")
    [run] = user.runs()
    user.wait(
        # On a slow machine the first signal may come before the first step.
        lambda: any(x.get("outcome") == "interrupted" and x["iteration"] > 0 for x in read_lines(run.attempts)),
        "a time-out",
    )
    before = status(run).iteration
    user.wait(lambda: user.starts()[run.run_id] >= 2, "the job starts again by itself")
    user.wait(lambda: status(run).iteration > before, "it goes on from its checkpoint")


def test_a_requeue_a_dead_node_and_a_new_controller_in_mid_sweep(cluster, tmp_path, slow, expected):
    user = User(cluster, tmp_path, slow, "sbatch: {exclusive: true}\n")  # a node each
    user.study("sweep", "tiny.yaml", "--checkpoint-seconds", "1")
    user.wait(user.both_in_training, "both runs are in training")
    on = {row["node"]: row["id"] for row in cluster.squeue()}
    cluster.requeue(on["n1"])
    cluster.kill_node("n2")
    cluster.restart_controller()
    cluster.restart_node("n2")
    user.finish()
    assert curves(user.folder) == expected
    assert max(user.starts().values()) > 1
    user.wait(lambda: not cluster.squeue(), "the queue is empty")  # a job ends after its last run
    before = user.starts()
    assert "nothing is left to train; 2 of 2 runs are finished" in user.study("sweep", "tiny.yaml")
    assert user.starts() == before and not cluster.squeue()


def test_a_cancelled_task_is_submitted_again_alone_and_a_preempted_one_requeues_itself(
    cluster, tmp_path, slow, expected
):
    user = User(cluster, tmp_path, slow)
    user.study("sweep", "tiny.yaml", "--checkpoint-seconds", "1")
    user.wait(user.both_in_training, "both runs are in training")
    first, second = user.runs()
    assert f"cancelled ({first.run_id})" in user.study("cancel", first.run_id)
    cluster.preempt()
    user.wait(lambda: not any(row["id"].endswith("_0") for row in cluster.squeue()), "the task has left the queue")
    assert (status(first).state, status(first).iteration > 0) == ("interrupted", True)
    [end] = [line for line in read_lines(second.attempts) if line["event"] == "end"]
    assert "preemption (SIGUSR2)" in end["why"] and end["iteration"] > 0
    assert "1 of 2 runs are in the queue, in 1 jobs" in user.study("sweep", "tiny.yaml")
    user.finish()
    assert curves(user.folder) == expected and set(user.submitted().values()) == {1, 2}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_submitter_killed_at_sbatch_submits_nothing_twice(cluster, tmp_path, moment):
    """Before sbatch nothing is queued; after it the jobs are orphans, which the next call adopts."""
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml", code=-9, PATH=deadly_sbatch(cluster, tmp_path / "bin", moment))
    assert len(cluster.squeue()) == (2 if moment == "after" else 0)
    if moment == "after":
        assert {record["state"] for record in user.records()} == {"queued"}
        assert [facts["job_id"] for facts in user.submissions()] == [None]  # status only reads
    said = user.study("sweep", "tiny.yaml")
    assert ("2 of 2 runs are in the queue" in said) == (moment == "before")
    assert len(cluster.squeue()) == 2 and user.submitted() == {files.run_id: 1 for files in user.runs()}
    assert len(user.job_files()) == 2 and all(path.exists() for path in user.job_files())
    if moment == "after":
        cluster.release()
        user.wait(user.ended, "the adopted jobs have trained")


@pytest.mark.long
def test_killed_at_any_moment_of_submission_each_run_is_submitted_once(cluster, tmp_path):
    began = time.monotonic()
    User(cluster, tmp_path, FIVE, HELD).study("sweep", "tiny.yaml", "name=warm")
    whole = time.monotonic() - began
    moments = random.Random(0)
    for attempt in range(20):
        (tmp_path / str(attempt)).mkdir()
        user = User(cluster, tmp_path / str(attempt), FIVE, HELD)
        process = user.start("sweep", "tiny.yaml")
        time.sleep(moments.uniform(0.3, 1.0) * whole)
        kill_tree(process)
        user.study("sweep", "tiny.yaml")
        assert user.submitted() == {files.run_id: 1 for files in user.runs()} and len(user.runs()) == 5
        assert len([row for row in cluster.squeue() if row["name"].startswith("study-tiny-")]) == 5
        assert all(path.exists() for path in user.job_files())
        user.study("cancel", "tiny")


def test_jobs_that_cannot_be_traced_are_unknown(cluster, tmp_path):
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    cluster.stop_controller()
    try:
        assert "nothing was submitted" in user.study("sweep", "tiny.yaml", code=2)
        assert {record["state"] for record in user.records()} == {"unknown"}
    finally:
        cluster.start_controller()
    assert {record["state"] for record in user.records()} == {"queued"}
    cluster.cancel(*{row["job"] for row in cluster.squeue()})
    cluster.wait(lambda: not cluster.squeue(), "the jobs are gone")
    assert {record["state"] for record in user.records()} == {"unknown"}  # without accounting
    assert "2 of 2 runs are in the queue" in user.study("sweep", "tiny.yaml")  # they may be submitted again


def test_with_accounting_the_end_of_a_job_is_known(accounting_cluster, tmp_path):
    user = User(accounting_cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    accounting_cluster.cancel(*{row["job"] for row in accounting_cluster.squeue()})
    accounting_cluster.wait(lambda: not accounting_cluster.squeue(), "the jobs are gone")
    user.wait(lambda: {r["message"].split(", ")[-1] for r in user.records()} == {"cancelled"}, "sacct knows", 30)
    assert {record["state"] for record in user.records()} == {"pending"}


def test_a_job_runs_the_submitted_code_and_imports_nothing_beside_it(cluster, tmp_path):
    """Submitted from within an allocation, by a checkout that is edited while the job waits, among strangers' modules."""
    copy = tmp_path / "checkout"
    shutil.copytree(Path(study.__file__).parent, copy / "study", ignore=shutil.ignore_patterns("__pycache__"))
    user = User(cluster, tmp_path, TWO, "{sbatch: {hold: true, export: NONE}, setup: ['export PYTHONPATH=:.:$PWD']}")
    words = (sys.executable, "-P", "-m", "study", "sweep", "tiny.yaml", "recipe.iterations=20", "network=plain")
    allocation = [*cluster.inside, "salloc", "--nodes=1", "--ntasks=1", *words]
    env = user.env | {"PYTHONPATH": str(copy)}
    subprocess.run(allocation, cwd=tmp_path, env=env, check=True, capture_output=True)
    (copy / "study/training/pack.py").write_text("raise SystemExit('the edited code runs')\n")
    for name in ("numpy", "queue", "study", "submitit", "torch", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger runs')\n")
    cluster.release()
    user.wait(user.ended, "the job trains")
    [code] = tmp_path.glob("results/tiny/code/*")
    assert {read_lines(run.attempts)[0]["code"] for run in user.runs()} == {code.name}


def test_why_a_job_ended_without_a_result_is_shown(cluster, tmp_path, slow):
    """Its Python is missing; it may not requeue itself; it has timed out too often."""
    user = User(cluster, tmp_path, slow)
    words = ("sweep", "tiny.yaml", "network=plain", "recipe.iterations=100000")
    [record] = user.ended_as("python: /nowhere/python\n", *words)
    assert "/nowhere/python" in record["message"] and record["state"] == "unknown"
    # A time limit of one minute: submitit takes every USR2 for a time-out.
    limit = "time: 1\nsignal_seconds: 10\n"
    [record] = user.ended_as(limit + "sbatch: {no-requeue: true}\n", *words, usr2=True)
    assert "could not requeue itself (`scontrol requeue" in record["message"] and record["iteration"] > 0
    [record] = user.ended_as(limit + "max_requeues: 0\n", *words, usr2=True)
    assert record["state"] == "failed" and "timed-out too many times" in record["message"]
    assert "Raise time or max_requeues" in record["message"]


def test_an_sbatch_error_is_one_line_and_leaves_no_job(cluster, tmp_path):
    for text, says in {"partition: nowhere\n": "invalid partition", "sbatch: {licences: x}\n": "licences"}.items():
        out = User(cluster, tmp_path, TWO, text).study("sweep", "tiny.yaml", code=2)
        assert "sbatch refused: " in out and says in out and "Traceback" not in out
        assert not cluster.squeue()


HOSTILE = {
    "LOGNAME": "stranger",
    "SBATCH_CLUSTERS": "elsewhere",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_PARTITION": "debug",
    "SBATCH_TIMELIMIT": "1",
    "SCANCEL_INTERACTIVE": "1",
    "SCANCEL_STATE": "SUSPENDED",
    "SLURM_CLUSTERS": "elsewhere",
    "SLURM_MEM_PER_CPU": "999999",
    "SLURM_NTASKS": "9",
    "SQUEUE_FORMAT": "%i",
    "SQUEUE_PARTITION": "debug",
    "SQUEUE_STATES": "COMPLETED",
    "SRUN_CPUS_PER_TASK": "9",
    "SUBMITIT_PREEMPT_SIGNAL": "USR1",
}
"""Options of SLURM's commands and of submitit, as sites and users set them; and another user's name."""


def test_environment_and_foreign_jobs_change_nothing(cluster, tmp_path):
    user = User(cluster, tmp_path, TWO, "{partition: high, time: 7, sbatch: {hold: true}}")
    user.env |= HOSTILE
    for name in ("a|b\n1|2|3", "\r\n17|0|PENDING|None|x"):
        cluster.submit("true", "--hold", f"--job-name={name}")
    cluster.run("scontrol", "update", "PartitionName=high", "Hidden=YES")
    try:
        words = ("sweep", "tiny.yaml", "recipe.iterations=20")
        user.study(*words)
        [job] = {row["job"] for row in cluster.squeue() if row["name"].startswith("study-tiny-")}
        facts = cluster.job(job)
        assert (facts["Partition"], facts["TimeLimit"]) == ("high", "00:07:00")
        assert {record["state"] for record in user.records()} == {"queued"}
        assert "nothing is left to train; 0 of 2 runs are finished" in user.study(*words)
        assert f"job {job}_0: cancelled" in user.study("cancel", user.runs()[0].run_id)
        cluster.run("scontrol", "release", f"{job}_1")
        user.wait(lambda: status(user.runs()[1]).state in ENDED, "the other is trained")
    finally:
        cluster.run("scontrol", "update", "PartitionName=high", "Hidden=NO")


def test_jobs_of_other_submissions_with_the_same_id_are_ignored(cluster, tmp_path):
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    ours = cluster.squeue()[0]["job"]
    shutil.copytree(tmp_path / "results", tmp_path / "copy")
    shown = json.loads(user.study("status", "tiny", "--json", "--results=copy"))
    assert {record["state"] for record in shown} == {"pending"}
    assert "no queued jobs" in user.study("cancel", "tiny", "--results=copy", code=2)
    cluster.cancel(ours)
    theirs = cluster.submit("true", "--hold", "--array=0-1")
    [record] = tmp_path.glob("results/tiny/slurm/*/submission.json")
    write_json(
        record, (read_json(record) or {}) | {"job_id": theirs}
    )  # as where results were copied from another cluster
    assert "no queued jobs" in user.study("cancel", "tiny", code=2)
    assert len([row for row in cluster.squeue() if row["job"] == theirs]) == 2
    assert "2 of 2 runs are in the queue" in user.study("sweep", "tiny.yaml")


def test_jobs_end_runs_at_chance_and_later_ones_go_on(cluster, tmp_path):
    user = User(cluster, tmp_path, FIVE)
    words = ("sweep", "tiny.yaml", "seed=0,1", "recipe.learning_rate=1e-9")
    user.study(*words, "--stop-at-chance", "0.5")
    user.wait(lambda: user.ended() and not cluster.squeue(), "both runs are stopped")
    assert {(status(run).state, status(run).iteration) for run in user.runs()} == {("at_chance", 15)}
    user.study(*words)
    user.wait(lambda: {status(run).state for run in user.runs()} == {"done"}, "both runs have finished")
