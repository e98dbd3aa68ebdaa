"""Sweeps on a real cluster: what the SLURM executor promises, each promise with what could break it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.launch.allocator import ALLOCATOR
from study.store.files import read_json, read_lines, write_json
from study.store.runs import ENDED, status
from tests.helpers import long
from tests.launch.command import curves, kill_tree
from tests.slurm.cluster import Cluster
from tests.slurm.sweeps import TWELVE, TWO, User, lasting, local_curves

pytestmark = pytest.mark.slurm

HELD = "sbatch: {hold: true}\n"
"""A profile whose jobs wait in the queue until somebody releases them."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sweep of two runs that take long enough to be disturbed when both are in training."""
    return lasting(12, tmp_path_factory.mktemp("pilot"))


@pytest.fixture(scope="module")
def expected(slow: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    """Its curves, undisturbed."""
    return local_curves(tmp_path_factory.mktemp("local"), slow)


@pytest.fixture(autouse=True)
def _empty_queue(cluster: Cluster):  # type: ignore[no-untyped-def]
    """What a test left in the queue is not the next one's."""
    yield
    cluster.run("scancel", "-u", "root", check=False)
    cluster.wait(lambda: not cluster.squeue(), "the queue did not empty")


def test_twelve_runs_on_two_nodes_equal_the_local_executors_bit_for_bit(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    user = User(cluster, tmp_path / "user", TWELVE)
    out = user.study("sweep", "tiny.yaml")
    assert "12 of 12 runs are in the queue, in 12 jobs" in out and "study status tiny --watch" in out
    assert "study-tiny-" in cluster.squeue()[0]["name"] and "sweep tiny" in cluster.squeue()[0]["comment"]
    expected = local_curves(tmp_path / "local", TWELVE)
    user.wait(user.ended, "all runs are through")
    assert curves(user.folder) == expected
    records = [next(line for line in read_lines(f.attempts) if line["event"] == "start") for f in user.runs()]
    assert {record["node"] for record in records} == {"n1", "n2"}
    assert all(record["environment"].items() >= ALLOCATOR.items() for record in records)
    assert {record["job"].split("_")[1] for record in records} == {str(i) for i in range(12)}
    assert "nothing is left to do; 12 of 12 runs are there" in user.study("sweep", "tiny.yaml")


def test_a_time_limit_checkpoints_requeues_and_goes_on(cluster: Cluster, tmp_path: Path, slow: str) -> None:
    # The signal of a limit comes up to a minute early: 55 s before a limit of one minute is about at once.
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
    user.study("cancel", "tiny")


@pytest.mark.parametrize("how", ["requeue", "preemption", "node failure", "controller restart"])
def test_disturbed_in_mid_sweep_it_ends_the_same(
    cluster: Cluster, tmp_path: Path, how: str, slow: str, expected: object
) -> None:
    user = User(cluster, tmp_path, slow)
    user.study("sweep", "tiny.yaml", "--checkpoint-seconds", "1")
    user.wait(lambda: len([f for f in user.in_training() if f.checkpoints()]) == 2, "both runs are in training")
    jobs = {row["id"]: row["node"] for row in cluster.squeue()}
    if how == "requeue":
        for job in jobs:
            cluster.requeue(job)
    elif how == "preemption":
        cluster.preempt(next(iter(jobs)).partition("_")[0])
    elif how == "node failure":
        node = next(iter(jobs.values()))
        cluster.kill_node(node)
        cluster.restart_node(node)
    else:
        cluster.restart_controller()
    user.finish()
    assert curves(user.folder) == expected
    if how != "controller restart":
        assert max(user.starts().values()) > 1
    before = user.starts()
    assert "nothing is left to do; 2 of 2 runs are there" in user.study("sweep", "tiny.yaml")
    assert user.starts() == before and not cluster.squeue()


def test_a_cancelled_task_is_submitted_again_alone(
    cluster: Cluster, tmp_path: Path, slow: str, expected: object
) -> None:
    user = User(cluster, tmp_path, slow)
    user.study("sweep", "tiny.yaml", "--checkpoint-seconds", "1")
    user.wait(lambda: len([f for f in user.in_training() if f.checkpoints()]) == 2, "both runs are in training")
    out = user.study("cancel", user.runs()[0].run_id)
    assert "cancelled (plain-8-digits-s0" in out
    user.wait(lambda: status(user.runs()[0]).state == "interrupted", "the cancelled run is interrupted")
    assert status(user.runs()[0]).iteration > 0
    user.wait(lambda: not any(row["id"].endswith("_0") for row in cluster.squeue()), "the task has left the queue")
    assert "1 of 2 runs are in the queue, in 1 jobs" in user.study("sweep", "tiny.yaml")
    user.finish()
    assert curves(user.folder) == expected


@pytest.mark.parametrize("kills", [6, long(20)])
def test_killed_at_any_moment_of_submission_each_run_is_submitted_once(
    cluster: Cluster, tmp_path: Path, kills: int
) -> None:
    began = time.monotonic()
    warm = User(cluster, tmp_path, TWELVE, HELD)
    warm.study("sweep", "tiny.yaml", "name=warm")
    whole = time.monotonic() - began
    moments = random.Random(0)
    reached = 0
    for attempt in range(kills):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        user = User(cluster, folder, TWELVE, HELD)
        process = user.start("sweep", "tiny.yaml")
        time.sleep(moments.uniform(0.3, 1.0) * whole)
        kill_tree(process)
        if (folder / "results/tiny/slurm").exists():
            reached += 1
        else:  # too early, by chance or because the machine is slower than it was at the first call
            whole *= 1.1
        user.study("sweep", "tiny.yaml")
        assert user.submitted() == {files.run_id: 1 for files in user.runs()} and len(user.runs()) == 12
        queued = [row for row in cluster.squeue() if row["name"].startswith("study-tiny-")]
        assert len(queued) == 12
        assert "nothing is left to do; 0 of 12 runs are there, 12 in training or in the queue" in user.study(
            "sweep", "tiny.yaml"
        )
        assert all(path.exists() for path in _pickles(user))
        user.study("cancel", "tiny")
        cluster.wait(lambda: not [r for r in cluster.squeue() if r["name"].startswith("study-tiny-")], "still queued")
    assert reached >= kills // 6, f"only {reached} of {kills} kills came as late as the submission itself"


def _pickles(user: User) -> list[Path]:
    """The files that the accepted jobs of a user wait for."""
    found = []
    for path in user.folder.glob("results/tiny/slurm/*/submission.json"):
        facts = json.loads(path.read_text())
        if facts["job_id"] is not None:
            found += [path.parent / f"{facts['job_id']}_{i}_submitted.pkl" for i in range(len(facts["packs"]))]
    return found


def test_a_submitter_that_dies_right_after_sbatch_leaves_an_orphan_that_is_adopted(
    cluster: Cluster, tmp_path: Path
) -> None:
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    [record] = tmp_path.glob("results/tiny/slurm/*/submission.json")
    facts = read_json(record)
    job = facts["job_id"]
    write_json(record, facts | {"job_id": None})  # it died before it knew the id
    for path in _pickles(user) or record.parent.glob("*_submitted.pkl"):
        path.unlink()
    assert {r["state"] for r in user.records()} == {"queued"}
    assert read_json(record)["job_id"] is None  # status only reads
    assert "nothing is left to do; 0 of 2 runs are there" in user.study("sweep", "tiny.yaml")
    assert read_json(record)["job_id"] == job and len(_pickles(user)) == 2 and all(p.exists() for p in _pickles(user))
    cluster.run("scontrol", "release", job)
    user.wait(user.ended, "the adopted jobs have trained")


def test_without_accounting_what_cannot_be_known_is_unknown(cluster: Cluster, tmp_path: Path) -> None:
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    cluster.cancel(*{row["job"] for row in cluster.squeue()})
    cluster.wait(lambda: not cluster.squeue(), "the jobs are gone")
    assert {record["state"] for record in user.records()} == {"unknown"}
    assert "2 of 2 runs are in the queue" in user.study("sweep", "tiny.yaml")  # unknown is not in the way


def test_with_accounting_the_last_word_of_a_job_is_told(accounting_cluster: Cluster, tmp_path: Path) -> None:
    user = User(accounting_cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    accounting_cluster.cancel(*{row["job"] for row in accounting_cluster.squeue()})
    accounting_cluster.wait(lambda: not accounting_cluster.squeue(), "the jobs are gone")
    user.wait(lambda: {r["message"].split(", ")[-1] for r in user.records()} == {"cancelled"}, "sacct knows", 30)
    assert {record["state"] for record in user.records()} == {"pending"}


def test_while_the_controller_is_down_nothing_is_guessed_and_nothing_submitted(
    cluster: Cluster, tmp_path: Path
) -> None:
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    cluster.stop_controller()
    try:
        assert "nothing was submitted" in user.study("sweep", "tiny.yaml", code=2)
        assert {record["state"] for record in user.records()} == {"unknown"}
    finally:
        cluster.start_controller()
    assert {record["state"] for record in user.records()} == {"queued"}


def test_packs_of_three(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    user = User(cluster, tmp_path / "user", TWELVE, "runs_per_gpu: 3\n")
    assert "6 of 6 runs are in the queue, in 2 jobs" in user.study("sweep", "tiny.yaml", "depth=8")
    user.wait(user.ended, "all runs are through")
    assert curves(user.folder) == local_curves(tmp_path / "local", TWELVE, "depth=8")
    assert len({read_lines(f.attempts)[0]["job"] for f in user.runs()}) == 2


def test_two_tasks_train_one_run_as_one_does(cluster: Cluster, tmp_path: Path) -> None:
    one = local_curves(tmp_path / "local", TWO, "network=plain", "recipe.iterations=30", "recipe.bn_groups=2")
    (tmp_path / "user").mkdir()
    user = User(cluster, tmp_path / "user", TWO, "{gpus_per_run: 1, nodes: 2, device: cpu}")
    words = ("sweep", "tiny.yaml", "network=plain", "recipe.iterations=30")
    assert "need recipe.bn_groups=2" in user.study(*words, code=2)
    user.study(*words, "recipe.bn_groups=2")
    user.wait(user.ended, "the run is through")
    [(_, ours)], [(_, theirs)] = curves(user.folder).items(), one.items()
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a[:4] == b[:4]
        assert float(str(a[4])) == pytest.approx(float(str(b[4])), rel=1e-3)  # loss


def test_a_job_runs_the_code_that_was_submitted(cluster: Cluster, tmp_path: Path) -> None:
    import study

    copy = tmp_path / "checkout"
    shutil.copytree(Path(study.__file__).parent, copy / "study", ignore=shutil.ignore_patterns("__pycache__"))
    user = User(cluster, copy, TWO, HELD)  # whose working directory holds the code, too
    user.study("sweep", "tiny.yaml", "recipe.iterations=20", PYTHONPATH=str(copy))
    (copy / "study/training/pack.py").write_text("raise SystemExit('the edited code runs')\n")
    cluster.run("scontrol", "release", cluster.squeue()[0]["job"])
    user.wait(user.ended, "the jobs run what was submitted")


def test_a_spec_changed_on_disk_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml", "network=plain")
    [run] = user.runs()
    changed = read_json(run.spec)
    changed["recipe"]["learning_rate"] = 9.0
    run.spec.write_text(json.dumps(changed))
    cluster.run("scontrol", "release", cluster.squeue()[0]["job"])
    user.wait(lambda: status(run).state == "failed", "the job refuses")
    assert "changed by hand" in user.records()[0]["message"]


def test_a_missing_python_on_the_node_is_told(cluster: Cluster, tmp_path: Path) -> None:
    user = User(cluster, tmp_path, TWO, "python: /nowhere/python\n")
    user.study("sweep", "tiny.yaml")
    cluster.wait(lambda: not cluster.squeue(), "the jobs failed")
    logs = [path.read_text() for path in tmp_path.glob("results/tiny/slurm/*/*.out")]
    assert all("/nowhere/python" in record["message"] for record in user.records()), (user.records(), logs)


def test_a_full_disk_in_the_run_folder_is_told(cluster: Cluster, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    cluster.run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", results)
    try:
        user = User(cluster, tmp_path, TWO, HELD)
        # The job has its own copy of the code, and what it compiles of that would take the room for its last words.
        user.env["PYTHONDONTWRITEBYTECODE"] = "1"
        user.study("sweep", "tiny.yaml", "network=plain")
        filler = results / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(results).free - 120_000))  # room for all but a checkpoint
        cluster.run("scontrol", "release", cluster.squeue()[0]["job"])
        cluster.wait(lambda: not cluster.squeue(), "the job ended")
        assert "No space left" in user.records()[0]["message"]
        filler.unlink()
        user.study("sweep", "tiny.yaml", "network=plain", "recipe.iterations=20", "--mode", "retry")
    finally:
        cluster.run("scancel", "-u", "root", check=False)
        cluster.wait(lambda: not cluster.squeue(), "the queue did not empty")
        cluster.run("umount", "-l", results)


def test_a_job_that_may_not_requeue_says_so(cluster: Cluster, tmp_path: Path, slow: str) -> None:
    user = User(cluster, tmp_path, slow, "sbatch: {no-requeue: true}\n")
    user.study("sweep", "tiny.yaml", "network=plain")
    [run] = user.runs()
    user.wait(lambda: user.in_training(), "it trains")
    cluster.run("scancel", "--signal=USR2", cluster.squeue()[0]["id"])
    user.wait(lambda: not cluster.squeue(), "the job has left the queue")
    assert status(run).state == "interrupted" and status(run).iteration > 0
    assert "could not requeue itself (`scontrol requeue" in user.records()[0]["message"]
    user.study("sweep", "tiny.yaml", "network=plain")
    user.wait(lambda: user.starts()[run.run_id] == 2, "it is submitted again")


def test_wrong_profiles_end_before_anything_is_submitted(cluster: Cluster, tmp_path: Path) -> None:
    for text, says in {
        "partitoin: gpu\n": "did you mean 'partition'?",
        "time: long\n": "time: ",
        "sbatch: {licences: x}\n": "did you mean 'licenses'?",
        "partition: nowhere\n": "invalid partition",
        "time: 1\n": "would be stopped at its start",
        "sbatch: {array: 0-3}\n": "use the profile's field 'max_parallel'",
    }.items():
        user = User(cluster, tmp_path, TWO, text)
        out = user.study("sweep", "tiny.yaml", code=2)
        assert says in out and "Traceback" not in out
        assert not cluster.squeue()


def test_arrays_are_split_at_the_clusters_limit(tmp_path: Path) -> None:
    small = Cluster(tmp_path / "cluster", MaxArraySize=5).start()
    try:
        folder = tmp_path / "user"
        folder.mkdir()
        user = User(small, folder, TWELVE, HELD)
        user.study("sweep", "tiny.yaml", "network=plain", "depth=8", f"seed={','.join(map(str, range(23)))}")
        sizes = [len(json.loads(p.read_text())["packs"]) for p in folder.glob("results/tiny/slurm/*/submission.json")]
        assert sorted(sizes) == [3, 5, 5, 5, 5]
        assert len(small.squeue()) == 23
        assert {record["state"] for record in user.records()} == {"queued"}
    finally:
        small.stop()


def test_requeues_after_time_limits_are_bounded(cluster: Cluster, tmp_path: Path, slow: str) -> None:
    # A limit of one minute: submitit takes every USR2 for a time-out.
    user = User(cluster, tmp_path, slow, "{time: 1, signal_seconds: 10, max_requeues: 0}\n")
    user.study("sweep", "tiny.yaml", "network=plain")
    user.wait(lambda: user.in_training(), "it trains")
    cluster.run("scancel", "--signal=USR2", cluster.squeue()[0]["id"])
    user.wait(lambda: user.states()["failed"], "it fails")
    assert "timed-out too many times" in user.records()[0]["message"]
    assert "Raise time or max_requeues" in user.records()[0]["message"]


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


def test_neither_the_environment_nor_other_jobs_decide_what_is_submitted_and_seen(
    cluster: Cluster, tmp_path: Path
) -> None:
    user = User(cluster, tmp_path, TWO, "{partition: high, time: 7, sbatch: {hold: true}}")
    user.env |= HOSTILE
    for name in ("a|b\n1|2|3", "\r\n17|0|PENDING||None|x"):
        cluster.submit("true", "--hold", f"--job-name={name}")
    cluster.run("scontrol", "update", "PartitionName=high", "Hidden=YES")
    try:
        user.study("sweep", "tiny.yaml")
        [job] = {row["job"] for row in cluster.squeue() if row["name"].startswith("study-tiny-")}
        facts = cluster.job(job)
        assert (facts["Partition"], facts["TimeLimit"]) == ("high", "00:07:00")
        assert {record["state"] for record in user.records()} == {"queued"}
        assert "nothing is left to do; 0 of 2 runs are there" in user.study("sweep", "tiny.yaml")
        assert f"job {job}_0: cancelled" in user.study("cancel", user.runs()[0].run_id)
        cluster.run("scontrol", "release", f"{job}_1")
        user.wait(lambda: status(user.runs()[1]).state in ENDED, "the other is trained")
    finally:
        cluster.run("scontrol", "update", "PartitionName=high", "Hidden=NO")


def test_within_an_allocation_jobs_are_submitted_as_from_without(cluster: Cluster, tmp_path: Path) -> None:
    user = User(cluster, tmp_path, TWO, "{cpus: 2, sbatch: {export: NONE}}")
    words = (sys.executable, "-P", "-m", "study", "sweep", "tiny.yaml", "recipe.iterations=20")
    allocation = [*cluster.inside, "salloc", "--nodes=1", "--ntasks=1", *words]
    subprocess.run(allocation, cwd=tmp_path, env=user.env, check=True, capture_output=True)
    user.wait(user.ended, "jobs that begin with an empty environment train")


def test_what_lies_beside_the_sweep_is_not_imported_by_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("numpy", "queue", "study", "submitit", "torch", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger runs')\n")
    user = User(cluster, tmp_path, TWO, 'setup: ["export PYTHONPATH=:.:$PWD:$PYTHONPATH"]')
    user.study("sweep", "tiny.yaml", "recipe.iterations=20")
    user.wait(user.ended, "the jobs train")
    [code] = tmp_path.glob("results/tiny/code/*")
    assert {read_lines(run.attempts)[0]["code"] for run in user.runs()} == {code.name}


def test_a_job_of_the_same_id_that_is_not_ours_is_neither_waited_for_nor_cancelled(
    cluster: Cluster, tmp_path: Path
) -> None:
    user = User(cluster, tmp_path, TWO, HELD)
    user.study("sweep", "tiny.yaml")
    ours = cluster.squeue()[0]["job"]
    shutil.copytree(tmp_path / "results", tmp_path / "copy")
    assert {record["state"] for record in json.loads(user.study("status", "tiny", "--json", "--results=copy"))} == {
        "pending"
    }
    assert "nothing of it is in the queue" in user.study("cancel", "tiny", "--results=copy", code=2)
    cluster.cancel(ours)
    theirs = cluster.submit("true", "--hold", "--array=0-1")
    [record] = tmp_path.glob("results/tiny/slurm/*/submission.json")
    write_json(
        record, read_json(record) | {"job_id": theirs}
    )  # as it is where results were copied from another cluster
    assert "nothing of it is in the queue" in user.study("cancel", "tiny", code=2)
    assert len([row for row in cluster.squeue() if row["job"] == theirs]) == 2
    assert "2 of 2 runs are in the queue" in user.study("sweep", "tiny.yaml")
