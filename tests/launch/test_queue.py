from pathlib import Path

import pytest

from study.launch.slurm import queue
from study.launch.slurm.submissions import Place, Submission
from tests.launch.command import output, sweep_file


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    """A command of SLURM's that says this; how the real ones behave is tested on a real cluster (tests/slurm)."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_accounting_rows_are_read_per_task(commands: Path) -> None:
    rows = ["17_0|COMPLETED|study-a", "17_[1-2,5%1]|CANCELLED by 0|study-a", "18|TIMEOUT|a|b", "|c"]
    program(commands, "sacct", "\n".join([*rows, "19_[0-4:2,7,...]|CANCELLED|study-c"]))
    past = queue.past(["17_0", "18", "19_0"])
    assert past is not None
    assert {job_id: job.state for job_id, job in past.items()} == {
        "17_0": "COMPLETED", "17_1": "CANCELLED", "17_2": "CANCELLED", "17_5": "CANCELLED",
        "19_0": "CANCELLED", "19_2": "CANCELLED", "19_4": "CANCELLED", "19_7": "CANCELLED",
    }  # fmt: skip
    program(commands, "sacct", "Slurm accounting storage is disabled", 1)
    assert queue.past(["17"]) is None and queue.past([]) == {}


def test_sbatch_without_a_cluster_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_last_line_of_a_log_says_why_a_job_ended(tmp_path: Path, lines: list[str], says: str) -> None:
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
def test_a_completing_job_has_ended_only_where_accounting_says_that_it_has(
    accounting: str, action: str, says: str, commands: Path
) -> None:
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
