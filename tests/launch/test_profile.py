from pathlib import Path

import pytest

from study.errors import StudyError
from study.launch.slurm.profile import Profile, load_profile


def written(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_every_field_of_the_documented_example_is_read(tmp_path: Path) -> None:
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
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, says: str) -> None:
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
def test_times_are_minutes_or_as_slurm_writes_them(tmp_path: Path, text: str, minutes: int) -> None:
    assert load_profile(written(tmp_path, f"time: {text}")).time == minutes
