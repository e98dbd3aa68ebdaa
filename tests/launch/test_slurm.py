"""What is read for SLURM without a cluster: profiles, and what its commands print."""

from pathlib import Path

import pytest

from study.errors import StudyError
from study.launch.slurm import queue
from study.launch.slurm.profile import Profile, load_profile
from study.launch.slurm.submissions import Place, Submission
from tests.launch.command import output, sweep_file


def written(folder, text):
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_every_field_of_the_documented_example_is_read(tmp_path):
    text = (Path(__file__).parents[2] / "docs/slurm.md").read_text().split("```yaml\n")[1].split("```")[0]
    profile = load_profile(written(tmp_path, text))
    assert profile.time == 240 and profile.runs_per_gpu == 4 and profile.sbatch == {"nice": 100, "mail-type": "FAIL"}
    shown = {line.partition(":")[0] for line in text.splitlines()}
    assert shown == set(Profile.model_fields) - {"gpus", "gpus_per_run", "nodes"}
    assert load_profile(None) == Profile()


@pytest.mark.parametrize(
    "text, says",
    [
        ("partitoin: gpu", "cluster.yaml:1: partitoin: is unknown; did you mean 'partition'?"),
        ("time: long", "cluster.yaml:1: time: must be minutes, or SLURM's MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS"),
        ("time: 1:2:3:4", "cluster.yaml:1: time: must be minutes"),
        ("time: 0", "cluster.yaml:1: time: "),
        ("gpus: 1\ntime: 1", "cluster.yaml:2: time: a job of 1 min that checkpoints 90 s before its end"),
        ("signal_seconds: 3600", "cluster.yaml:1: signal_seconds: a job of 60 min"),
        ("\nmemory: lots", "cluster.yaml:2: memory: "),
        ("runs_per_gpu: 0", "cluster.yaml:1: runs_per_gpu: "),
        ("- gpu", "a profile is a mapping"),
        ("time: 1\ntime: 2", "duplicate key 'time'"),
        ("sbatch:\n  array: 0-3", "cluster.yaml:2: sbatch.array: use the profile's field 'max_parallel' instead"),
        ("sbatch: {cpus_per_task: 2}", "sbatch.cpus_per_task: use the profile's field 'cpus' instead"),
        ("sbatch: {job_name: mine}", "sbatch.job_name: study sets this itself; leave it out"),
        ("sbatch: {requeue: false}", "'no-requeue: true' turns that off"),
        ("sbatch: {t: 30}", "sbatch.t: give the option by its long name"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(tmp_path, text, says):
    with pytest.raises(StudyError) as caught:
        load_profile(written(tmp_path, text))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text, minutes",
    [
        ("240", 240), ("'240'", 240), ("30:00", 30), ("2:30", 3), ("1:30:00", 90), ("01:00:01", 61),
        ("1-12", 2160), ("1-0:30", 1470), ("1-00:00:00", 1440),
    ],
)  # fmt: skip
def test_times_are_minutes_or_as_slurm_writes_them(tmp_path, text, minutes):
    assert load_profile(written(tmp_path, f"time: {text}")).time == minutes


# -- what its commands print; how the real ones behave is tested on a real cluster (tests/slurm) -----------------------


def program(folder, name, says, code=0):
    """A command of SLURM's that says this; how the real ones behave is tested on a real cluster (tests/slurm)."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_accounting_rows_are_read_per_task(commands):
    rows = ["17_0|COMPLETED|study-a", "17_[1-2,5%1]|CANCELLED by 0|study-a", "18|TIMEOUT|a|b", "|c"]
    program(commands, "sacct", "\n".join([*rows, "19_[0-4:2,7,...]|CANCELLED|study-c"]))
    past = queue.past(["17_0", "18", "19_0"])
    assert {job_id: job.state for job_id, job in past.items()} == {
        "17_0": "COMPLETED", "17_1": "CANCELLED", "17_2": "CANCELLED", "17_5": "CANCELLED",
        "19_0": "CANCELLED", "19_2": "CANCELLED", "19_4": "CANCELLED", "19_7": "CANCELLED",
    }  # fmt: skip
    program(commands, "sacct", "Slurm accounting storage is disabled", 1)
    assert queue.past(["17"]) is None and queue.past([]) == {}


def test_sbatch_without_a_cluster_is_no_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not queue.on_a_cluster()
    for name in ("sbatch", "scontrol"):
        program(tmp_path, name, "", 1)
    assert queue.on_a_cluster()  # a controller that is down is still a cluster's
    (tmp_path / "scontrol").write_text(
        "#!/bin/sh\necho 'fatal: Could not establish a configuration source' >&2\nexit 1\n"
    )
    assert not queue.on_a_cluster()


@pytest.mark.parametrize(
    "lines, says",
    [
        (["srun: error: Unable to create step for job 5: More processors requested than permitted"], "More processors"),
        (["Error: no", "srun: error: n1: task 0: Exited with exit code 1", "srun: Terminating StepId=5.0"], "Error: no"),
        (["submitit INFO (2026-01-01) - Exiting after successful completion"], ""),
    ],
)  # fmt: skip
def test_the_last_line_of_a_log_says_why_a_job_ended(tmp_path, lines, says):
    log = tmp_path / "5_0_log.out"
    log.write_text("\n".join(lines))
    words = Place(queue.Job("5", "study-a", "FAILED", ""), waiting=False, log=log).failure_message()
    assert (says in words) if says else not words


@pytest.mark.parametrize(
    "accounting, action, says",
    [
        ("17|TIMEOUT|study-tiny-0", "start", ""),
        ("17|REQUEUED|study-tiny-0", "wait", "job 17, ending"),  # it comes back
        ("17|RUNNING|study-tiny-0", "wait", "job 17, ending"),  # behind the time
        ("", "wait", "job 17, ending"),
    ],
)
def test_a_completing_job_has_ended_only_where_accounting_says_that_it_has(accounting, action, says, commands):
    words = ("sweep", sweep_file(commands), "--dry-run", "network=plain")
    run = commands / "results" / "tiny" / "runs" / output(commands, *words).splitlines()[0].split()[-1]
    folder = commands / "results" / "tiny" / "slurm" / "0"
    Submission(folder, "study-tiny-0", [[str(run)]], {}, [10, 1], 0.0, "17").write()
    for name, prints in {
        "sbatch": "", "scontrol": "", "sacct": accounting, "squeue": "17|N/A|COMPLETING|None|study-tiny-0",
    }.items():  # fmt: skip
        program(commands, name, prints)
    line = output(commands, *words).splitlines()[0]
    assert line.startswith(action) and says in line
